// Package keystore keeps the keys that payloads are sealed with, so that
// destroying one key erases every payload under it.
//
// # Words
//
// A scope says which events share a key. A [Granularity], fixed when the keyset
// is made, says how a scope comes from an event's header: one per entity (scope
// and entity together), per category, per kind, per event, or per data subject.
// A [Key] belongs to one scope, has a random 16-byte id that every ciphertext
// under it carries, and seals and opens. The [Store] is all keys of one journal,
// and the keyset is the file that they are in.
//
// A key is live or destroyed. Of a destroyed key the scope and the id remain, as
// a tombstone, so that three things which look alike stay apart:
//
//   - [ErrShredded]: the key was destroyed on purpose, and the payload is gone;
//   - [ErrKeyMissing]: this keyset has never had the key;
//   - [ErrTampered]: the key is here, and the bytes are not what it sealed.
//
// A destroyed scope gets no new key unless [Store.Renew] asks for one. That is
// another key with another id: what was sealed before stays shredded.
//
// # Keys ahead of need
//
// A store keeps a reserve: keys that are durable and nobody's. A scope that needs a key gets one of
// them at once ([Store.GetOrCreate]), and nothing has to be flushed for it. [Store.Reserve] refills it
// where nobody waits, with twice as many keys as were taken lately, up to 16384; when it is used
// up, keys are minted on the spot, and the fence flushes them. Keys of the reserve are in memory until they are
// given out, unless they were loaded.
//
// Which scope has which key is written with the next flush, whenever that is. Until then the log says so,
// whose events name their key: whoever opens a log calls [Store.Bind] for each sealed event from [Store.Seen] on, and
// [Store.Destroy] for each erasure, before anybody gets a key. So a keyset from a backup, however old, learns
// which of its keys are taken, which are missing, and which are to be destroyed. [Store.SetSeen] says how much of the
// log the keyset knows.
//
// # The fence
//
// A key that is minted, and a destruction, change memory only and leave the store dirty.
// [Store.Flush] writes what is new, and the store is clean when the disk has
// every key that was given out and no key that was destroyed. Whoever acknowledges a ciphertext must have seen a
// Flush return nil, or Dirty return false, after the key was had from the store.
// A flush that failed leaves the store dirty and the keys in memory, so the next
// append under the same scope, although it finds its key at once, must flush
// again before it is acknowledged.
//
// A store that was loaded is dirty too. A process that dies between a write and its
// sync, or between a rename and the sync of the folder, leaves a keyset that can be read, and that a loss of power
// replaces by the one before it; who loads it cannot tell. So the first flush
// writes the last state again, and syncs file and folder.
//
// Flush takes what there is at one moment and does its I/O without holding up
// the minting of further keys; those make the store dirty again. Its cost is that of the new keys, however many
// there are already.
//
// # Refusal
//
// A keyset cannot be rebuilt, so [Load] never guesses. Any damage is a
// [DamageError], another granularity is [ErrGranularity], a file that is not
// there is [ErrNotExist], a keyset whose wrapping does not come off is [ErrWrapped] or [ErrWrongKey], and no error
// comes with a store. An empty keyset exists
// only because [New] made it, and New refuses when a keyset is there.
//
// # Keys at rest
//
// Keys lie in the file sealed under a master key, which is in the file's header: as it is, or wrapped
// by a key-encryption key that is kept elsewhere (a [Wrapper]: [Passphrase], [RawKey], or
// Vault's transit engine in package keystore/vault). [Rekey] gives a keyset another master key and another wrapping. It
// writes a new file with the keys that are alive, and renames it over the old one; the log is not touched.
//
// # Copies
//
// [Snapshot] copies a keyset that a store may be writing: what it gives is whole, has nothing left of destroyed keys
// and has seen nothing, so that the log it is opened with teaches it everything. [Residue] looks for keys that can
// still be had from a folder's bytes, wherever they lie in them. [Inspect] counts keys without opening any.
//
// # What wiping means
//
// Destroy overwrites the key's bytes in memory, and a flush its bytes in the file, where they are. What the
// cipher left on stacks, what the system swapped out or dumped, what a file system that copies on write or a disk
// that moves its blocks has kept of the old bytes, and copies of the file are beyond this package. Who has such a copy
// and the key-encryption key can read the keys that were live in it.
//
// # The keyset file
//
// The name is "keyset", for its owner only (mode 0600). Beside it "keyset.tmp" may be left by a crash; it is not
// read, and is removed. Integers are big-endian. A CRC is CRC-32C (Castagnoli, RFC 3720) over the file's salt, a
// place (8 bytes) and the bytes in question. The header is written once, in the first 4096 bytes:
//
//	 8  magic      the bytes "batpakks"
//	 2  format     2
//	 1  granularity  1 none, 2 entity, 3 category, 4 kind, 5 event, 6 subject
//	 1  reserved   0
//	16  salt of this file
//	16  salt of the scopes, the same for the life of the keyset
//	 1  length, and the method by which the master key is wrapped; "clear" when it is not
//	 2  length, and the master key, wrapped; 32 bytes as they are when it is clear
//	    zeros up to 4064
//	32  digest     SHA-256 of the 4064 bytes before it
//
// What a wrapping is bound to is "batpak.master.v1", 0x00, the granularity's byte and the salt of the scopes.
//
// Two states follow, at 4096 and 8192. They take turns; the one with the higher number counts, and is in the page
// that its number modulo 2 says. Zeros fill the page:
//
//	8  number     of states written, from 0
//	8  count      of records that are durable
//	8  seen       sequence of the log up to which the keyset knows what it says
//	8  wiped      so many records at the front: the keys that they destroy are wiped
//	4  zero
//	4  CRC        with the page's offset as its place
//
// Then records, from 12288 on, 80 bytes each:
//
//	 4  CRC        with the record's number, from 0, as its place
//	 1  type       1 key, 2 bound, 3 destroyed
//	 3  zero
//	 4  tag        random, the same for all records of one flush
//	 4  number of records in the flush
//	16  key id
//	48  body       a key: sealed under the master key; else 16 the scope's hash, zeros
//
// A key is sealed with XChaCha20-Poly1305; the nonce is its id and 8 zeros, the associated data "batpak.key.v1",
// 0x00. A key's record whose key is destroyed has been overwritten behind the id, and its CRC does not count. A scope's hash is the first half of SHA-256 over
// the salt of the scopes, the granularity's byte, and the scope:
//
//	entity    2 length, scope, 2 length, entity
//	category  1 category, at most 15
//	kind      2 kind
//	event     16 event id
//	subject   2 length, subject
//
// where a length is 1 to 256. A key id has one record of a key, and one scope at most.
//
// A flush writes its records behind those that are counted, syncs, and writes a state that counts them. Records of
// a whole flush behind the counted ones are taken in, whatever the states say: they were durable, or about to be.
// What is no whole flush was never acknowledged, and is cut off; unless one of the states is not whole, which only
// happens while the records are: then it is damage. So one rotten state is no harm, and everything else is refused.
//
// Keysets of format 1, which held a list of entries and were replaced as a whole, are converted when they are
// loaded.
//
// # Memory
//
// A key takes about 90 bytes, and its secret is not among them: it stays in the file, sealed. Of the keys that were used
// last, 4,096 to 8,192 are open in memory. One that gives way to others is wiped there, as is one that is destroyed;
// whoever holds it does not notice, because it is read again.
//
// # Defects found by exploring
//
// Tests crash a keyset on a simulated disk (package faultfs) at each operation, crash
// its recovery too, and make each operation fail. What they find stays found:
//
//   - A loaded keyset was clean before its folder was synced. A process that died before
//     that sync left a keyset which the next one loaded and promised by, and a loss of
//     power took both back. A loaded keyset is dirty until its first flush.
//     TestALoadedKeysetStaysDirty replays it.
//   - A state that could not be written, or whose page a failed sync had lost, was followed by the other one: a crash
//     left neither of the two.
//   - A state that was found torn was not made whole before records were written behind it: half a flush was then
//     refused as rot.
//   - A key was wiped whose record only a state counted that was not durable yet: without that, its flush was not
//     whole any more.
//   - What was seen of the log was forgotten when it could not be written the first time.
//   - Records behind the counted ones were ignored after one reading that went wrong. They are read twice.
//
// TestDefectsStayMended replays the tokens that showed them, TestALoadedKeysetStaysDirty that of the first.
//
// # Sealing
//
// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) with a 32-byte key, a random
// 24-byte nonce and a 16-byte tag behind the ciphertext. What the associated
// data binds the ciphertext to is the caller's choice.
package keystore
