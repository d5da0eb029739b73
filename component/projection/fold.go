package projection

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"

	"batpak/causal"
)

// fold takes in checked events, whole batches: opens what is sealed, then folds under the
// lock. When one is refused, the events before it stay folded in memory.
func (p *Projection[S]) fold(ctx context.Context, checked []causal.Event) error {
	events, err := p.open(ctx, checked)
	if err != nil {
		return err
	}
	defer clear(events) // what they point to is not ours to keep
	p.warn(checked)
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.wake()
	for i := range events {
		if erases(&events[i].Header) {
			if err := p.erase(&events[i].Event); err != nil {
				return &EventError{Doing: "erase", Seq: events[i].Seq, ID: events[i].ID, Err: err}
			}
		}
		if err := p.foldOne(&events[i]); err != nil {
			return &EventError{Doing: "fold", Seq: events[i].Seq, ID: events[i].ID, Err: err}
		}
		p.seq = events[i].Seq
	}
	last := &checked[len(checked)-1]
	p.run.at = position{last.Seq, last.Lineage, last.Hash}
	return nil
}

// foldOne makes a panic of Fold an error.
func (p *Projection[S]) foldOne(e *Event) (err error) {
	defer caught(&err)
	return p.config.Fold(&p.state, *e)
}

// caught makes a panic of the caller's code an error.
func caught(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
	}
}

// open makes events of what was checked, with payloads as clear as they get.
func (p *Projection[S]) open(ctx context.Context, checked []causal.Event) ([]Event, error) {
	events := slices.Grow(p.run.events[:0], len(checked))[:len(checked)]
	p.run.events = events
	var sealed []causal.Event
	for i := range checked {
		ev := &checked[i]
		events[i] = Event{Event: *ev, State: causal.Plain, Payload: ev.Data}
		if ev.Enc != nil {
			events[i].State, events[i].Payload = causal.KeyMissing, nil
			sealed = append(sealed, *ev)
		}
	}
	if len(sealed) == 0 || p.config.Open == nil {
		return events, nil
	}
	var opened []Opened
	for from := 0; from < len(sealed); from += most {
		some := sealed[from:min(from+most, len(sealed))]
		got, err := p.config.Open(ctx, some)
		if err == nil && len(got) != len(some) {
			err = fmt.Errorf("%d payloads for %d events", len(got), len(some))
		}
		if err != nil {
			return nil, &EventError{Doing: "open", Seq: some[0].Seq, ID: some[0].ID, Err: err}
		}
		opened = append(opened, got...)
	}
	for i := range events {
		if events[i].Enc == nil {
			continue
		}
		if events[i].State = opened[0].State; opened[0].State == causal.Opened {
			events[i].Payload = opened[0].Payload
		}
		opened = opened[1:]
	}
	return events, nil
}
