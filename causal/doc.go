// Package causal is the vocabulary that the rest of the project speaks: where an event
// belongs (Coordinate, Stream), what it is (Kind), what identifies it (EventID, Hash), when
// it happened (HLC), what it follows from (Cause), how events of one stream chain (Head), and how
// events of all streams follow from each other (Graph).
//
// It knows nothing of encodings, disks or networks, and uses the standard library alone.
//
// # Sequence and version
//
// An event has two positions. Its sequence is the position in the journal: from 1, without
// gaps, fixed for ever. Its version is the position in its stream (one coordinate and lane):
// from 1; 0 means "no events yet".
//
// # The chain
//
// Each event carries the hash of the event before it in its stream (Header.Prev); the first
// one, version 1, carries none. An event's hash covers its whole envelope, Prev and lineage
// included:
//
//	hash = SHA-256( "batpak.event.v1" 0x00 envelope )
//
// so a changed byte anywhere in an event shows in the next event of the stream. Head holds
// what is needed to check or to extend a stream: Head.Check says whether an event is the
// legal next one, Head.Next moves on.
//
// # The graph
//
// The causes of events make a graph without cycles, across streams. Graph answers what follows from
// what. "Before" and "concurrent" are the graph's: what the appenders said, whatever clocks read.
//
// # Proofs
//
// A Tree is the Merkle tree over the event hashes of one commit batch. Its root stands for all of
// them, so that one signature over AppendRootMessage covers the batch, and an event's audit path of a
// few hashes shows with RootOfPath that the event is in it. A History is the same tree over all
// events of a journal, as much of it as it takes to go on: its root commits to everything up to an event, and whoever
// keeps one finds out later whether history was rewritten, and about where.
//
// # Clocks
//
// Times are hybrid logical clock readings (Kulkarni, Demirbas, Madappa, Avva, Leone:
// "Logical Physical Clocks and Consistent Snapshots in Globally Distributed Databases",
// 2014): milliseconds since 1970 and a 16-bit counter. A Clock never repeats a reading and
// never goes back, also when the wall clock does. Clock.Observe takes in the reading of
// another node and refuses one that is too far ahead.
//
// # Identity
//
// An EventID is a UUIDv7 (RFC 9562): 48 bits of milliseconds, then random bits. IDs makes
// them strictly ascending, so that within one journal the order of ids is the order of
// sequences.
package causal
