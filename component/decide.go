package component

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"batpak/causal"
	"batpak/codec"
)

// Defaults of a Decider.
const (
	DefaultAttempts = 16

	decideWait    = 5 * time.Millisecond // before a third attempt, at most; doubled for each one after
	maxDecideWait = 500 * time.Millisecond
)

// ErrContended: all attempts of a decision met newer events. It comes with the last ErrConflict.
var ErrContended = errors.New("too many others decide here at the same time")

// Decider is how a decision is made from events: a state is folded from them, and the state says what is
// to be appended. Fold and Decide are required.
type Decider[S any] struct {
	// Fold returns the state after an event, from the zero S on. Its error ends the decision.
	Fold func(state S, e Opened) (S, error)

	// Decide returns what is to be appended, nil for nothing. Its error ends the decision and is
	// returned as it is. It is called again after each attempt that met newer events; what counts is its
	// last answer. Expect, and Unless with a Boundary, are set by the caller of Decide.
	Decide func(state S) (*codec.Append, error)

	// Boundary says which events the decision is based on, when that is not the stream that is appended
	// to: those that match, in the scope of the append. A Boundary that leaves out the entity looks
	// at the whole scope, so it should have Kinds or a Subject.
	Boundary *codec.Selection

	Lane     uint32 // of the stream that is appended to
	Open     bool   // open sealed payloads; without it they are not there, and Fold sees them as causal.KeyMissing
	Attempts int    // DefaultAttempts when 0
}

// Decision is what came of it.
type Decision[S any] struct {
	State    S             // that Decide gave its last answer to, without what was appended
	Receipt  codec.Receipt // zero when Decide gave nil
	Appended bool
	Attempts int // appends that were sent
}

// Decide reads, decides and appends, so that nobody else's event comes in between: the append is
// refused when there are events that the state has not seen, and the refusal brings them, so that they are
// folded and Decide is asked again without reading. An answer other than an append is taken only from
// a state that was current: what is missing is read before that.
//
// After each further attempt it waits a little, by chance. A node that is busy is an attempt too. Errors
// are Fold's and Decide's own, ErrContended, ErrConfig for a Decider that is not complete, and those of
// Client.Append and Client.Read. With an append that has a Key, an ErrConflict that says that the key
// was used for other content is returned.
func Decide[S any](ctx context.Context, c *Client, at causal.Coordinate, d Decider[S]) (Decision[S], error) {
	if d.Fold == nil || d.Decide == nil || d.Attempts < 0 {
		return Decision[S]{}, fmt.Errorf("component: decide %s: %w: Fold and Decide are needed", at, ErrConfig)
	}
	if d.Attempts == 0 {
		d.Attempts = DefaultAttempts
	}
	x := &deciding[S]{Decider: d, client: c, at: at}
	x.sel = codec.Selection{Scope: at.Scope, Entity: at.Entity, Lane: &x.Lane}
	if d.Boundary != nil {
		x.sel = *d.Boundary
		x.sel.Limit, x.sel.Until = 0, 0
		if x.sel.Scope == "" {
			x.sel.Scope = at.Scope
		}
	}
	return x.run(ctx)
}

// deciding is one decision. sel selects the events that are not folded yet.
type deciding[S any] struct {
	Decider[S]
	client *Client
	at     causal.Coordinate
	sel    codec.Selection
	head   causal.Head // of the stream, without a Boundary
	out    Decision[S]
}

