package journal

import (
	"iter"
	"slices"

	"batpak/causal"
	"batpak/codec"
	"batpak/gates"
)

// view is what gates see: the journal as it will be just before the event they judge.
type view struct{ s *sequencer }

func (v view) Head(stream causal.Stream) causal.Head { return v.s.head(stream) }

func (v view) Events(stream causal.Stream, after uint64) iter.Seq2[gates.Event, error] {
	return v.s.streamEvents(stream, after)
}

// Find makes the view a gates.Finder.
func (v view) Find(id causal.EventID) (causal.Header, error) {
	ev, err := v.s.eventByID(id)
	return ev.Header, err
}

// eventByID returns any event up to the last one staged, with its payload as it is in the envelope.
func (s *sequencer) eventByID(id causal.EventID) (causal.Event, error) {
	if g, e := s.stagedID(id); e != nil {
		return codec.DecodeEnvelope(g.envelope(e))
	}
	return s.j.Get(id)
}

// streamEvents gives the events of a stream with a version above after: the settled ones from the
// segments, then the staged ones.
func (s *sequencer) streamEvents(stream causal.Stream, after uint64) iter.Seq2[gates.Event, error] {
	return func(yield func(gates.Event, error) bool) {
		staged := s.stagedEvents(stream, after)
		settled := s.head(stream).Version - uint64(len(staged)) // version of the last one before those
		if len(staged) == 0 || staged[0].event().head.Version > after+1 {
			for ev, err := range s.j.streamEvents(stream, after, settled) {
				if err != nil {
					yield(gates.Event{}, err)
					return
				}
				payload, state, err := s.j.Payload(&ev)
				if !yield(gates.Event{Event: ev, Payload: payload, State: state}, err) || err != nil {
					return
				}
			}
		}
		for _, ref := range staged {
			e := ref.event()
			ev, payload, err := ref.group.event(e)
			state := causal.Plain
			if e.key != nil {
				state = causal.Opened
			}
			if !yield(gates.Event{Event: ev, Payload: payload, State: state}, err) || err != nil {
				return
			}
		}
	}
}

// stagedEvents returns the stream's events that are not settled and have a version above after.
func (s *sequencer) stagedEvents(stream causal.Stream, after uint64) []stagedRef {
	var refs []stagedRef
	for ref := s.staged[stream].last; ref.group != nil; {
		e := ref.event()
		if e.head.Version <= after {
			break
		}
		refs = append(refs, ref)
		if e.prevSeq <= s.settled {
			break
		}
		ref = e.prev
	}
	slices.Reverse(refs)
	return refs
}
