#!/usr/bin/env node
'use strict';

// Verifies receipts, streams and heads of batpak without a node of batpak, as component/PROTOCOL.md says and with
// nothing but it: a second implementation, in another language and without dependencies.
//
//   node verifier.js receipt KEY RECEIPT ENVELOPE   the proof of a receipt, by the signer's public nkey
//   node verifier.js stream DUMP [KEY RECEIPTS]     the messages of an onward stream, from the first on
//   node verifier.js head KEY HEAD DUMP             a message of P.J.heads, and that it is of these events
//
// RECEIPT and ENVELOPE are files of MessagePack, or of JSON as the protocol has them. DUMP has the messages'
// bodies one behind the other; RECEIPTS are receipts in JSON, one in a line, and each is verified with
// the event in the stream that it is about. The exit code is 0 when all is well, and 1 when it is not.

const crypto = require('node:crypto');
const fs = require('node:fs');
const { Reader, decode } = require('./msgpack.js');

const sha256 = (...parts) => crypto.createHash('sha256').update(Buffer.concat(parts)).digest();

// must ends the verification when something does not hold.
function must(holds, what) {
  if (!holds) throw new Error(what);
}


const envelopeKeys = ['v', 'lineage', 'id', 'seq', 'scope', 'entity', 'lane', 'version', 'kind', 'schema', 'time', 'tick', 'causes',
  'corr', 'subject', 'key', 'meta', 'gates', 'batch', 'prev', 'enc', 'data'];
const requiredKeys = ['v', 'lineage', 'id', 'seq', 'scope', 'entity', 'version', 'kind', 'time', 'data'];

const isBytes = (v, n) => Buffer.isBuffer(v) && (n === undefined || v.length === n);

// readEnvelope reads the envelope that r is at, and hashes it.
function readEnvelope(r) {
  const start = r.at;
  const e = r.value();
  must(e instanceof Map, 'the envelope is no map');
  let last = -1;
  for (const key of e.keys()) {
    const i = envelopeKeys.indexOf(key);
    must(i > last, `the envelope's key ${key} is unknown or out of its order`);
    last = i;
  }
  for (const key of requiredKeys) must(e.has(key), `the envelope has no ${key}`);
  must(e.get('v') === 1n, 'the envelope is of another version');
  for (const key of ['seq', 'version', 'kind', 'time']) must(typeof e.get(key) === 'bigint' && e.get(key) >= 0n, `${key} is no number`);
  for (const key of ['lane', 'schema', 'tick']) must(!e.has(key) || (typeof e.get(key) === 'bigint' && e.get(key) > 0n), `${key} should be left out`);
  for (const key of ['scope', 'entity']) must(typeof e.get(key) === 'string' && e.get(key) !== '', `${key} is no text`);
  must(isBytes(e.get('lineage'), 16) && isBytes(e.get('id'), 16) && isBytes(e.get('data')), 'lineage, id or data are not bytes');
  must(e.has('prev') ? isBytes(e.get('prev'), 32) && e.get('version') > 1n : e.get('version') === 1n, 'prev does not go with the version');
  const bytes = r.bytes.subarray(start, r.at);
  return { fields: e, hash: sha256(Buffer.from('batpak.event.v1\0'), bytes) };
}

function parseEnvelope(bytes) {
  const r = new Reader(bytes, true);
  const e = readEnvelope(r);
  must(r.at === bytes.length, 'there are bytes behind the envelope');
  return e;
}


const fromHex = (text, n) => {
  must(typeof text === 'string' && text.length === 2 * n && /^[0-9a-f]*$/.test(text), `${text} is not ${n} bytes in hex`);
  return Buffer.from(text, 'hex');
};
const fromUUID = (text) => {
  must(/^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/.test(text), `${text} is no UUID`);
  return Buffer.from(text.replaceAll('-', ''), 'hex');
};
const fromNumber = (n) => {
  must(Number.isSafeInteger(n) && n >= 0, `${n} is no sequence that JSON in JavaScript can tell`);
  return BigInt(n);
};

