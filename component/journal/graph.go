package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"batpak/causal"
	"batpak/codec"
)

// GraphPage is a part of the causal graph.
type GraphPage struct {
	Envelopes [][]byte // the caller's; the event that was asked for, then by distance from it
	Edges     []codec.Edge
	More      bool // the graph goes on behind what is here
}

// Graph returns the visible events around one, breadth first: itself, then what it follows from, what
// follows from it, or both, at most req.Steps() away. They are at most req.Max(), and at most maxBytes of
// envelopes, but at least the event itself. Edges has every edge between two of them. Causes in other
// journals are in the envelopes alone. When there is no such event the error is ErrNotFound.
//
// It reads the events that it returns, and for the effects of each looks it up in the index of every
// segment from its own on: the log is not read through.
func (j *Journal) Graph(ctx context.Context, req codec.GraphRequest, maxBytes int) (GraphPage, error) {
	v := visitor{j: j, ctx: ctx, visible: j.Visible(), most: req.Max(), room: maxBytes, found: make(map[causal.EventID]bool), seqs: make(map[uint64]bool)}
	switch req.Direction {
	case codec.DirectionCauses:
		v.back = true
	case codec.DirectionEffects:
		v.forth = true
	case codec.DirectionBoth:
		v.back, v.forth = true, true
	default:
		return GraphPage{}, invalid("direction %.20q is not causes, effects or both", req.Direction)
	}
	ev, err := j.Get(req.ID)
	if err != nil {
		return GraphPage{}, err
	}
	v.add(&ev)
	steps := req.Steps()
	for at := 0; at < len(v.events) && !v.more; at++ {
		near := v.events[at] // a copy: the list grows
		v.from, v.last = near.steps, near.steps == steps
		if err := v.around(&near.ev); err != nil {
			return GraphPage{}, err
		}
	}
	return v.page(), nil
}

// visitor is one walk through the graph.
type visitor struct {
	j       *Journal
	ctx     context.Context
	visible uint64
	most    int // events
	room    int // bytes of envelopes that are left
	back    bool
	forth   bool

	events []visited
	found  map[causal.EventID]bool
	seqs   map[uint64]bool // of those that were found
	from   int             // steps of the event whose neighbours are looked at
	last   bool            // they are further away than was asked for
	more   bool
}

type visited struct {
	ev    causal.Event
	steps int // from the first
}

// add takes an event, and says whether there was room.
func (v *visitor) add(ev *causal.Event) bool {
	steps := 0
	if len(v.events) > 0 {
		steps = v.from + 1
		if v.full() {
			return false
		}
		if len(ev.Envelope) > v.room {
			v.more = true
			return false
		}
	}
	v.room -= len(ev.Envelope)
	v.events = append(v.events, visited{*ev, steps})
	v.found[ev.ID], v.seqs[ev.Seq] = true, true
	return true
}

// full says whether there is no room for a neighbour, whatever its size. Then there is more than what is here.
func (v *visitor) full() bool {
	if v.last || len(v.events) == v.most {
		v.more = true
	}
	return v.more
}

// around takes the neighbours of an event that are not there yet.
func (v *visitor) around(ev *causal.Event) error {
	if err := v.ctx.Err(); err != nil {
		return err
	}
	if v.back {
		for _, c := range ev.Causes {
			if !local(c, v.j.lineage) || v.found[c.ID] {
				continue
			}
			if v.full() {
				return nil
			}
			cause, err := v.j.Get(c.ID)
			if errors.Is(err, ErrNotFound) {
				err = &DamageError{File: segmentDir, Offset: -1, Seq: ev.Seq, Reason: fmt.Sprintf("its cause %s is missing", c.ID)}
			}
			if err != nil {
				return err
			}
			if !v.add(&cause) {
				return nil
			}
		}
	}
	if v.forth {
		return v.effects(ev.Seq, ev.ID)
	}
	return nil
}

// effects takes what follows from the event with this sequence and id.
func (v *visitor) effects(seq uint64, id causal.EventID) error {
	c := cursor{term: causeTerm(id)}
	for seq < v.visible {
		s, x, err := v.j.segmentOf(seq + 1)
		if err != nil {
			return v.j.readable(err)
		}
		last := min(v.visible, s.first+uint64(x.count())-1)
		for c.from, c.all = uint32(seq+1-s.first), false; !c.all; {
			if err := c.read(x); err != nil {
				return v.j.readable(err)
			}
			for _, pos := range c.list {
				at := s.first + uint64(pos)
				if at > last {
					c.all = true
					break
				}
				if more, err := v.effect(at, id); !more || err != nil {
					return err
				}
			}
			if err := v.ctx.Err(); err != nil {
				return err
			}
		}
		seq = last
	}
	return nil
}

// effect takes the event with a sequence if it follows from the one with this id, and says whether more are wanted.
func (v *visitor) effect(seq uint64, id causal.EventID) (more bool, err error) {
	if v.seqs[seq] {
		return true, nil
	}
	ev, err := v.j.GetSeq(seq)
	if err != nil {
		return false, err
	}
	if !names(ev.Causes, id, ev.Lineage) { // another id may have its term
		return true, nil
	}
	return v.add(&ev), nil
}

// names says whether an event of the journal of this lineage is among causes.
func names(causes []causal.Cause, id causal.EventID, lineage causal.Lineage) bool {
	return slices.ContainsFunc(causes, func(c causal.Cause) bool { return c.ID == id && local(c, lineage) })
}

func (v *visitor) page() GraphPage {
	p := GraphPage{Envelopes: make([][]byte, len(v.events)), More: v.more}
	for i := range v.events {
		ev := &v.events[i].ev
		p.Envelopes[i] = ev.Envelope
		for n, c := range ev.Causes {
			if v.found[c.ID] && local(c, ev.Lineage) && !names(ev.Causes[:n], c.ID, ev.Lineage) {
				p.Edges = append(p.Edges, codec.Edge{Cause: c.ID, Effect: ev.ID})
			}
		}
	}
	return p
}
