package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	connections   = 4
	writersOfEach = 4
)

// TestKillLosesNothingAndRepeatsNothing kills the program at random moments, while clients append
// and while it recovers, and looks after each restart for everything that was acknowledged.
func TestKillLosesNothingAndRepeatsNothing(t *testing.T) {
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", s)
	for _, seal := range []string{"none", "entity"} {
		t.Run("seal "+seal, func(t *testing.T) { killLoop(t, seal, rand.New(rand.NewPCG(s, uint64(len(seal))))) })
	}
}

func killLoop(t *testing.T, seal string, r *rand.Rand) {
	args := []string{"serve", "--dir", filepath.Join(t.TempDir(), "journal"), "--listen", "127.0.0.1:0",
		"--seal", seal, "--segment-size", "512KiB"}
	l := newLedger(seal != "none")
	writers := make([]*writer, connections*writersOfEach)
	for i := range writers {
		writers[i] = &writer{id: i, ledger: l, rand: rand.New(rand.NewPCG(r.Uint64(), uint64(i)))}
	}
	began, inRecovery := time.Now(), 0
	for killed := 0; killed < *kills; killed++ {
		p := launch(t, args)
		if killed > 0 && r.IntN(4) == 0 {
			// While it starts: it is ready after some tenths of a second.
			select {
			case <-time.After(time.Duration(r.IntN(400)) * time.Millisecond):
			case <-p.ready:
			case <-p.exited:
			}
			select {
			case <-p.exited:
				t.Fatalf("ended by itself: %v\n%s", p.err, p.stderr.String())
			case <-p.ready:
			default:
				inRecovery++
			}
			p.kill()
			continue
		}
		p.waitReady()
		lookAfterRestart(t, p, l)
		appendUntilKilled(t, p, writers, 1+r.IntN(1200), time.Duration(r.IntN(3000))*time.Microsecond)
	}
	p := launch(t, args)
	p.waitReady()
	lookAfterRestart(t, p, l)
	retryAll(t, p, writers)
	events := lookAfterRestart(t, p, l)
	status := client{p.connect()}.status(t)
	if got := status.num("segments"); got < 3 {
		t.Errorf("%d segments: too few to say that rotation survives", got)
	}
	t.Logf("%d kills, %d of them before it was ready; %d events acknowledged, %d in the journal, %d segments; %.1fs",
		*kills, inRecovery, l.count, len(events), status.num("segments"), time.Since(began).Seconds())
	p.stop()
}

// lookAfterRestart reads the journal and the onward stream, and fails the test unless all is there.
func lookAfterRestart(t *testing.T, p *program, l *ledger) []event {
	t.Helper()
	ctx, c := within(t), client{p.connect()}
	defer c.nc.Close()
	var events []event
	for e, err := range c.journal(ctx) {
		if err != nil {
			t.Fatalf("read event %d: %v", len(events)+1, err)
		}
		events = append(events, e)
	}
	if err := l.check(events); err != nil {
		t.Fatal(err)
	}
	if l.sealed {
		if err := l.checkOpened(ctx, c, events); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.onwardEqualsJournal(ctx, events); err != nil {
		t.Fatal(err)
	}
	found, err := c.fields(ctx, "verify", nil)
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	if valid, _ := found.get("valid").(bool); !valid || found.num("checked") != uint64(len(events)) {
		t.Fatalf("verify: %v, of %d events", found, len(events))
	}
	return events
}

// appendUntilKilled has the writers append until so many operations were acknowledged, and kills
// the program a moment after that, in the middle of what they do.
func appendUntilKilled(t *testing.T, p *program, writers []*writer, operations int, moment time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	acks := make(chan struct{}, len(writers))
	results := startWriters(p, writers, func(w *writer, c client) error { return w.run(ctx, c, acks) })
	deadline := time.After(patience)
	for left := operations; left > 0; left-- {
		select {
		case <-acks:
		case err := <-results:
			t.Fatalf("a writer ended early: %v", err)
		case <-deadline:
			t.Fatalf("%d of %d operations are not acknowledged after %v", left, operations, patience)
		}
	}
	killed := time.AfterFunc(moment, func() { p.kill(); cancel() })
	defer killed.Stop()
	for ended := 0; ended < len(writers); {
		select {
		case <-acks:
		case err := <-results:
			if err != nil {
				t.Fatal(err)
			}
			ended++
		case <-deadline:
			t.Fatalf("%d of %d writers have not ended", len(writers)-ended, len(writers))
		}
	}
	<-p.exited
}

// retryAll has every writer repeat what was not answered.
func retryAll(t *testing.T, p *program, writers []*writer) {
	t.Helper()
	ctx := within(t)
	results := startWriters(p, writers, func(w *writer, c client) error { return w.retry(ctx, c) })
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
	made   int

	unanswered *operation // has a key, so it may be sent again
	answered   *operation // the last one with a key
}

// run appends until ctx ends or the connection does. It sends to acks for each operation.
func (w *writer) run(ctx context.Context, c client, acks chan<- struct{}) error {
	if err := w.retry(ctx, c); err != nil {
		return err
	}
	for ctx.Err() == nil {
		w.made++
		op := randomOperation(w.rand, fmt.Sprintf("w%d-%d", w.id, w.made))
		w.ledger.sending(op)
		if done, err := w.send(ctx, c, op); err != nil || !done {
			return err
		}
		select {
		case acks <- struct{}{}:
		case <-ctx.Done():
		}
	}
	return nil
}

// retry sends what was not answered again, and then what was answered, with the same key.
func (w *writer) retry(ctx context.Context, c client) error {
	for _, op := range []*operation{w.unanswered, w.answered} {
		if op == nil {
			continue
		}
		again := *op
		again.stream = false
		if done, err := w.send(ctx, c, &again); err != nil || !done {
			return err
		}
	}
	return nil
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