func (x *deciding[S]) run(ctx context.Context) (Decision[S], error) {
	if err := x.read(ctx); err != nil {
		return x.out, err
	}
	current := true
	for {
		a, err := x.Decide(x.out.State)
		if (a == nil || err != nil) && !current {
			if err := x.read(ctx); err != nil {
				return x.out, err
			}
			current = true
			continue
		}
		if a == nil || err != nil {
			return x.out, err
		}
		x.out.Attempts++
		x.out.Receipt, err = x.append(ctx, *a)
		if err == nil {
			x.out.Appended = true
			return x.out, nil
		}
		var refusal *Error
		if !errors.As(err, &refusal) {
			return x.out, err
		}
		conflict, newer := refusal.Conflict()
		if x.Boundary == nil && conflict.Version == nil {
			newer = false // it is a condition of Decide's own
		}
		if !newer && refusal.Code != codec.CodeBusy {
			return x.out, err
		}
		if x.out.Attempts >= x.Attempts {
			return x.out, fmt.Errorf("component: decide %s: %w: %d attempts: %w", x.at, ErrContended, x.out.Attempts, err)
		}
		if newer {
			if current, err = x.learn(ctx, &conflict); err != nil {
				return x.out, err
			}
		}
		if err := x.wait(ctx, refusal.RetryAfter()); err != nil {
			return x.out, err
		}
	}
}

// append sends the append, on condition that the state is current.
func (x *deciding[S]) append(ctx context.Context, a codec.Append) (codec.Receipt, error) {
	a.Lane, a.Expect = x.Lane, nil
	if x.Boundary != nil {
		unless := x.sel
		a.Unless = &unless
	} else {
		version := x.head.Version
		a.Expect = &version
	}
	return x.client.Append(ctx, x.at, a)
}

// read folds what there is.
func (x *deciding[S]) read(ctx context.Context) error {
	if x.Open {
		for e, err := range x.client.Open(ctx, x.sel) {
			if err == nil {
				err = x.fold(e)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	for ev, err := range x.client.Read(ctx, x.sel) {
		if err == nil {
			err = x.fold(unopened(ev))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// learn folds the events that a conflict brought, and says whether the state is current then.
// Sealed ones that are to be opened, and those that a conflict had no room for, are read.
func (x *deciding[S]) learn(ctx context.Context, c *codec.Conflict) (current bool, err error) {
	for _, envelope := range c.Events {
		ev, err := codec.DecodeEnvelope(envelope)
		if err != nil {
			return false, fmt.Errorf("component: decide %s: %w: %w", x.at, ErrReply, err)
		}
		if x.Open && ev.Enc != nil {
			return true, x.read(ctx)
		}
		if err := x.fold(unopened(ev)); err != nil {
			return false, err
		}
	}
	if x.Boundary != nil {
		return false, nil // more may have matched since
	}
	if c.Version == nil || x.head.Version < *c.Version {
		return true, x.read(ctx)
	}
	return true, nil
}

// fold takes in the next event.
func (x *deciding[S]) fold(e Opened) error {
	if e.Seq <= x.sel.After {
		return fmt.Errorf("component: decide %s: %w: event %d after %d", x.at, ErrReply, e.Seq, x.sel.After)
	}
	if x.Boundary == nil {
		if e.Stream() != (causal.Stream{Coordinate: x.at, Lane: x.Lane}) {
			return fmt.Errorf("component: decide %s: %w: event %d is of %s", x.at, ErrReply, e.Seq, e.Stream())
		}
		if err := x.head.Check(&e.Header); err != nil {
			return fmt.Errorf("component: decide %s: %w: %w", x.at, ErrReply, err)
		}
	}
	state, err := x.Fold(x.out.State, e)
	if err != nil {
		return err
	}
	x.out.State, x.sel.After = state, e.Seq
	x.head = x.head.Next(&e.Header, e.Hash)
	return nil
}

// unopened is an event whose payload is there when it was not sealed.
func unopened(ev causal.Event) Opened {
	if ev.Enc != nil {
		return Opened{Event: ev, State: causal.KeyMissing}
	}
	return Opened{Event: ev, State: causal.Plain, Payload: ev.Data}
}

// wait waits before the next attempt: not before the second one, which knows what the first did not,
// and then for a time by chance, so that those who met do not meet again. At least is what a busy
// node asks for.
func (x *deciding[S]) wait(ctx context.Context, atLeast time.Duration) error {
	wait := atLeast
	if n := x.out.Attempts - 2; n >= 0 {
		wait += rand.N(min(decideWait<<min(n, 10), maxDecideWait))
	}
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
