package projection

import (
	"fmt"
	"strings"

	"batpak/causal"
	"batpak/codec"
)

// run is what one call of Run knows. One goroutine uses it.
type run struct {
	stream  string
	lineage causal.Lineage // that every event must have; zero until the first one
	at      position       // of the last folded event
	saved   uint64         // sequence in the Store
	erased  bool           // the hook was told of an erasure, and the Store does not have that yet
	warned  bool           // that there is no hook
	heads   *heads

	// Events that were checked and not folded yet: they wait for the rest of their batch.
	// The last one is what the next message must follow.
	held []causal.Event

	events []Event // for one call of fold after the other
}

// tip returns the last event that was checked.
func (r *run) tip() position {
	if n := len(r.held); n > 0 {
		last := &r.held[n-1]
		return position{last.Seq, last.Lineage, last.Hash}
	}
	return r.at
}

// take checks a message that came with the stream sequence seq, the one after the tip's, and holds
// its event.
func (r *run) take(m *message) error {
	var ev causal.Event
	if n := len(r.held); n > 0 {
		ev = r.held[n-1] // neighbours share strings
	}
	if err := codec.DecodeEnvelopeInto(m.data, &ev); err != nil {
		return &EventError{Doing: "check", Seq: m.seq, Err: err}
	}
	err := r.check(m, &ev)
	if err == nil && erases(&ev.Header) {
		_, err = decodeErasure(&ev)
	}
	if err == nil {
		err = r.heads.follow(&ev)
	}
	if err != nil {
		return &EventError{Doing: "check", Seq: m.seq, ID: ev.ID, Err: err}
	}
	r.lineage = ev.Lineage
	r.held = append(r.held, ev)
	return nil
}

func (r *run) check(m *message, ev *causal.Event) error {
	if !r.lineage.IsZero() && ev.Lineage != r.lineage {
		return fmt.Errorf("%w: %s, not %s", ErrLineage, ev.Lineage, r.lineage)
	}
	if ev.Seq != m.seq {
		return fmt.Errorf("%w: it is event %d", ErrMisfit, ev.Seq)
	}
	want := fmt.Sprintf(".events.%s.%s.%04x", codec.EscapeToken(ev.Scope), codec.EscapeToken(ev.Entity), uint16(ev.Kind))
	if !strings.HasSuffix(m.subject, want) {
		return fmt.Errorf("%w: subject %q does not end in %q", ErrMisfit, m.subject, want)
	}
	// A batch is Count events in a row. Checkpoints do not divide one, so what is held begins
	// with the first of a batch, or has none.
	var next causal.BatchPos
	if n := len(r.held); n > 0 {
		if last := r.held[n-1].Batch; last.Index+1 < last.Count {
			next = causal.BatchPos{Index: last.Index + 1, Count: last.Count}
		}
	}
	if next.Count == 0 && ev.Batch.Index == 0 {
		return nil
	}
	if ev.Batch != next {
		return fmt.Errorf("%w: it is %d of a batch of %d, after %d of %d", ErrMisfit, ev.Batch.Index, ev.Batch.Count, next.Index, next.Count)
	}
	return nil
}

// whole returns how many of the held events are up to the end of a batch.
func (r *run) whole() int {
	n := len(r.held)
	for n > 0 && r.held[n-1].Batch.Index+1 < r.held[n-1].Batch.Count {
		n--
	}
	return n
}

// drop forgets the first n held events, which were folded.
func (r *run) drop(n int) {
	rest := copy(r.held, r.held[n:])
	clear(r.held[rest:])
	r.held = r.held[:rest]
}