// receiptOf reads a receipt in either form. What is absent is undefined.
function receiptOf(bytes) {
  if (!isJSON(bytes)) {
    const plain = (map) => Object.fromEntries(map);
    const r = plain(decode(bytes));
    return { ...r, tick: r.tick ?? 0n, proof: r.proof && plain(r.proof) };
  }
  const r = JSON.parse(bytes.toString('utf8'));
  const p = r.proof;
  return {
    id: fromUUID(r.id), lineage: fromUUID(r.lineage), hash: fromHex(r.hash, 32), prev: r.prev === undefined ? undefined : fromHex(r.prev, 32),
    seq: fromNumber(r.seq), version: fromNumber(r.version), time: fromNumber(r.time), tick: fromNumber(r.tick ?? 0),
    proof: p && {
      signer: p.signer, first: fromNumber(p.first), last: fromNumber(p.last),
      path: p.path.map((h) => fromHex(h, 32)), sig: Buffer.from(p.sig, 'base64'),
    },
  };
}

const isJSON = (bytes) => /^[ \t\r\n]*\{/.test(bytes.subarray(0, 64).toString('latin1'));


// keyOf is the Ed25519 key of a public nkey.
function keyOf(nkey) {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  must(typeof nkey === 'string' && nkey.length === 56, 'a public nkey has 56 characters');
  let bits = 0n;
  for (const c of nkey) {
    must(alphabet.includes(c), `${c} is not of a public nkey`);
    bits = (bits << 5n) | BigInt(alphabet.indexOf(c));
  }
  const bytes = Buffer.from(bits.toString(16).padStart(70, '0'), 'hex');
  let crc = 0;
  for (const b of bytes.subarray(0, 33)) {
    crc ^= b << 8;
    for (let i = 0; i < 8; i++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : crc << 1;
  }
  must(bytes.readUInt16LE(33) === crc, 'the public nkey has a typing error');
  const x = bytes.subarray(1, 33).toString('base64url');
  return crypto.createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
}

// rootOf is where an audit path leads to.
function rootOf(hash, index, size, path) {
  let h = sha256(Buffer.from([0]), hash);
  let used = 0;
  const next = () => {
    must(used < path.length, 'the path is too short');
    return path[used++];
  };
  for (let i = index, n = size - 1n; n > 0n; i >>= 1n, n >>= 1n) {
    if (i & 1n) h = sha256(Buffer.from([1]), next(), h);
    else if (i < n) h = sha256(Buffer.from([1]), h, next());
  }
  must(used === path.length, 'the path is too long');
  return h;
}

const uint64 = (v) => {
  const b = Buffer.alloc(8);
  b.writeBigUInt64BE(v);
  return b;
};

// verifyReceipt holds a receipt against its event, and its proof against the signer's key.
function verifyReceipt(r, e, nkey) {
  const f = e.fields;
  must(e.hash.equals(r.hash), 'the event has another hash');
  for (const key of ['lineage', 'id']) must(isBytes(r[key]) && f.get(key).equals(r[key]), `the event has another ${key}`);
  for (const key of ['seq', 'version', 'time']) must(f.get(key) === r[key], `the event has another ${key}`);
  must((f.get('tick') ?? 0n) === r.tick, 'the event has another tick');
  must(f.has('prev') ? isBytes(r.prev) && f.get('prev').equals(r.prev) : r.prev === undefined, 'the event has another prev');
  const p = r.proof;
  must(p, 'the receipt has no proof');
  must(p.signer === nkey, `the receipt is signed by ${p.signer}`);
  must(p.first >= 1n && p.first <= r.seq && r.seq <= p.last, 'the proof is about other events');
  must(Array.isArray(p.path) && p.path.every((h) => isBytes(h, 32)) && isBytes(p.sig, 64), 'the proof has another form');
  const root = rootOf(r.hash, r.seq - p.first, p.last - p.first + 1n, p.path);
  const signed = Buffer.concat([Buffer.from('batpak.root.v1\0'), r.lineage, uint64(p.first), uint64(p.last), root]);
  must(crypto.verify(null, signed, keyOf(nkey), p.sig), 'the signature is not the signer\'s');
}


// treeOf is the root of the Merkle tree over hashes.
function treeOf(hashes) {
  if (hashes.length === 0) return sha256();
  let level = hashes.map((h) => sha256(Buffer.from([0]), h));
  while (level.length > 1) {
    const above = [];
    for (let i = 0; i < level.length; i += 2) {
      above.push(i + 1 < level.length ? sha256(Buffer.from([1]), level[i], level[i + 1]) : level[i]);
    }
    level = above;
  }
  return level[0];
}

// verifyHead holds a head against the signer's key, and against the journal's events.
function verifyHead(h, events, nkey) {
  const [lineage, seq, time, root, sig] = ['lineage', 'seq', 'time', 'commitment', 'sig'].map((key) => h.get(key));
  must(isBytes(lineage, 16) && typeof seq === 'bigint' && typeof time === 'bigint' && isBytes(root, 32), 'the head has another form');
  must(h.get('signer') === nkey && isBytes(sig, 64), `the head is signed by ${h.get('signer')}`);
  const signed = Buffer.concat([Buffer.from('batpak.head.v1\0'), lineage, uint64(seq), uint64(time), root]);
  must(crypto.verify(null, signed, keyOf(nkey), sig), 'the signature is not the signer\'s');
  must(seq <= BigInt(events.length), `the head is of ${seq} events`);
  const below = events.slice(0, Number(seq));
  must(below.every((e) => e.fields.get('lineage').equals(lineage)), 'the head is of another journal');
  must(treeOf(below.map((e) => e.hash)).equals(root), 'the head is of other events');
}

// verifyStream checks that a dump is the events from the first on: no gap, one lineage, whole batches, and each
// stream a chain. It returns them.
function verifyStream(dump) {
  const r = new Reader(dump, true);
  const events = [];
  const heads = new Map();
  let batch = 0n; // events of the batch that are still to come
  while (r.at < dump.length) {
    const e = readEnvelope(r);
    const f = e.fields;
    const seq = BigInt(events.length + 1);
    const at = (what) => `event ${seq}: ${what}`;
    must(f.get('seq') === seq, at(`its envelope says ${f.get('seq')}`));
    must(events.length === 0 || f.get('lineage').equals(events[0].fields.get('lineage')), at('another lineage'));
    const [index, count] = f.get('batch') ?? [0n, 1n];
    must(batch === 0n ? index === 0n : index === count - batch, at('a batch is not whole'));
    batch = count - index - 1n;
    const stream = JSON.stringify([f.get('scope'), f.get('entity'), String(f.get('lane') ?? 0n)]);
    const head = heads.get(stream);
    must(f.get('version') === (head ? head.version : 0n) + 1n, at('a version is missing'));
    must(!head || f.get('prev').equals(head.hash), at('the chain is broken'));
    heads.set(stream, { version: f.get('version'), hash: e.hash });
    events.push(e);
  }
  must(batch === 0n, 'the last batch is not whole');
  return events;
}


function main([what, ...args]) {
  if (what === 'receipt' && args.length === 3) {
    const [key, receipt, envelope] = [args[0], fs.readFileSync(args[1]), fs.readFileSync(args[2])];
    const bytes = isJSON(envelope) ? Buffer.from(JSON.parse(envelope.toString('utf8')).envelope, 'base64') : envelope;
    const r = receiptOf(receipt);
    verifyReceipt(r, parseEnvelope(bytes), key);
    return `valid: event ${r.seq}`;
  }
  if (what === 'stream' && (args.length === 1 || args.length === 3)) {
    const events = verifyStream(fs.readFileSync(args[0]));
    const lines = args.length === 3 ? fs.readFileSync(args[2], 'utf8').split('\n').filter((line) => line !== '') : [];
    for (const line of lines) {
      const r = receiptOf(Buffer.from(line));
      const e = events[Number(r.seq) - 1];
      must(e, `there is no event ${r.seq}`);
      verifyReceipt(r, e, args[1]);
    }
    return `valid: ${events.length} events, ${lines.length} receipts`;
  }
  if (what === 'head' && args.length === 3) {
    const h = decode(fs.readFileSync(args[1]));
    must(h instanceof Map, 'the head is no map');
    verifyHead(h, verifyStream(fs.readFileSync(args[2])), args[0]);
    return `valid: head at event ${h.get('seq')}`;
  }
  throw new Error('usage: verifier.js receipt KEY RECEIPT ENVELOPE | stream DUMP [KEY RECEIPTS] | head KEY HEAD DUMP');
}

try {
  console.log(main(process.argv.slice(2)));
} catch (err) {
  console.error(`not valid: ${err.message}`);
  process.exitCode = 1;
}
