package causal_test

import (
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"batpak/causal"
)

// wall is a wall clock that a test sets.
type wall struct{ ms uint64 }

func (w *wall) now() time.Time { return time.UnixMilli(int64(w.ms)) }

func newClock(ms uint64) (*causal.Clock, *wall) {
	w := &wall{ms}
	return causal.NewClock(causal.ClockOptions{Now: w.now}), w
}

func at(ms uint64, tick uint16) causal.HLC { return causal.HLC{Millis: ms, Tick: tick} }

func TestClockNeverRepeatsAndNeverGoesBack(t *testing.T) {
	c, w := newClock(100)
	for i, step := range []struct {
		wall uint64
		want causal.HLC
	}{
		{100, at(100, 0)}, {100, at(100, 1)}, {100, at(100, 2)},
		{101, at(101, 0)},
		{50, at(101, 1)}, {0, at(101, 2)}, // the wall clock went back
		{101, at(101, 3)}, {102, at(102, 0)},
	} {
		w.ms = step.wall
		if got := c.Now(); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
}

func TestClockTickOverflowsIntoTheNextMillisecond(t *testing.T) {
	c, w := newClock(100)
	last := c.Now()
	for range 1<<16 - 1 {
		last = c.Now()
	}
	if last != at(100, math.MaxUint16) {
		t.Fatalf("%s", last)
	}
	if got := c.Now(); got != at(101, 0) {
		t.Errorf("after the last tick: %s", got)
	}
	w.ms = 101
	if got := c.Now(); got != at(101, 1) {
		t.Errorf("when the wall clock arrives: %s", got)
	}
	c, _ = newClock(100)
	if got, err := c.Observe(at(100, math.MaxUint16)); err != nil || got != at(101, 0) {
		t.Errorf("after a remote last tick: %s, %v", got, err)
	}
}

// TestObserveFollowsTheReceiveRule is the "receive event of message m" case of Figure 5 in the
// paper: l' = max(l, l.m, pt); c' is max(c, c.m)+1, c+1, c.m+1 or 0 by which of them l' equals.
func TestObserveFollowsTheReceiveRule(t *testing.T) {
	for what, c := range map[string]struct {
		wall         uint64
		last, remote causal.HLC
		want         causal.HLC
	}{
		"both equal, ours ticks more":      {90, at(100, 7), at(100, 3), at(100, 8)},
		"both equal, theirs ticks more":    {90, at(100, 3), at(100, 7), at(100, 8)},
		"both equal, and the wall":         {100, at(100, 3), at(100, 7), at(100, 8)},
		"ours is greatest":                 {90, at(100, 3), at(99, 9), at(100, 4)},
		"ours is greatest, with the wall":  {100, at(100, 3), at(99, 9), at(100, 4)},
		"theirs is greatest":               {90, at(99, 9), at(100, 3), at(100, 4)},
		"theirs is greatest with the wall": {100, at(99, 9), at(100, 3), at(100, 4)},
		"the wall is greatest":             {101, at(99, 9), at(100, 3), at(101, 0)},
		"all the same":                     {100, at(100, 3), at(100, 3), at(100, 4)},
	} {
		clock, w := newClock(c.wall)
		clock.Advance(c.last)
		got, err := clock.Observe(c.remote)
		if err != nil || got != c.want {
			t.Errorf("%s: %s, %v; want %s", what, got, err, c.want)
		}
		w.ms = 0
		if next := clock.Now(); next.Compare(got) <= 0 {
			t.Errorf("%s: %s after %s", what, next, got)
		}
	}
}

func TestObserveRefusesReadingsTooFarAhead(t *testing.T) {
	for what, c := range map[string]struct{ option, limit time.Duration }{
		"default":  {0, causal.DefaultMaxAhead},
		"set":      {time.Second, time.Second},
		"negative": {-time.Hour, causal.DefaultMaxAhead},
	} {
		w := &wall{1_000_000}
		clock := causal.NewClock(causal.ClockOptions{Now: w.now, MaxAhead: c.option})
		edge := w.ms + uint64(c.limit.Milliseconds())
		for _, ms := range []uint64{edge + 1, math.MaxUint64} {
			if got, err := clock.Observe(at(ms, 0)); !errors.Is(err, causal.ErrClockAhead) || got != (causal.HLC{}) {
				t.Errorf("%s: %d: %s, %v", what, ms, got, err)
			}
		}
		if got := clock.Now(); got != at(w.ms, 0) {
			t.Errorf("%s: a refused reading moved the clock to %s", what, got)
		}
		if got, err := clock.Observe(at(edge, math.MaxUint16-1)); err != nil || got != at(edge, math.MaxUint16) {
			t.Errorf("%s: at the limit: %s, %v", what, got, err)
		}
	}
}

func TestAdvanceIsALowerBoundWithoutALimit(t *testing.T) {
	c, w := newClock(100)
	c.Advance(at(10_000_000, 5))
	c.Advance(at(10_000_000, 4)) // earlier: changes nothing
	if got := c.Now(); got != at(10_000_000, 6) {
		t.Errorf("%s", got)
	}
	w.ms = 10_000_001
	if got := c.Now(); got != at(10_000_001, 0) {
		t.Errorf("%s", got)
	}
}

func TestClockBefore1970ReadsZero(t *testing.T) {
	c := causal.NewClock(causal.ClockOptions{Now: func() time.Time { return time.UnixMilli(-5) }})
	if got := c.Now(); got != at(0, 1) {
		t.Errorf("%s", got)
	}
}

func TestClockReadingsAreUniqueUnderConcurrency(t *testing.T) {
	c := causal.NewClock(causal.ClockOptions{})
	var mu sync.Mutex
	seen := map[causal.HLC]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			var last causal.HLC
			for range 500 {
				now, err := c.Observe(last)
				if err != nil || now.Compare(last) <= 0 {
					t.Errorf("%s after %s, %v", now, last, err)
				}
				last = now
				mu.Lock()
				if seen[now] {
					t.Errorf("%s twice", now)
				}
				seen[now] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestReadingsOrder(t *testing.T) {
	ordered := []causal.HLC{{}, at(0, 1), at(0, math.MaxUint16), at(1, 0), at(1, 1), at(2, 0), at(math.MaxUint64, 0)}
	for i, a := range ordered {
		for k, b := range ordered {
			want := 0
			if i < k {
				want = -1
			} else if i > k {
				want = 1
			}
			if got := a.Compare(b); got != want {
				t.Errorf("%s to %s: %d", a, b, got)
			}
		}
	}
	if r := at(1_500, 7); r.String() != "1500.7" || !r.Time().Equal(time.Unix(1, 500_000_000)) || r.Time().Location() != time.UTC {
		t.Errorf("%s, %s", r, r.Time())
	}
}

func FuzzParseHLC(f *testing.F) {
	for _, s := range []string{"", "0.0", "1700000000123.4", "1.65536", "01.1", "1.", ".1", "18446744073709551615.65535", "1.+1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := causal.ParseHLC(s)
		if err != nil && !errors.Is(err, causal.ErrHLC) || err == nil && h.String() != s {
			t.Errorf("%q is %v, %v", s, h, err)
		}
		if again, err := causal.ParseHLC(h.String()); err != nil || again != h {
			t.Errorf("%v is read back as %v, %v", h, again, err)
		}
	})
}
