package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	connections   = 4
	writersOfEach = 4
)

// newWriters makes the writers of a ledger.
func newWriters(l *ledger, r *rand.Rand, invent func(*rand.Rand, string) *operation) []*writer {
	writers := make([]*writer, connections*writersOfEach)
	for i := range writers {
		writers[i] = &writer{id: i, ledger: l, rand: rand.New(rand.NewPCG(r.Uint64(), uint64(i))), invent: invent}
	}
	return writers
}

// crew is writers at work on a program.
type crew struct {
	p        *program
	cancel   context.CancelFunc
	working  int
	acks     chan struct{}
	refusals chan struct{}
	refused  int // refusals that were awaited
	results  <-chan error
	deadline <-chan time.Time
}

// setToWork has the writers append until the crew kills the program. They go on after an error
// that they may go on after; by default there is none.
func setToWork(p *program, writers []*writer, mayRefuse func(*refusal) bool) *crew {
	p.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p.t.Cleanup(cancel)
	c := &crew{
		p: p, cancel: cancel, working: len(writers), deadline: time.After(patience),
		acks: make(chan struct{}, len(writers)), refusals: make(chan struct{}, len(writers)),
	}
	c.results = startWriters(p, writers, func(w *writer, conn client) error { return w.run(ctx, conn, c, mayRefuse) })
	return c
}

// await returns when at least so many operations more were acknowledged and refused, and the check,
// if there is one, has ended without an error. The writers go on meanwhile.
func (c *crew) await(acks, refusals int, check <-chan error) {
	c.p.t.Helper()
	for acks > 0 || refusals > 0 || check != nil {
		select {
		case <-c.acks:
			acks--
		case <-c.refusals:
			refusals--
			c.refused++
		case err := <-check:
			if err != nil {
				c.p.t.Fatal(err)
			}
			check = nil
		case err := <-c.results:
			c.p.t.Fatalf("a writer ended early: %v", err)
		case <-c.deadline:
			c.p.t.Fatalf("after %v %d operations are still to be acknowledged, and %d refused", patience, max(0, acks), max(0, refusals))
		}
	}
}

// kill kills the program after a moment, in the middle of what the writers do, and returns when
// it is gone and they have ended.
func (c *crew) kill(moment time.Duration) {
	c.p.t.Helper()
	killed := time.AfterFunc(moment, func() { c.p.kill(); c.cancel() })
	defer killed.Stop()
	for c.working > 0 {
		select {
		case <-c.acks:
		case <-c.refusals:
		case err := <-c.results:
			if err != nil {
				c.p.t.Fatal(err)
			}
			c.working--
		case <-c.deadline:
			c.p.t.Fatalf("%d writers have not ended", c.working)
		}
	}
	<-c.p.exited
}

// haveAll has every writer do something once, such as (*writer).retry.
func haveAll(t *testing.T, p *program, writers []*writer, do func(*writer, context.Context, client) error) {
	t.Helper()
	ctx := within(t)
	results := startWriters(p, writers, func(w *writer, c client) error { return do(w, ctx, c) })
	for range writers {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
}

// startWriters runs do for each writer, some on each connection. Each sends one result.
func startWriters(p *program, writers []*writer, do func(*writer, client) error) <-chan error {
	results := make(chan error, len(writers))
	for group := range slices.Chunk(writers, writersOfEach) {
		c := client{p.connect()}
		for _, w := range group {
			go func() { results <- do(w, c) }()
		}
	}
	return results
}

// writer is a client that has one operation on its way at a time.
type writer struct {
	id     int
	ledger *ledger
	rand   *rand.Rand
	invent func(*rand.Rand, string) *operation
	made   int

	unanswered *operation // has a key, so it may be sent again
	answered   *operation // the last one with a key
}

// run appends until ctx ends or the connection does, and tells the crew of each operation. One that
// may be refused, was, and has a key, is sent again.
func (w *writer) run(ctx context.Context, c client, crew *crew, mayRefuse func(*refusal) bool) error {
	if err := w.retry(ctx, c); err != nil {
		return err
	}
	for ctx.Err() == nil {
		op := w.unanswered
		if op == nil {
			w.made++
			op = w.invent(w.rand, fmt.Sprintf("w%d-%d", w.id, w.made))
			w.ledger.sending(op)
		}
		done, err := w.send(ctx, c, op)
		told := crew.acks
		if refused := (*refusal)(nil); errors.As(err, &refused) && mayRefuse != nil && mayRefuse(refused) {
			w.ledger.refused(op)
			told = crew.refusals
		} else if err != nil || !done {
			return err
		}
		select {
		case told <- struct{}{}:
		case <-ctx.Done():
		}
	}
	return nil
}

// retry sends what was not answered again, and then what was answered, with the same key.
func (w *writer) retry(ctx context.Context, c client) error {
	for _, op := range []*operation{w.unanswered, w.answered} {
		if done, err := w.resend(ctx, c, op); err != nil || !done {
			return err
		}
	}
	return nil
}

// repeat sends what was answered again, which appends nothing.
func (w *writer) repeat(ctx context.Context, c client) error {
	kept := w.unanswered
	_, err := w.resend(ctx, c, w.answered)
	w.unanswered = kept
	return err
}

// resend sends an operation that was sent before, if there is one.
func (w *writer) resend(ctx context.Context, c client, op *operation) (done bool, err error) {
	if op == nil {
		return true, nil
	}
	again := *op
	again.stream = false
	return w.send(ctx, c, &again)
}

// send sends an operation. It is not done when the connection ended before the answer came.
func (w *writer) send(ctx context.Context, c client, op *operation) (done bool, err error) {
	if op.key != "" {
		w.unanswered = op
	}
	receipts, err := op.send(ctx, c)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrNoResponders):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("%s: %w", op.id, err)
	}
	if op.key != "" {
		w.unanswered, w.answered = nil, op
	}
	return true, w.ledger.acknowledged(op, receipts)
}
