'use strict';

// A decoder of MessagePack for what the protocol has: maps, arrays, strings, bytes, integers, booleans and nil.
// Integers are BigInt, bytes are Buffer, maps are Map. It believes no length before it has seen the bytes.

const maxDepth = 64;

class Reader {
  // With canonical, integers and lengths have to be in their shortest form, as in an envelope.
  constructor(bytes, canonical) {
    this.bytes = bytes;
    this.at = 0;
    this.canonical = canonical;
  }

  take(n) {
    if (n > this.bytes.length - this.at) throw new Error(`bytes end at ${this.bytes.length}, ${n} are missing at ${this.at}`);
    this.at += n;
    return this.bytes.subarray(this.at - n, this.at);
  }

  // uint reads n bytes, big-endian; in canonical bytes the number has to need them.
  uint(n, least) {
    let v = 0n;
    for (const b of this.take(n)) v = (v << 8n) | BigInt(b);
    if (this.canonical && v < least) throw new Error(`${v} is not in its shortest form at ${this.at}`);
    return v;
  }

  int(n, most) {
    const v = BigInt.asIntN(8 * n, this.uint(n, 0n));
    if (this.canonical && v > most) throw new Error(`${v} is not in its shortest form at ${this.at}`);
    return v;
  }

  str(n) {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(this.take(Number(n)));
  }

  array(n, depth) {
    const list = [];
    for (let i = 0n; i < n; i++) list.push(this.value(depth + 1));
    return list;
  }

  map(n, depth) {
    const map = new Map();
    for (let i = 0n; i < n; i++) {
      const key = this.value(depth + 1);
      if (typeof key !== 'string') throw new Error(`a key is no string at ${this.at}`);
      if (map.has(key)) throw new Error(`the key ${key} is there twice`);
      map.set(key, this.value(depth + 1));
    }
    return map;
  }

  value(depth = 0) {
    if (depth > maxDepth) throw new Error(`nested deeper than ${maxDepth} at ${this.at}`);
    const type = this.take(1)[0];
    if (type <= 0x7f) return BigInt(type);
    if (type <= 0x8f) return this.map(BigInt(type & 0x0f), depth);
    if (type <= 0x9f) return this.array(BigInt(type & 0x0f), depth);
    if (type <= 0xbf) return this.str(type & 0x1f);
    if (type >= 0xe0) return BigInt(type) - 256n;
    switch (type) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: return this.take(Number(this.uint(1, 0n)));
      case 0xc5: return this.take(Number(this.uint(2, 1n << 8n)));
      case 0xc6: return this.take(Number(this.uint(4, 1n << 16n)));
      case 0xcc: return this.uint(1, 1n << 7n);
      case 0xcd: return this.uint(2, 1n << 8n);
      case 0xce: return this.uint(4, 1n << 16n);
      case 0xcf: return this.uint(8, 1n << 32n);
      case 0xd0: return this.int(1, -33n);
      case 0xd1: return this.int(2, -129n);
      case 0xd2: return this.int(4, -32769n);
      case 0xd3: return this.int(8, -2147483649n);
      case 0xd9: return this.str(this.uint(1, 32n));
      case 0xda: return this.str(this.uint(2, 1n << 8n));
      case 0xdb: return this.str(this.uint(4, 1n << 16n));
      case 0xdc: return this.array(this.uint(2, 16n), depth);
      case 0xdd: return this.array(this.uint(4, 1n << 16n), depth);
      case 0xde: return this.map(this.uint(2, 16n), depth);
      case 0xdf: return this.map(this.uint(4, 1n << 16n), depth);
    }
    throw new Error(`type 0x${type.toString(16)} at ${this.at - 1} is none of the protocol's`);
  }
}

// decode reads the one value that bytes are.
function decode(bytes) {
  const r = new Reader(bytes, false);
  const v = r.value();
  if (r.at !== bytes.length) throw new Error(`${bytes.length - r.at} bytes behind the value`);
  return v;
}

module.exports = { Reader, decode };
