package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
	"time"
)

var (
	// ErrLoad is found in the error of a load that cannot be run.
	ErrLoad = errors.New("invalid load")

	// ErrUnanswered is found in [Row.Err] when requests had no reply by the
	// end of their patience.
	ErrUnanswered = errors.New("no reply")
)

// MaxInflight is how many operations a load may keep in flight.
const MaxInflight = 1 << 16

// A Load says how much to keep in flight, and for how long.
type Load struct {
	Name     string // of the row
	Inflight int    // operations in flight, 1 to MaxInflight

	// Warmup comes before what is measured. Zero: measure from the first
	// operation.
	Warmup time.Duration

	// Duration or Count ends the measurement, the one that is not zero: Duration
	// after that time, Count after that many operations.
	Duration time.Duration
	Count    uint64
}

func (l Load) check() error {
	switch {
	case l.Inflight < 1 || l.Inflight > MaxInflight:
		return fmt.Errorf("bench: %s: %d in flight: %w", l.Name, l.Inflight, ErrLoad)
	case l.Warmup < 0 || l.Duration < 0 || (l.Duration > 0) == (l.Count > 0):
		return fmt.Errorf("bench: %s: want a duration or a count: %w", l.Name, ErrLoad)
	}
	return nil
}

// window is a load that is running. Times are nanoseconds since base.
type window struct {
	base       time.Time
	start, end int64 // what is measured; end is far away when a count decides
	count      uint64
	tickets    atomic.Uint64 // operations started since start, when a count decides
	stopped    atomic.Bool   // nothing new may start
}

func (l Load) open() *window {
	w := &window{base: time.Now(), start: int64(l.Warmup), end: math.MaxInt64, count: l.Count}
	if l.Duration > 0 {
		w.end = w.start + int64(l.Duration)
	}
	return w
}

// now is read once per operation: the end of one is the start of the next.
func (w *window) now() int64 { return int64(time.Since(w.base)) }

// A verdict says what to do with an operation that would start now.
type verdict uint8

const (
	refuse  verdict = iota // the load is over
	ignore                 // start it, and count it only by when it ends
	measure                // start it, and count it
)

// begin says whether an operation may start.
func (w *window) begin(now int64) verdict {
	switch {
	case w.stopped.Load() || now >= w.end:
		return refuse
	case w.count == 0 || now < w.start:
		return ignore
	case w.tickets.Add(1) <= w.count:
		return measure
	}
	return refuse
}

// counts says whether an operation that ended now belongs to the measurement.
func (w *window) counts(v verdict, now int64) bool {
	if w.count > 0 {
		return v == measure
	}
	return now >= w.start && now < w.end
}

// tally is what one goroutine saw of a load.
type tally struct {
	latency Histogram
	last    int64 // when the last counted operation ended
	errors  uint64
	err     error // the first
}

// ended counts an operation that began at sent and ended now.
func (t *tally) ended(w *window, v verdict, sent, now int64) {
	if w.counts(v, now) {
		t.latency.Record(time.Duration(now - sent))
		t.last = now
	}
}

func (t *tally) failed(err error) {
	t.errors++
	if t.err == nil {
		t.err = err
	}
}

func (t *tally) merge(other *tally) {
	t.latency.Merge(&other.latency)
	t.last = max(t.last, other.last)
	t.errors += other.errors
	if t.err == nil {
		t.err = other.err
	}
}

// row is the result of a load that ended at the given time.
func (t *tally) row(l Load, w *window, ended int64, used heap) Row {
	elapsed := time.Duration(min(ended, w.end) - w.start)
	if w.count > 0 {
		elapsed = time.Duration(t.last - w.start)
	}
	r := Row{
		Name:     l.Name,
		Inflight: l.Inflight,
		P50us:    micros(t.latency.Quantile(0.5)),
		P99us:    micros(t.latency.Quantile(0.99)),
		Errors:   t.errors,
		Err:      t.err,
		Ops:      t.latency.Count(),
		Elapsed:  max(elapsed, 0),
	}
	if r.Ops > 0 && r.Elapsed > 0 {
		r.OpsPerS = tenth(float64(r.Ops) / r.Elapsed.Seconds())
		r.AllocsPerOp = tenth(float64(used.allocs) / float64(r.Ops))
		r.BytesPerOp = tenth(float64(used.bytes) / float64(r.Ops))
	}
	return r
}

// heap is what the process has allocated so far.
type heap struct{ allocs, bytes uint64 }

func readHeap() heap {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return heap{m.Mallocs, m.TotalAlloc}
}

func (h heap) since(before heap) heap {
	return heap{h.allocs - before.allocs, h.bytes - before.bytes}
}

// sample waits out the load's times, and reads the heap at their edges. It
// returns what was used in between, when finished is closed or the duration has
// passed, or the context's error.
func (w *window) sample(ctx context.Context, finished <-chan struct{}) (heap, error) {
	if err := w.until(ctx, w.start, finished); err != nil {
		return heap{}, err
	}
	before := readHeap()
	err := w.until(ctx, w.end, finished)
	return readHeap().since(before), err
}

func (w *window) until(ctx context.Context, at int64, finished <-chan struct{}) error {
	timer := time.NewTimer(time.Duration(at) - time.Since(w.base))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-finished:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}
