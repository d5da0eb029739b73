package bench_test

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"batpak/component/bench"
	"batpak/faultfs"
)

func TestCallsCountsExactlyWhatWasCalled(t *testing.T) {
	for _, inflight := range []int{1, 3, 64} {
		var calls atomic.Uint64
		next := make([]uint64, inflight) // each owned by its worker
		row, err := bench.Load{Inflight: inflight, Count: 500}.Calls(t.Context(), func(worker int, n uint64) error {
			if next[worker] != n {
				t.Errorf("worker %d: call %d after %d", worker, n, next[worker])
			}
			next[worker]++
			if calls.Add(1)%5 == 0 {
				return errReply
			}
			return nil
		})
		if err != nil || calls.Load() != 500 || row.Ops != 400 || row.Errors != 100 || !errors.Is(row.Err, errReply) {
			t.Errorf("%d in flight: %d calls, %+v, %v", inflight, calls.Load(), row, err)
		}
	}
}

func TestCancelEndsCalls(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var calls, under atomic.Int64
	row, err := bench.Load{Inflight: 8, Duration: time.Hour}.Calls(ctx, func(int, uint64) error {
		under.Add(1)
		defer under.Add(-1)
		if calls.Add(1) == 1000 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || row.Ops != uint64(calls.Load()) || under.Load() != 0 {
		t.Fatalf("%d counted of %d, %d still under way; %v", row.Ops, calls.Load(), under.Load(), err)
	}
}

func TestLatencyIsThatOfTheCall(t *testing.T) {
	row, err := bench.Load{Inflight: 2, Count: 20}.Calls(t.Context(), func(int, uint64) error {
		timer := time.NewTimer(2 * time.Millisecond)
		<-timer.C
		return nil
	})
	if err != nil || row.P50us < 1984 || row.OpsPerS > 1010 {
		t.Fatalf("calls of 2 ms: %+v, %v", row, err)
	}
}

func TestFdatasyncSyncsEachWriteAndLeavesNothing(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	row, err := bench.Fdatasync(t.Context(), faultfs.Dir(root), 20, 256)
	if err != nil || row.Ops != 20 || row.P50us <= 0 {
		t.Fatalf("%+v, %v", row, err)
	}
	if _, err := root.Stat("fdatasync"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the file is still there: %v", err)
	}
}

func TestMediansAndRatiosAreByRound(t *testing.T) {
	fast := bench.Series{{Name: "fast", OpsPerS: 100, P50us: 1}, {OpsPerS: 40, P50us: 9}, {OpsPerS: 90, P50us: 2, Errors: 2, Err: errReply}}
	slow := bench.Series{{OpsPerS: 10}, {OpsPerS: 5}, {OpsPerS: 10}}
	if m := fast.Median(); m.Name != "fast" || m.OpsPerS != 90 || m.P50us != 2 || m.Errors != 2 || m.Err != errReply {
		t.Errorf("median %+v", m)
	}
	if got := fast[:2].Median().OpsPerS; got != 70 {
		t.Errorf("median of two is %v", got)
	}
	if got := fast.Over(slow, bench.Rate); got != 9 {
		t.Errorf("ratio %v: the rounds' are 10, 8 and 9", got)
	}
	if got := fast.Over(nil, bench.Rate); !math.IsNaN(got) || (bench.Ratio{Value: got, AtLeast: 1}).Kept() {
		t.Errorf("ratio over nothing is %v, and counts as kept", got)
	}
}

func TestRoundsTakeTurns(t *testing.T) {
	var order strings.Builder
	run := func(name string) func() (bench.Row, error) {
		return func() (bench.Row, error) {
			order.WriteString(name)
			return bench.Row{Name: name}, nil
		}
	}
	all, err := bench.Rounds(3, run("a"), run("b"), run("c"))
	if err != nil || order.String() != "abccbaabc" {
		t.Fatalf("%s, %v", order.String(), err)
	}
	for i, name := range []string{"a", "b", "c"} {
		if len(all[i]) != 3 || all[i][1].Name != name {
			t.Errorf("rows of %s: %+v", name, all[i])
		}
	}
	if _, err := bench.Rounds(2, func() (bench.Row, error) { return bench.Row{}, errReply }); err != errReply {
		t.Errorf("a failed run: %v", err)
	}
}
