// Package relay publishes the committed events of a journal onward, into the JetStream stream
// that belongs to the journal.
//
// # The invariant
//
// Message N of the stream is event N of the journal, byte for byte. Everything here serves
// that. The relay keeps no checkpoint of its own: where the stream stands says what is to be
// published next. Each message is published with the header Nats-Expected-Last-Sequence, so
// the server stores event N only as message N, and publishing again what the stream already
// has changes nothing. A crash at any moment, of the relay, of the node or of the server,
// leaves no gap and no duplicate.
//
// # The stream
//
// Its name is BATPAK_ and the journal's name in upper case, its one subject is
// PREFIX.JOURNAL.events.>, and its metadata names the journal (batpak.journal) and its lineage
// (batpak.lineage). A missing stream is created: file storage, no limits, direct gets allowed,
// deleting and purging of messages denied. An existing one may have limits (age, size, number):
// numbering outlives the messages. It is used when
//
//   - its metadata names this journal and this lineage, or it has no such metadata and never
//     had a message: then it is marked,
//   - nothing but publishing fills it, its numbering starts at 1, and it acknowledges.
//
// A message is published to PREFIX.JOURNAL.events.SCOPE.ENTITY.KIND, scope and entity escaped
// as in package codec and the kind as 4 hexadecimal digits. A traceparent in the event's meta
// goes along as a header.
//
// # How it goes on
//
// The relay works in epochs. An epoch starts by asking the stream where it stands and by
// comparing the end of the stream with the journal; then events are published without waiting
// for each acknowledgement, up to a number and a number of bytes on their way. Anything that
// is out of order ends the epoch: a refused message, a missing acknowledgement, a lost
// connection. What was on its way is forgotten (acknowledgements carry the epoch, so late ones
// are ignored) and the next epoch asks again. Between epochs that get nothing done the relay
// waits, longer each time.
//
// A stream that was deleted is created again and filled from event 1. A stream that lost its
// end, or a server that was restored from a backup, is filled from where it stands.
//
// # When it stops
//
// The relay does not repair a stream that disagrees with the journal: it stops, and says so in
// [Relay.State], [Relay.Wait] and [Relay.Stop] with a [StreamError]. ErrForeign: the stream
// belongs to another journal or to nobody. ErrOtherWriter: a message is not the journal's
// event. ErrAhead: the stream has more than the journal, for example because the journal was
// restored from an old backup. ErrUnfit: its configuration cannot hold the invariant. What to
// do then is for people to decide; deleting the stream always works, the journal has it all.
//
// One foreign message in the middle of a pipeline takes the number of an event, and what was
// published behind it may still be accepted. So whatever may have been on its way is compared,
// not only the last message.
//
// # Words
//
// Published is the watermark: the highest sequence up to which the stream acknowledged
// everything. An epoch's flight is what was sent and not acknowledged.
package relay
