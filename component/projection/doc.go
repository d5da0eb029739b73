// Package projection folds a journal's events, as the onward stream has them, into a state of
// the caller's: balances, a search index, a table in a database. It checks what it reads, and
// keeps a checkpoint, so that it goes on after a restart exactly where it was.
//
// # What is folded
//
// Every event once, in the order of the journal, from event 1 (or the checkpoint) on. The
// events of one batch are folded together: a [Projection.View] never sees a part of a batch,
// and a checkpoint never divides one. Before an event is folded it was checked:
//
//   - its bytes are an envelope in the one canonical form,
//   - it is the message that follows the last one: stream sequence = event sequence = last + 1,
//   - its lineage is the one that all events before had, the checkpoint's, and the one that
//     the stream's metadata names,
//   - the message's subject ends in the event's coordinate and kind,
//   - it continues its stream's chain: version, and the hash of the event before it,
//   - the event of an erasure says, in clear, what was erased.
//
// The last event of each stream is remembered for the chain, for [Config.Streams] streams, the
// most recent ones, and not in the checkpoint. A stream that is seen for the first time since
// the start, or was forgotten, is taken as it comes. A projection that began at event 1 in this
// process and has forgotten nothing knows better: there, a stream begins with version 1.
//
// # The checkpoint
//
// A checkpoint is one value that holds everything: the position and the state at that
// position. It is saved through a [Store] after every [Config.Every] events, when no event
// came for a while, soon after an erasure, and when [Projection.Run] ends. Because both are one value, a crash
// between two saves makes the projection fold the events since the last one again, into the
// state as it was then: for the state, every event counts once. For side effects outside of
// the state, see below.
//
//	offset  size
//	0       8     "batpakP" and the format, 0x01
//	8       8     Config.Version, big-endian
//	16      8     sequence of the last folded event, big-endian
//	24      16    lineage
//	40      32    hash of the last folded event
//	72      4     length of the state, big-endian
//	76      n     the state in MessagePack
//	76+n    4     CRC-32C (Castagnoli) of all bytes before, big-endian
//
// The state is encoded and decoded with github.com/vmihailenco/msgpack/v5, so a type may
// choose its own form through that package's interfaces; the result must pass codec.Check.
//
// A checkpoint with another Config.Version is not used: the projection begins at event 1 with
// a new state. Change the version whenever Fold, Erase or the state's type changes.
//
// At the start, and whenever the connection was lost, reading begins at the checkpoint's own
// event, whose hash is compared. If the stream does not have that many events, because it is
// being filled again, the projection waits until it has.
//
// # When it stops
//
// Run returns an error, and the store keeps the last checkpoint that was saved:
//
//   - ErrRewritten: the stream has another event at the checkpoint's sequence.
//   - ErrLineage: the stream belongs to another journal.
//   - ErrGap: the limits of the stream have dropped events that were not folded yet.
//   - ErrCheckpoint: the stored checkpoint is damaged. It is never ignored.
//   - *EventError: an event failed a check, could not be opened, or Fold or Erase refused it.
//   - whatever the Store says.
//
// A missing stream, a lost connection, a server that restarts: the projection waits and goes
// on. Run may be called again after an error; it begins with what the Store has.
//
// # State that lives elsewhere
//
// When Fold writes to a database, the checkpoint belongs into the same transaction. Let the
// state be empty (struct{}), let Fold write through the open transaction, begun by the first
// Fold after a commit, and give a Store whose Save writes the checkpoint's bytes into a row of
// its own and commits, and whose Load rolls back what is open and reads that row. Rows and
// checkpoint then change together or not at all, and every event counts once there too. Save
// is called between batches, on the goroutine that calls Fold. Erase writes through the same
// transaction.
//
// # Typed payloads
//
// Fold reads a payload with codec.Decode, which makes the newest type of an old one. A new upcast
// changes what old events fold to: change [Config.Version] with it when the state depends on it. An
// event whose schema is newer than the program is an error of Decode, and returned by Fold it stops the
// projection where it is, until the program is newer too.
//
// # Sealed payloads
//
// Payloads come sealed when the journal seals them, and [Event.Payload] is nil then. With
// [Config.Open] a projection that may read them asks a node for the payloads in clear, for
// many events at a time. Whether an event was erased by then says [Event.State]: Opened with the
// payload, or Shredded without one. Payloads in clear are held for the events that are folded
// next, and dropped once these were folded.
//
// # Erasures
//
// An erasure is an event of the journal, behind all events that it covers, and by the time it can
// be read the journal's node does not open those any more. A projection comes by it like by any event, in its place:
// while it follows the journal; after it was stopped at the time of the erasure, before it folds
// anything newer; and each time it reads the journal from event 1. There is no way to pass over
// one. [Config.Erase] is the hook that takes out of the state what came of the erased payloads.
//
// How much came of them depends on when the projection read: it may have folded a payload in
// clear and meet the erasure later, or find the events shredded before it meets the erasure,
// or some of both, because payloads are opened ahead of folding. The states differ until the
// erasure. Write Fold and Erase so that they do not differ behind it: make nothing of a shredded
// event, and let Erase leave what Fold makes of shredded events. Sums over the payloads of many
// people can only do that when the parts are kept too.
//
// For the state, Erase counts once for each erasure, as Fold does for each event. What it does
// elsewhere, outside of a transaction with the checkpoint, happens at least once: after a crash
// before the next save, Erase is called again for the same erasure. Deleting twice does no harm.
//
// An erasure of a scope that was erased before is told too, with no keys. A key scope that was
// renewed has events that open behind the erasure. [Erasure.Covers] says of any event whether it is
// one whose payload this erasure destroyed. When an erasure's event is not what it should be, an EventError ends Run: it is
// never passed over.
//
// The checkpoint from before an erasure holds what the state held. It is replaced as soon as
// no event waits to be folded, after Config.Every events at the latest; while a projection is
// stopped, also by an error, its checkpoint stays as it is. What is left of a checkpoint that was
// replaced, in the history of a bucket, in a backup, in the blocks of a disk, is out of this
// package's reach.
//
// Without the hook, a projection goes on as if nothing had been erased. If it has Config.Open it
// logs a warning then, once in each Run. A hook that is added later is not told of the erasures
// before the checkpoint: change Config.Version with it.
package projection
