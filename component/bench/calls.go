package bench

import (
	"context"
	"fmt"
	"sync"
)

// Calls runs the load as calls of do, from one goroutine for each operation in
// flight. do gets the number of its goroutine, from 0, and how many calls that
// goroutine has made before; an error is counted in [Row.Errors] and the load
// goes on. When the context ends, Calls waits for the calls that are under way
// and returns the context's cause, with a row of what was measured until then.
func (l Load) Calls(ctx context.Context, do func(worker int, n uint64) error) (Row, error) {
	if err := l.check(); err != nil {
		return Row{}, err
	}
	tallies := make([]tally, l.Inflight)
	w := l.open()
	var workers sync.WaitGroup
	for i := range tallies {
		// Each worker owns its tally, and ends when begin refuses.
		workers.Go(func() { w.call(&tallies[i], i, do) })
	}
	finished := make(chan struct{})
	go func() { workers.Wait(); close(finished) }()

	used, err := w.sample(ctx, finished)
	ended := w.now()
	w.stopped.Store(true)
	<-finished

	var total tally
	for i := range tallies {
		total.merge(&tallies[i])
	}
	if err != nil {
		err = fmt.Errorf("bench: %s: %w", l.Name, err)
	}
	return total.row(l, w, ended, used), err
}

func (w *window) call(t *tally, worker int, do func(int, uint64) error) {
	now := w.now()
	for n := uint64(0); ; n++ {
		v := w.begin(now)
		if v == refuse {
			return
		}
		sent := now
		err := do(worker, n)
		now = w.now()
		if err != nil {
			t.failed(err)
			continue
		}
		t.ended(w, v, sent, now)
	}
}
