package relay

import (
	"context"
	"fmt"
)

// Phase is what a relay is doing.
type Phase uint8

// Phases. A relay begins with Starting and ends with Stopped.
const (
	Starting Phase = iota // it has not yet heard from the stream
	Running               // it publishes, or waits for events
	Retrying              // something went wrong, State.Err says what; it tries again
	Stopped               // it does nothing more
)

// String returns the phase as one lower-case word.
func (p Phase) String() string {
	switch p {
	case Starting:
		return "starting"
	case Running:
		return "running"
	case Retrying:
		return "retrying"
	case Stopped:
		return "stopped"
	}
	return fmt.Sprintf("Phase(%d)", uint8(p))
}

// State is how a relay is doing.
type State struct {
	Phase     Phase
	Published uint64 // as Relay.Published
	Err       error  // Retrying: the last trouble; Stopped: why, nil after Stop
}

// State returns how the relay is doing.
func (r *Relay) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// Published returns the highest sequence such that the stream has acknowledged every event up
// to it; 0 before the stream was first heard from. It falls when the stream loses its end.
func (r *Relay) Published() uint64 { return r.State().Published }

// Wait returns nil as soon as the relay knows where the stream stands and Published is at
// least seq, so Wait for 0 waits for the stream alone. It returns the reason when the relay
// has stopped before, an error that matches ErrStopped, and otherwise ctx's error when that
// ends first.
func (r *Relay) Wait(ctx context.Context, seq uint64) error {
	for {
		r.mu.Lock()
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		state, known, changed := r.state, r.known, r.changed
		r.mu.Unlock()
		switch {
		case known && state.Published >= seq:
			return nil
		case state.Phase == Stopped && state.Err != nil:
			return fmt.Errorf("%w at %d, before %d: %w", ErrStopped, state.Published, seq, state.Err)
		case state.Phase == Stopped:
			return fmt.Errorf("%w at %d, before %d", ErrStopped, state.Published, seq)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("relay: wait for %d, published %d: %w", seq, state.Published, ctx.Err())
		}
	}
}

// OnPublished has told called with the watermark, now if it is above 0 and each time that it
// grows. Calls come one after the other, on a goroutine of the relay; a call may stand for many
// events; while told runs the relay goes on, but nobody else is told. It ends when the relay
// stops.
func (r *Relay) OnPublished(told func(seq uint64)) {
	r.mu.Lock()
	r.listeners = append(r.listeners, told)
	r.mu.Unlock()
	r.signal()
}

// signal wakes the goroutine that tells.
func (r *Relay) signal() {
	select {
	case r.grown <- struct{}{}:
	default: // it has not taken the last token yet, and will see this change too
	}
}

// tell is the goroutine that wakes waiters and calls listeners. Doing it here, and not where
// acknowledgements come in, makes one wake-up out of many and keeps the calls in order. It
// ends after last is closed and the last change was told.
func (r *Relay) tell(last <-chan struct{}) {
	var seen []uint64 // what each listener was told
	for ending := false; !ending; {
		select {
		case <-r.grown:
		case <-last:
			ending = true
		}
		r.mu.Lock()
		published, listeners := r.state.Published, r.listeners
		if r.changed != nil {
			close(r.changed)
			r.changed = nil
		}
		r.mu.Unlock()
		seen = append(seen, make([]uint64, len(listeners)-len(seen))...)
		for i, told := range listeners {
			if published > seen[i] {
				told(published)
			}
			seen[i] = published
		}
	}
}
