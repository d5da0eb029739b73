// Package bench measures how fast something answers, and prints what it found.
//
// # Words
//
// A [Load] is a closed loop: it keeps a fixed number of operations in flight,
// and starts the next one when one ends. It has two forms. [Load.Requests] sends
// NATS requests: a bare echo, an append to a node and a JetStream publish are
// measured by the same loop, so their figures can be divided by each other.
// [Load.Calls] calls a function from as many goroutines: a journal without NATS,
// another store, one fdatasync.
//
// A [Row] is what one run measured, a [Series] the rows of several runs of the
// same thing. [Rounds] takes turns between several things, so that a machine
// which slows down for a while slows all of them down. A [Ratio] sets two of
// them against each other, with the bound that it should keep.
//
// # What is counted
//
// With a Duration, an operation is counted when it ended inside the window that
// begins after Warmup and is Duration long. With a Count, the first Count
// operations that were started after Warmup are counted, all of them. Latency
// runs from just before the operation was started to its end: for a request,
// from the publish to the reply's callback.
//
// An answer that is an error is not a fast success: it is counted in
// [Row.Errors], the first one is kept in [Row.Err], and neither rate nor latency
// includes it. So are a request that was never answered and a second answer to
// one request.
//
// A closed loop does not see the waiting line that an open system would build up
// behind a slow answer; percentiles are those of the operations that were made.
//
// # What it costs
//
// Generator, server and node often share few cores, so what the generator spends
// is taken from what it measures. A slot of the load sends its next request from
// the callback that got its last reply. There is no goroutine, timer, channel or
// map entry per request, reply subjects are made once, and latencies go into a
// fixed [Histogram] per connection. What is left is the NATS client's own work.
//
// # Peers
//
// [StartServer] runs a nats-server in this process on a loopback port,
// [StartEcho] answers requests with their own bytes, [NewStream] makes a
// JetStream stream on one replica and on disk. With [ServerOptions.SyncAlways]
// its publish is durable when it is acknowledged, and so is comparable to an
// append. [Fdatasync] measures the disk alone.
package bench
