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
// # The fence
//
// Minting and destroying change memory only and leave the store dirty.
// [Store.Flush] writes the keyset, and the store is clean when the disk has
// everything that memory has. Whoever acknowledges a ciphertext must have seen a
// Flush return nil, or Dirty return false, after the key was had from the store.
// A flush that failed leaves the store dirty and the keys in memory, so the next
// append under the same scope, although it finds its key at once, must flush
// again before it is acknowledged.
//
// A store that was loaded is dirty too. A process that dies between the rename and
// the sync of the folder leaves a keyset that can be read, and that a loss of power
// replaces by the one before it; who loads it cannot tell. So the first flush
// syncs the folder, and needs no more when nothing has changed.
//
// Flush takes what there is at one moment and does its I/O without holding up
// the minting of further keys; those make the store dirty again. It replaces the
// file as a whole ([faultfs.Publish]): a crash or an error leaves the old keyset
// or the new one. Its cost is proportional to all keys, not to the new ones.
//
// # Refusal
//
// A keyset cannot be rebuilt, so [Load] never guesses. Any damage is a
// [DamageError], another granularity is [ErrGranularity], a file that is not
// there is [ErrNotExist], and no error comes with a store. An empty keyset exists
// only because [New] made it, and New refuses when a keyset is there.
//
// # What wiping means
//
// Destroy overwrites the key's bytes in memory, and a flush its buffer. What the
// cipher left on stacks, what the system swapped out or dumped, and the disk
// blocks of a replaced keyset file are beyond this package. Whoever can read old
// blocks or old copies of the file can read the keys that were live in them.
// Neither the file nor the digest at its end keeps a secret or proves who wrote
// it: the file is for its owner only (mode 0600).
//
// # The keyset file
//
// The name is "keyset". Beside it "keyset.tmp" may be left by a crash; it is not
// read, and is removed. Integers are big-endian. In order, without padding:
//
//	 8  magic      the bytes "batpakks"
//	 2  format     1
//	 1  granularity  1 none, 2 entity, 3 category, 4 kind, 5 event, 6 subject
//	 1  reserved   0
//	 4  count      of entries
//	    entries    in the order in which the keys came to be
//	32  digest     SHA-256 of all bytes before it
//
// An entry is:
//
//	 1  state      1 live, 2 destroyed
//	16  key id
//	    scope      by granularity, see below
//	32  key        only when live
//
// and a scope is:
//
//	entity    2 length, scope, 2 length, entity
//	category  1 category, at most 15
//	kind      2 kind
//	event     16 event id
//	subject   2 length, subject
//
// where a length is 1 to 256. A key id occurs once, and a scope has at most one
// live key. Nothing may be left between the last entry and the digest. The
// digest stays at the end, over everything, in any later format, so that damage
// and a newer format ([ErrFormat]) can be told apart.
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
//
// # Sealing
//
// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) with a 32-byte key, a random
// 24-byte nonce and a 16-byte tag behind the ciphertext. What the associated
// data binds the ciphertext to is the caller's choice.
package keystore
