package main

import (
	"encoding/json"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"batpak/codec"
	"batpak/component/bench"
)

func TestBenchMeasuresEverythingAndLeavesNothing(t *testing.T) {
	home := t.TempDir()
	out := must(t, "", "bench", "--inflight", "1,8", "--rounds", "1", "--duration", "300ms", "--dir", home)
	var names, ratios []string
	for line := range strings.Lines(out) {
		f := fields(line)
		if f[0] == "ratio" {
			if len(f) != 5 || f[2] == "NaN" {
				t.Errorf("ratio %q", f)
			}
			ratios = append(ratios, f[1])
			continue
		}
		if len(f) != 5 || f[2] == "0.0" || f[3] == "0.0" {
			t.Errorf("row %q", f)
		}
		names = append(names, f[0]+" "+f[1])
	}
	want := []string{"fdatasync 1"}
	for _, name := range []string{"echo", "jetstream-always", "append", "append+onward", "append sealed"} {
		want = append(want, name+" 1", name+" 8")
	}
	if !slices.Equal(names, want) {
		t.Errorf("measured %q", names)
	}
	// The others are about 256 in flight.
	if len(ratios) != 1 {
		t.Errorf("ratios %q", ratios)
	}
	if left, err := os.ReadDir(home); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestBenchOfKeys(t *testing.T) {
	home := t.TempDir()
	r := batpak(t, "", "bench", "--keys", "2000", "--rounds", "1", "--duration", "100ms", "--inflight", "1", "--dir", home)
	if r.code != exitDone || !strings.Contains(r.err, "keys opened in") || strings.Contains(r.err, "errors") {
		t.Fatalf("exit code %d: %s", r.code, r.err)
	}
	rows, ratios := 0, 0
	for line := range strings.Lines(r.out) {
		if f := fields(line); f[0] == "ratio" {
			ratios++
		} else if rows++; len(f) != 5 || f[2] == "0.0" {
			t.Errorf("row %q", f)
		}
	}
	if rows != 8 || ratios != 2 {
		t.Errorf("%d rows and %d ratios", rows, ratios)
	}
	if left, err := os.ReadDir(home); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestBenchOfEvents(t *testing.T) {
	home := t.TempDir()
	r := batpak(t, "", "bench", "--events", "2000", "--rounds", "1", "--dir", home)
	if r.code != exitDone || !strings.Contains(r.err, "journal: 2,000 events in 20 streams") {
		t.Fatalf("exit code %d: %s", r.code, r.err)
	}
	var rows, ratios []string
	for line := range strings.Lines(r.out) {
		switch f := fields(line); {
		case f[0] == "ratio" && len(f) == 5 && f[2] != "NaN":
			ratios = append(ratios, f[1])
		case f[0] != "ratio" && len(f) == 5 && f[1] == "1" && f[2] != "0.0" && f[3] != "0.0":
			rows = append(rows, f[0])
		default:
			t.Errorf("%q", f)
		}
	}
	want := []string{rowDisk, rowHash, rowOpen, rowReopen, rowGet, rowStream, rowGraph, rowVerifyOne, rowVerify, rowReplay, rowConsumer}
	if !slices.Equal(rows, want) {
		t.Errorf("measured %q", rows)
	}
	// Where the system does not tell of memory and time of cores, there are fewer.
	if len(ratios) != 9 && runtime.GOOS == "linux" || len(ratios) < 6 {
		t.Errorf("ratios %q", ratios)
	}
	if left, err := os.ReadDir(home); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestBenchOfEventsGoesWithNothingElse(t *testing.T) {
	for _, args := range [][]string{
		{"--events", "999"}, {"--events", "-1"}, {"--events", "1000", "--keys", "1"}, {"--events", "1000", "--inflight", "2"},
		{"--events", "1000", "--duration", "1s"}, {"--events", "1000", "--size", "31"}, {"--events", "1000", "--url", "nats://127.0.0.1:1"},
	} {
		if r := batpak(t, "", append([]string{"bench"}, args...)...); r.code != exitUsage {
			t.Errorf("%q: exit code %d, %s", args, r.code, r.err)
		}
	}
}

func TestBenchOfANodeThatIsThere(t *testing.T) {
	s := serve(t, journalDir(t), "--onward", "none")
	r := s.try("", "bench", "--json", "--inflight", "1,16", "--rounds", "1", "--duration", "300ms", "--size", "100")
	if r.code != exitDone {
		t.Fatalf("exit code %d: %s", r.code, r.err)
	}
	rows := 0
	for line := range strings.Lines(r.out) {
		var row struct {
			Name     string
			Inflight int
			Rate     float64 `json:"ops_per_s"`
			P50      float64 `json:"p50_us"`
			P99      float64 `json:"p99_us"`
			Errors   int
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil || row.Name != "append" || row.Inflight != []int{1, 16}[rows] ||
			row.Rate <= 0 || row.P50 <= 0 || row.P99 < row.P50 || row.Errors != 0 {
			t.Errorf("%s: %v", line, err)
		}
		rows++
	}
	if rows != 2 {
		t.Errorf("%d rows", rows)
	}
	var st codec.Status
	if err := codec.Unmarshal([]byte(s.run("", "status", "--json")), codec.JSON, &st); err != nil || st.Durable == 0 {
		t.Errorf("%+v, %v", st, err)
	}
	ev, err := s.client("main").GetSeq(t.Context(), 1)
	if err != nil || len(ev.Data) != 100 || ev.Scope != "bench" {
		t.Errorf("payload of %d bytes in %s, %v", len(ev.Data), ev.Coordinate, err)
	}
}

func TestPayloadsOfABenchAreOneValueOfTheSize(t *testing.T) {
	for _, size := range []int{1, 2, 3, 100, 256, 257, 258, 259, 65538, 65539, 65540, 1 << 20} {
		b := packed(size)
		if err := codec.Check(b); err != nil || len(b) != size {
			t.Errorf("%d bytes, not %d: %v", len(b), size, err)
		}
	}
}

func TestRatiosAreThoseOfWhatWasMeasured(t *testing.T) {
	rate := func(x float64) bench.Series { return bench.Series{{OpsPerS: x}} }
	late := func(x float64) bench.Series { return bench.Series{{P50us: x}} }
	got := results{
		{rowAppend, 256}: rate(80), {rowJetStream, 256}: rate(5), {rowEcho, 256}: rate(200), {rowSealed, 16}: rate(1),
		{rowAppend, 1}: late(240), {rowEcho, 1}: late(75), {rowDisk, 1}: late(125),
	}.ratios()
	want := []bench.Ratio{
		{What: "append / jetstream-always, ops/s, 256 in flight", Value: 16, AtLeast: 16},
		{What: "append / echo, ops/s, 256 in flight", Value: 0.4, AtLeast: 0.5},
		{What: "append / (echo + fdatasync), p50, 1 in flight", Value: 1.2, AtMost: 1.3},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}
