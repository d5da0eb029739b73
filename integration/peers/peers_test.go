package main

import (
	"strings"
	"testing"
	"time"

	"batpak/component/bench"
)

// BenchmarkStores sets stores that are called from Go against each other, 256
// goroutines each.
func BenchmarkStores(b *testing.B) { race(b, enterPebble, enterJournal) }

// BenchmarkNATS sets what is asked over NATS against each other, 256 requests in
// flight each.
func BenchmarkNATS(b *testing.B) { race(b, enterEcho, enterJetStream) }

// race measures the contestants in turns. An iteration is one round of all of
// them, so -benchtime 5x asks for five; the metrics are the medians.
func race(b *testing.B, enter ...func(*ring, int) error) {
	c := config{inflight: []int{256}, size: 256, duration: time.Second}
	r := fill(b, c, enter)
	runs := r.runs(c)
	all := make([]bench.Series, len(runs))
	for b.Loop() {
		round, err := bench.Rounds(1, runs...)
		if err != nil {
			b.Fatal(err)
		}
		for i, rows := range round {
			all[i] = append(all[i], rows...)
		}
	}
	rows, ratios := summary(all)
	for _, row := range rows {
		unit := func(figure string) string { return strings.ReplaceAll(row.Name, " ", "-") + "-" + figure }
		b.ReportMetric(row.OpsPerS, unit("ops/s"))
		b.ReportMetric(row.P50us, unit("p50-µs"))
		b.ReportMetric(row.P99us, unit("p99-µs"))
		b.ReportMetric(row.AllocsPerOp, unit("allocs/op"))
		b.ReportMetric(row.BytesPerOp, unit("B/op"))
	}
	b.ReportMetric(0, "ns/op") // how long a round takes says nothing
	if err := bench.Print(b.Output(), rows, ratios); err != nil {
		b.Fatal(err)
	}
}

// fill lets contestants into a ring that goes when the test ends.
func fill(t testing.TB, c config, enter []func(*ring, int) error) *ring {
	t.Helper()
	r := newRing(t.Context(), t.TempDir())
	t.Cleanup(func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	for _, e := range enter {
		if err := e(r, c.size); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestEachContestantAnswersWithoutErrors(t *testing.T) {
	c := config{inflight: []int{1, 8}, size: 64, duration: 50 * time.Millisecond}
	all, err := bench.Rounds(1, fill(t, c, contestants).runs(c)...)
	if err != nil {
		t.Fatal(err)
	}
	rows, _ := summary(all)
	for _, row := range rows {
		if row.Ops == 0 || row.Errors != 0 {
			t.Errorf("%s, %d in flight: %d operations, %d errors (%v)", row.Name, row.Inflight, row.Ops, row.Errors, row.Err)
		}
	}
}

func TestRatiosAreThoseOfWhatWasMeasured(t *testing.T) {
	rate := func(x float64) bench.Series { return bench.Series{{OpsPerS: x}} }
	late := func(x float64) bench.Series { return bench.Series{{P50us: x}} }
	ratios := results{
		{appendDurable, 256}:   rate(80),
		{jetStreamAlways, 256}: rate(5),
		{echo, 256}:            rate(200),
		{appendSealed, 16}:     rate(1),
		{appendDurable, 1}:     late(240),
		{echo, 1}:              late(75),
		{disk, 1}:              late(125),
	}.ratios()
	want := []bench.Ratio{
		{What: "append / jetstream always, ops/s, 256 in flight", Value: 16, AtLeast: 16},
		{What: "append / echo, ops/s, 256 in flight", Value: 0.4, AtLeast: 0.5},
		{What: "append / (echo + fdatasync), p50, 1 in flight", Value: 1.2, AtMost: 1.3},
	}
	if len(ratios) != len(want) {
		t.Fatalf("%+v", ratios)
	}
	for i := range want {
		if ratios[i] != want[i] {
			t.Errorf("%+v, want %+v", ratios[i], want[i])
		}
	}
}
