package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// Requests says what a load asks over NATS.
type Requests struct {
	// Conns share the operations in flight evenly. Each has one subscription for
	// all its replies, which is gone when the run ends.
	Conns []*nats.Conn

	// Next gives a slot's n-th request, from 0. A slot is one operation in
	// flight, numbered from 0. Next is called for different slots at the same
	// time, but for one slot only after its last reply; subject and body may be
	// reused for that slot's next request.
	Next func(slot int, n uint64) (subject string, body []byte)

	// Check says what is wrong with a reply; nil accepts all. It is called on
	// the connection's goroutine and must be quick. Replies that say "no
	// responders", and error replies of a micro service, are errors without it.
	Check func(*nats.Msg) error

	// Patience is how long no reply may come before the run gives up, and how
	// long it waits for the last ones. Default 5 s.
	Patience time.Duration
}

const defaultPatience = 5 * time.Second

// Requests runs the load as NATS requests. A reply that is an error, a second
// reply to one request and a request without one are counted in [Row.Errors]; a
// slot whose request is not answered stays silent. When a request cannot be
// sent, the run ends with that error. When the context ends, it ends with the
// context's cause, and the row says what was measured until then.
func (l Load) Requests(ctx context.Context, r Requests) (Row, error) {
	if err := l.check(); err != nil {
		return Row{}, err
	}
	if len(r.Conns) == 0 || r.Next == nil {
		return Row{}, fmt.Errorf("bench: %s: want a connection and requests: %w", l.Name, ErrLoad)
	}
	if r.Patience <= 0 {
		r.Patience = defaultPatience
	}
	row, err := l.requests(ctx, r)
	if err != nil {
		err = fmt.Errorf("bench: %s: %w", l.Name, err)
	}
	return row, err
}

func (l Load) requests(ctx context.Context, r Requests) (Row, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var lanes []*lane
	idle := make(chan struct{})
	running := newCountdown(min(len(r.Conns), l.Inflight), idle)
	w := l.open()
	for i := range min(len(r.Conns), l.Inflight) {
		ln := newLane(w, r, i, l.Inflight, fail, running)
		if err := ln.subscribe(); err != nil {
			fail(err)
			break
		}
		lanes = append(lanes, ln)
	}
	for _, ln := range lanes {
		ln.prime()
	}

	watched := make(chan struct{})
	go func() { // ends with idle or with the context, which this function ends
		defer close(watched)
		watch(ctx, lanes, r.Patience, idle, fail)
	}()
	used, err := w.sample(ctx, idle)
	ended := w.now()
	w.stopped.Store(true)
	if err == nil {
		// The last replies: the watch gives up when they do not come.
		select {
		case <-idle:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	fail(nil)
	<-watched

	var total tally
	for _, ln := range lanes {
		seen, unanswered := ln.close()
		total.merge(seen)
		if unanswered > 0 && err == errPatience {
			total.failed(fmt.Errorf("%d requests: %w", unanswered, ErrUnanswered))
			total.errors += unanswered - 1
		}
	}
	if err == errPatience {
		err = nil
	}
	return total.row(l, w, ended, used), err
}

var errPatience = errors.New("out of patience")

// watch ends the run when no reply has come for the time of patience.
func watch(ctx context.Context, lanes []*lane, patience time.Duration, idle <-chan struct{}, fail context.CancelCauseFunc) {
	tick := time.NewTicker(patience)
	defer tick.Stop()
	for last := int64(0); ; {
		select {
		case <-idle:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var delivered int64
		for _, ln := range lanes {
			n, err := ln.sub.Delivered()
			if err != nil {
				fail(err)
				return
			}
			delivered += n
		}
		if delivered == last {
			fail(errPatience)
			return
		}
		last = delivered
	}
}
