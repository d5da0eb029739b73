package bench

import (
	"testing"
	"time"
)

func TestAWindowTakesWhatEndsInsideOfIt(t *testing.T) {
	w := Load{Inflight: 1, Warmup: 100, Duration: 200}.open()
	for now, want := range map[int64]bool{0: false, 99: false, 100: true, 299: true, 300: false} {
		if w.counts(ignore, now) != want {
			t.Errorf("counted what ended at %d: %t", now, !want)
		}
		if starts := w.begin(now) != refuse; starts != (now < 300) {
			t.Errorf("an operation may start at %d: %t", now, starts)
		}
	}
}

func TestACountTakesTheFirstThatStartAfterTheWarmup(t *testing.T) {
	w := Load{Inflight: 1, Warmup: 100, Count: 2}.open()
	far := int64(time.Hour)
	for i, c := range []struct {
		now  int64
		want verdict
	}{{0, ignore}, {99, ignore}, {100, measure}, {far, measure}, {far, refuse}, {far + 1, refuse}} {
		if got := w.begin(c.now); got != c.want {
			t.Errorf("operation %d, at %d: verdict %d, want %d", i, c.now, got, c.want)
		}
	}
	if w.counts(ignore, far) || !w.counts(measure, far) {
		t.Error("what was started in the warm-up is told apart from what was started after it")
	}
}
