// Package journal is a durable, gated, tamper-evident log of events in one directory. It can be
// used by itself, without NATS.
//
// # Words
//
// A journal has one writer and one total order of events. A batch is what a caller appends, all or
// nothing. A group is what one sync makes durable: the batches of many callers. A segment is one
// file of the log, a frame one record in it. An event is visible once its group is durable;
// everything that reads shows visible events only.
//
// # The path of an append
//
//	Submit      checks what needs no state, queues; ErrBusy when the queue is full
//	survey      only with Unless: holds it against what is visible, in a goroutine of its own
//	sequencer   idempotency, expectation, gates; id, time, sequence, version, prev; seal; envelope, hash
//	committer   fence (flush new keys), write, sync, make visible
//	reply       calls done
//
// Sequencer, committer and reply are one goroutine each. While the committer syncs one group, the
// sequencer stages the next, and hands it over when the committer is free: no timers. A lone caller
// pays one sync; many share it. Gates see the journal as it will be just before their event, staged
// events included. A refusal is answered in order too, after the sync of what it was based on.
//
// # Erasing
//
// Shred erases a key scope: it appends an event that says so, makes that durable, destroys the scope's
// keys, makes the keyset durable, and answers. The request goes the way of an append, and is a barrier: it
// is staged when all before it is visible, and nothing is staged behind it before it is visible itself. So
// what it covers is what was appended before it, the count of that is exact, and what comes behind it
// finds an erased scope. Gates forget what they derived from payloads.
//
// An append into an erased scope is refused, unless it asks to renew it. Then an event that names
// the new key is staged in front of its batch, once for each scope, in the same group: both are durable, or
// neither is. A batch that is refused leaves the scope erased. What is staged behind a renewal sees it.
//
// Both kinds of event (causal.KindShred and KindRenew) are one stream, of the entity "erasures" at
// causal.SystemScope, are never sealed, and pass the gates with the reasons "shred" and "renew". Their payloads
// are codec.Erasure and codec.Renewal.
//
// The log has the last word on keys. Every sealed event names its key, and so the log says which scope has
// which key, how many events it seals, and whether it was destroyed; Open tells the keyset what it reads.
// The keyset knows up to which sequence it has been told. When that is before the checkpoint, as
// in a keyset that was put back from a backup, the checkpoint is not used and the whole log is read. What
// Open has destroyed is durable before the journal is handed out, and after the log is.
//
// # Reading
//
//	Get, GetSeq     one event, by its id or sequence
//	StreamEvents    a stream, from a version on
//	Read, Events    what a selection takes, by pages or one by one
//	Graph, Walk     what an event came from, and what came of it
//	Scan            the log's envelopes as they are, by one goroutine
//	Replay          the log's events, decoded by all cores: to fold much of it
//
// # The graph
//
// An event names its causes, and the index knows which events name a cause: Graph goes both ways by it, and
// Walk goes back in one stream, without reading the log through. Looking for effects asks the index of every
// segment from the cause's own on, a few blocks of each: a cause does not know how far its effects reach.
// Causes in other journals are kept and shown, and lead nowhere here.
//
// # Filtered reads
//
// The index knows which events of a segment are of a scope, an entity, a coordinate, a kind, a data subject, and
// a lane other than 0. A read that asks for several of these looks up the one with the fewest events, and reads
// those. So a page costs the events that may match, and a few blocks of the index of every segment that it
// passes: about the logarithm of what is in there, for each thing that is asked for. Where events lie close
// together they are read with what lies between. Lane 0 alone is looked for in the whole log. A page that has
// looked at much, as when few events are of two common things at once, comes back with what it has.
//
// # Signing
//
// With a signer, the sequencer grows the group's Merkle tree as it stages, the committer signs its root
// before it writes the group, and every receipt gets a proof: the signature, and the event's path in the
// tree. Proofs that go to the done of Submit are memory that the next request gets, so a node that answers
// at once leaves nothing of them to collect. A duplicate's receipt gets the proof of the first time, which is
// made again from the group's frames. A group that cannot be signed is not written: its batches get
// ErrStorage. Open relies on no signature: a journal may begin to sign, stop, and change its signer. Without
// one, duplicates have no proof.
//
// # Verifying
//
// Verify reads the log again, from the segments alone. One goroutine reads it and cuts it into pieces of whole
// groups; workers, one for each core, check the pieces: frames, commit checksums, canonical envelopes, hashes,
// signatures; one joins them in order and checks the chains. Only a check that begins behind the first event asks
// the index, where its group begins, and for the events before those that come first in their streams.
//
// What is wrong is named by sequence, the first one that is found in order. An event that was rewritten, with every
// checksum made right, does not fit the next event of its stream, which is then named together with it. In a group
// that is signed the signature does not fit, and the group is named. What the log by itself cannot tell:
//
//   - that the last event of a stream was rewritten, in a group that is not signed;
//   - that everything was written anew from some event on, hashes and all, without signatures or with other
//     ones: whose they should be, and that there should be any, the log does not know. Verification.Signed
//     and Signers say what there is;
//   - that the last groups are missing, or that a segment is an older state of itself. The checkpoint tells, when it
//     was not taken along.
//
// For these somebody has to have kept something elsewhere: a receipt with its proof (codec.VerifyReceipt), or a
// commitment to the history up to an event (causal.History), which covers every event before.
//
// # Denials
//
// With Options.KeepDenials, what gates refuse is kept as an event of kind causal.KindDenial, of the entity
// "denials" at causal.SystemScope, durable when the refusal is answered. It has the gate and the code, and
// the coordinate, lane and kind of the append; not the gate's message and details, the payload, its meta, key
// and data subject. Those may be personal data, the event is not sealed, and no erasure reaches it. (A
// coordinate is in the open anyway, and a code is for programs: a gate must not write a payload into it.)
//
// So that a flood of refusals cannot fill the disk, there are no more such events than KeepDenials in a minute,
// of at most 2 KiB each. The others are counted, and the next event says how many there were. The count
// ends with the process; after a group was rolled back it may be too high.
//
// # What fails
//
//   - When a write or a sync of a segment fails, the journal is poisoned: that group and all after it
//     get ErrPoisoned, reads go on, and only a new Open clears it. A sync is never tried again.
//   - When the keyset cannot be flushed, or there is no room for another segment, nothing of the
//     group was written: its batches get ErrStorage, the staged state returns to the durable one, and
//     groups that were built upon it are staged again. The keyset stays dirty, so that the next
//     group that seals flushes again.
//   - When the keyset cannot be flushed after the event of an erasure is durable, the erasure stays: it is
//     visible, the keys are gone from memory, and its caller gets ErrStorage, because the disk may
//     still have them. The next flush, or Open, removes them there.
//   - An event of an erasure that cannot be read is a DamageError: it may be one that has to be applied.
//   - What was acknowledged is durable, and stays.
//
// # Files
//
//	LOCK                    locked while the journal is open
//	journal.meta            name, lineage, seal granularity; written once, last of all
//	segments/%016x.seg      the log; the name is the first event's sequence
//	segments/%016x.idx      a sealed segment's index: a cache
//	segments/next.tmp       a segment that is being prepared
//	checkpoint              heads, idempotency keys, events per payload key at a sequence: a cache
//	history                 the Merkle tree over all events, as much as it takes to go on: a cache
//	keys/                   the keyset (package keystore)
//	INCOMPLETE              a copy is being made here: without a meta no journal is made
//
// Segments and keys are the truth. Caches carry checksums; one that is missing or damaged is made
// again from the segments and costs time only. All numbers are little-endian; CRC32C is the CRC-32
// with the Castagnoli polynomial (RFC 3720). Every file but a segment is published atomically:
// temporary file, write, sync, rename, sync of the folder.
//
// journal.meta:
//
//	8   "batpkmta"
//	4   format, 1
//	16  lineage
//	8   milliseconds since 1970 when it was created
//	1   seal granularity (keystore.Granularity)
//	1   length of the name, then the name
//	4   CRC32C of all before
//
// A segment has a header, then zeros up to offset 4096, then frames, then zeros up to its size, at least 8. The
// whole file is written with zeros and synced, header and all, before it gets its name, so a sync of
// frames has no metadata to write.
//
//	8   "batpkseg"
//	4   format, 1
//	4   offset of the first frame, 4096
//	8   size of the file in bytes
//	8   sequence of the first event
//	16  lineage
//	8   salt, random
//	4   zero
//	4   CRC32C of all before
//
// A frame, at a multiple of 8, padded with zeros to one:
//
//	4   length of the body
//	4   CRC32C of salt, length, the 8 bytes that follow, body
//	4   synced: offset in the segment up to which all was durable when this was written
//	1   epoch
//	1   type: 1 event, 2 commit, 3 mark, 4 signature
//	2   lower half of the CRC32C of salt, length, synced, epoch, type
//	    body
//
// The body of an event frame is its envelope (package codec). A commit frame ends a group; its body:
//
//	8   sequence of the group's first event
//	4   number of events
//	4   CRC32C of the group's frames before it, padding included
//
// In a journal that signs (Options.Signer), a signature frame stands between the events of a group and
// its commit frame, so that a group and its signature are there together or not at all. Its body:
//
//	56  the signer's public nkey, as text
//	64  Ed25519 over causal.AppendRootMessage of the group: the root of the Merkle tree over its event hashes
//
// A mark frame has no body. It is written when the journal is closed and when it is recovered, and
// promises through its synced that everything before it is durable. Groups leave room for one in the segment. After a torn write was cut off,
// a mark starts the next epoch, so that nothing of what was cut off can be taken for a frame again.
//
// An index file, of n events, has the events' positions in the segment from 0. Its header:
//
//	8   "batpkidx"
//	4   format, 4
//	4   n
//	8   sequence of the first event
//	8   the segment's salt
//	16  id of the first event
//	16  id of the last event
//	4   m, the number of entries of the last list
//	4   checksum
//
// Then three lists. Each is in blocks of as many entries as fit into 4096 bytes with the checksum that
// follows them; the last block of a list is as short as its entries. Nothing lies between blocks.
//
//	4n  offset of each event's frame
//	16n id of each event, ascending
//	12m 64-bit FNV-1a of a term, then position of an event that has it; ascending, each once
//
// The terms of an event, and what each is the hash of:
//
//	0x01, scope, 0x00, entity
//	0x02, id of a cause; not of one in another journal
//	0x03, scope
//	0x04, entity
//	0x05, kind (2 bytes)
//	0x06, data subject, if it has one
//	0x07, lane (4 bytes), if it is not 0
//
// So an event takes 68 bytes of an index, and 12 more for each of cause, subject and lane other than 0. Two terms
// may have one hash, so whoever looks up a term looks at the events too.
//
// The checksum of a block, and of the header, is the CRC32C of salt, the block's offset in the file (8
// bytes), block. So each read of a block is checked by itself, and one that comes from another place
// or another file is noticed. When a block cannot be read as it was written, the segment's index is made
// in memory from the segment. A file of another format is as good as none.
//
// The checkpoint:
//
//	8   "batpkchk"
//	4   format, 2
//	16  lineage
//	8   sequence of the last event it covers
//	8   number of streams; for each, ascending by sequence: 2 length and scope, 2 length and entity,
//	    4 lane, 8 sequence, 8 version, 32 hash of its last event
//	4   number of generations of idempotency keys, oldest first; for each: 8 youngest key's
//	    milliseconds, 8 number of keys; for each, ascending by sequence, then hash: 16 hash of
//	    the key, 8 sequence
//	8   number of payload keys that seal events; for each, ascending by id: 16 id, 8 number of
//	    events, of keys that were destroyed too
//	4   CRC32C of all before
//
// So that one state has one file: a reader does not rely on the order. A checkpoint is written only when
// the keyset on disk has been told as much of the log. One of another format is as good as none.
//
// The history, which is there once History was called:
//
//	8   "batpkhis"
//	4   format, 1
//	16  lineage
//	8   number of events
//	32  hash of the last one; zero when there is none
//	4   number of nodes; for each, 32: the marks and peaks of causal.History
//	4   CRC32C of all before
//
// It is believed as far as the log has its last event. One who changes an event before that in the log, and leaves this
// file, changes no root; who reads all events finds out.
//
// The hash of a key is the first half of SHA-256 over lineage, length of the scope (2 bytes,
// big-endian), scope, key. Of the content that came with a key nothing is kept but the event itself: a
// retry is compared with the event, whose payload opens only as long as it was not erased.
//
// # Recovery
//
// Open reads the segments in order. All but the last must be whole. In the last one, the frames end
// at the last whole group. What lies behind is one of three:
//
//   - zeros: nothing was being written;
//   - torn: bytes that are no whole group, and no intact frame among or behind them promises by its
//     synced that they were durable. They were never acknowledged: they are cut off, zeroed, synced;
//   - rotten: a frame behind says they were durable. That is a DamageError with file, offset and
//     sequence, as is damage anywhere else. Nothing is changed then.
//
// Before anything is cut off, the segment is read once more. Two readings that differ are a DamageError
// too, and the next Open decides: a reading may go wrong on its way from a disk that is good.
//
// Before anything is built upon what was found, the folders are synced (that of the keys by the
// first group that seals), and the frames behind the
// last promise are written again and synced: a process that died, or whose sync failed, may have
// left names and frames in the system's cache alone.
//
// Of a group that was synced last before the power went, and rotted before the next Open, nothing says
// that it was durable; it is taken for torn. A journal that was closed has its mark for that.
//
// What the disk must do: keep what it synced; write aligned sectors of 512 bytes whole or not at all,
// or at least leave the bytes around those written as they were; and make a rename in a synced folder
// durable.
//
// # Backup
//
// Backup copies a journal while a process writes it, without a lock: segments only grow, sealed ones do not
// change, and the meta is fixed. Of the segment that is open it takes the groups that are whole, and syncs the
// file, so that they are durable and the copy has nothing that its original may lose; the rest is zeros. Caches are
// not copied.
//
// The log comes first and the keys come last. A key is durable before any ciphertext under it is written, so the
// keys that are copied later open everything in the log that was copied. A key is destroyed when its erasure
// is durable: when the log was copied before that, the keys that are copied later have its tombstone, or the erasure
// was not done when they were copied; when it was copied after, opening the copy applies it. The other order would
// lose the keys of what was appended meanwhile.
//
// A copy without keys gets a keyset that is new and has seen nothing, so opening it reads the whole log: events
// are shredded whose keys the log says were destroyed, and the keys of the others are missing.
//
// The files of a backup, in the order in which they are in a tar stream (ustar, plain files, nothing else):
//
//	segments/%016x.seg      ascending
//	keys/keyset             with keys; in a folder, one without keys too
//	backup.json             format 1, journal, lineage, head, hash, keys, taken: what the backup says of itself
//	journal.meta            last: without it there is no journal
//
// Restore believes none of it, see there. It makes a journal of the same name and lineage, which goes on from the
// backup's head. Erasures from beyond that are not in its log. Whoever knows them gives them to Restore: they become
// tombstones in the keyset, and the scopes stay erased.
//
// FindResidue searches the files for what an erasure should not have left.
//
// # Defects found by exploring
//
// Tests run the journal on a simulated disk (package faultfs), crash it at each operation, and make
// each operation fail and each read give wrong bytes; others read, flip and cut its files byte by byte.
// What they find stays found: TestDefectsStayMended replays each of these, which the exploration
// finds when it is put back.
//
//   - A read that went wrong by itself while frames were written again wrote the wrong bytes back over
//     the right ones. Frames are checked before they are written again. See also
//     TestOneWrongReadCutsNothingOff.
//   - A read that went wrong made acknowledged events at the end of the log look torn, and they were cut
//     off. What is to be cut off is read twice. The same test.
//   - A read of an index that went wrong was answered with ErrNotFound, and a stream ended early. Each
//     block of an index has a checksum, from format 2 on. See also TestAFlippedReadOfAnIndexHidesNothing.
//   - A folder that had no room for a segment's name poisoned the journal. The append fails with
//     ErrStorage, and later ones succeed. See also TestAFullDiskRefusesAppendsUntilThereIsRoom.
//
// # Memory
//
// Resident are the stream heads (about 120 bytes each with their names), the idempotency window (about 50 bytes a
// key), at most 2 MiB of hashes for the history once it was asked for, and the index of the open segment (about 60 bytes
// an event, 8 a cause, and as much again when somebody reads by anything but sequence and id). Sealed segments answer
// from their files, a block of 4096 bytes at a time. While Verify runs, it has a head of each stream in its range of
// its own, and pieces of 128 KiB and a group of the log, two more than it has workers. Replay has as many
// pieces, of 128 KiB alone, with what is decoded of them.
package journal
