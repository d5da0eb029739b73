// Package gates decides which events may exist. A caller of the journal writes rules as gates;
// the journal asks the chain of gates before it appends, and appends nothing without a permit.
//
// # Words
//
//   - A Proposal is an append that has not been judged: the header as far as it is known, and
//     the payload in clear.
//   - A Gate is a named rule. It looks at a proposal and at a View of the journal, and answers
//     nil (permitted) or a Denial. New makes one from a function, Fold one from a state that
//     is folded from the stream's events.
//     Some rules come ready: MaxSize, AllowKinds, RequireCauses, MaxRate; When narrows any gate
//     down to some scopes, entities or kinds. Package cel makes one from an expression.
//   - A Chain is the gates of one journal, in order. Judge stops at the first denial.
//     Evaluate asks all of them, for diagnosis, and permits nothing.
//   - A Permit is the proof that a chain said yes. It carries the proposal that was judged.
//   - A Bypass is a permit without gates. It needs a reason, which stays in the event.
//
// # What a gate sees
//
// The View shows the journal as it will be just before the proposed event: everything appended
// so far and the earlier events of the same batch. The journal judges proposals one after the
// other, each with the events before it in view, so a rule such as "the balance never goes below
// zero" cannot be raced by two appends that are each fine alone.
//
// That is also why a gate must be quick and must not wait: all appends wait with it. It must
// decide from the proposal and the view alone, or the same history could be judged in two ways.
//
// # Invariants
//
//   - Only a chain and Bypass make a permit that can be used. The zero Permit, and a copy of a
//     good one, are refused with ErrForged; a second use with ErrUsed.
//   - The permit's proposal is a copy taken before the first gate ran, and every gate gets a fresh
//     copy of it, so a gate that writes to its proposal changes neither what the next gate sees nor
//     what is appended. The copies are shallow: the bytes of Data and the elements of Causes, Gates
//     and Meta are shared, and must only be read.
//   - A denial names the gate that made it, has a code, and is bounded in size, whatever the gate
//     filled in. It is a copy: the gate may keep and reuse its own.
//   - A gate that panics denies, with CodeDefect. What it panicked with is kept in Denial.Err for
//     the node's log and is not in the message or the details, because it may quote a payload.
//     (A gate must not call runtime.Goexit: it ends the goroutine of its caller, and nothing
//     can catch that.)
//   - An empty chain, and a nil one, permits everything.
//
// # State that spans streams
//
// The view is by stream. A gate that counts across streams, as MaxRate does, has to keep its own
// count and take back what did not come about: because a later gate denied it, its batch was
// refused, or a group was rolled back. Such a gate is a Rewinder, and Chain.Rewind tells it from which
// sequence on nothing came about. Header.Time never goes back, and is the time that the event gets;
// no gate needs a clock.
//
// # What a gate must not remember
//
// A gate may keep what it derived from events, as Fold does. What it derived may hold what an
// erasure has to destroy, so such a gate implements Forgetter, and Chain.Forget tells it when
// keys were destroyed.
package gates
