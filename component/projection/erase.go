package projection

import (
	"fmt"
	"slices"

	"batpak/causal"
	"batpak/codec"
)

// Erasure is an erasure that the journal has on record, as [Config.Erase] is told of it. The
// selector (one of Entity, Kind, Category, Event and Subject) names a key scope. Of that scope
// nothing opens any more that the journal had before this erasure; what it has after, when the scope
// was renewed, does. The erasure and what it points to may be kept, and must not be changed.
type Erasure struct {
	codec.Erasure // selector, reason, actor, the keys that were destroyed, and how many events were sealed under them

	ID   causal.EventID // of the event that has it on record
	Seq  uint64
	Time causal.HLC
}

// Covers says whether this erasure destroyed the payload of the event with this header. It goes by
// the id of the event's key and is exact: it is false for what the scope has been given since, for
// what an erasure before this one destroyed, and for what was never sealed. Rows that are derived
// from a sealed event can keep the id of its key, Enc.Key, and be looked up by Keys.
func (e *Erasure) Covers(h *causal.Header) bool {
	return h.Enc != nil && slices.Contains(e.Keys, h.Enc.Key)
}

// erases says whether an event is an erasure.
func erases(h *causal.Header) bool {
	return h.Kind == causal.KindShred && h.Scope == causal.SystemScope
}

// decodeErasure reads the event of an erasure.
func decodeErasure(ev *causal.Event) (Erasure, error) {
	e := Erasure{ID: ev.ID, Seq: ev.Seq, Time: ev.Time}
	if ev.Enc != nil {
		return e, fmt.Errorf("%w: an erasure that is sealed", codec.ErrMalformed)
	}
	if err := codec.Unmarshal(ev.Data, codec.Msgpack, &e.Erasure); err != nil {
		return e, fmt.Errorf("an erasure that cannot be read: %w", err)
	}
	return e, nil
}

// erase tells the hook of an erasure.
func (p *Projection[S]) erase(ev *causal.Event) (err error) {
	if p.config.Erase == nil {
		return nil
	}
	defer caught(&err)
	e, err := decodeErasure(ev)
	if err != nil {
		return err
	}
	p.run.erased = true
	return p.config.Erase(&p.state, e)
}

// warn says, once in a Run, that what was erased stays in the state. Without Open nothing of a sealed
// payload ever came into it.
func (p *Projection[S]) warn(checked []causal.Event) {
	if p.config.Erase != nil || p.config.Open == nil || p.run.warned {
		return
	}
	i := slices.IndexFunc(checked, func(ev causal.Event) bool { return erases(&ev.Header) })
	if i < 0 {
		return
	}
	p.run.warned = true
	p.log.Warn("an erasure, and no Config.Erase: what was derived from the erased payloads stays",
		"stream", p.run.stream, "event", checked[i].Seq)
}
