// Package component serves a journal on NATS, and talks to one.
//
// A [Node] owns one directory, opens the journal in it, and answers requests for it: appends are
// answered when the gates have permitted them and the disk has them, and what is committed goes
// onward into a JetStream stream. A [Client] makes the requests from Go. PROTOCOL.md, beside this
// file, is the protocol for everybody else.
//
// # A node
//
// [Open] takes the steps that make a node the only one for its journal's name, in this order: ask
// whether somebody answers already, lock and open the journal, add the service, look for another
// service that claims the name, start the relay, and take requests. [Node.Drain] goes the other
// way gently, [Node.Close] at once. Whatever ends a node, everything that was acknowledged is on
// disk, and the next Open goes on where it was.
//
// The connection stays the caller's. A node needs the permission to subscribe to P.J.> and
// $SRV.>, and to publish to P.J.events.>, P.J.heads, $JS.API.>, $SRV.> and the inboxes of its clients. Because
// a reply goes wherever its request says, a node does not work on a request whose reply would
// go to a subject that begins with "P." or "$": a client that may only append could otherwise
// write into the onward stream. Give a node no more permissions than that.
//
// [Append] and [Client.Read] are the plain way. [Decide] is for a rule that a client has and the node
// has not: it reads, decides, appends on condition that nothing has come in between, and decides again
// from what the conflict brought.
//
// # How requests are worked on
//
// The handler of an endpoint runs on the goroutine of its subscription, for one request after the
// other, and does not wait: it decodes, checks, and hands over.
//
//   - append, batch and shred go into the journal's queue. The journal's reply goroutine publishes
//     the receipt. With ack "stream" the receipt is held until the relay has published the event; see
//     heldReplies.
//   - get, read, open, walk, graph and verify read from disk, each in a goroutine of its own, up to
//     Config.MaxReads at a time; of verify up to 4, which share all cores but one, or have one core each when
//     there are fewer than 9.
//   - head and status are answered from memory at once.
//
// Everything is bounded: the journal's queue, the held replies, the reads, what waits in a
// subscription. What is over a bound is answered with busy at once; only what the subscriptions
// themselves cannot hold gets no answer.
//
// # Replies
//
// A reply never passes the payload limit of the connection. A page ends early, and a payload is
// accepted only when its event fits a message, so that what went in comes out again. In JSON,
// where an event takes twice its size and more, one that does not fit is refused with too_large,
// and can still be had as MessagePack.
//
// # After a restore
//
// A journal that was restored from a backup (package journal) may lack erasures that were on record after it.
// They are in the onward stream: ErasuresBeyond reads and checks them, before there is a journal to be served.
//
// # Heads
//
// A node publishes how far its journal has come, with a commitment to every event, on P.J.heads (Config.Heads). The
// journal adds to the tree when it is asked to, so that appends do not wait, and the node asks in a goroutine of
// its own. A [Witness] keeps the last head, in the file that is a [KeptHead], and has its [Client] refuse the node, appends
// and reads alike, when a head does not go on from it: then an event was changed or taken back, whoever holds the
// signing key. It needs the permission to subscribe to P.J.heads, and to publish to P.J.read and P.J.status.
//
// # Errors
//
// errorReply says which code of the protocol an error of the journal, of a gate or of the node
// itself becomes; refusalIn is the way back, on the client's side. What is a defect, a panic in a
// handler included, becomes internal and is told to the log in full; the client learns nothing of
// it. A sealed payload that does not open under its own key, and other damage, is storage, and
// not worth a retry.
package component
