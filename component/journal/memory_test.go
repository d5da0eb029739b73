//go:build !race

// What the race detector remembers is more than what is measured here.

package journal_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
)

// heapPeak is the most heap that was in use while do ran, beyond what was before. Garbage is collected
// early, so that what is in use is what is kept, or little more.
func heapPeak(do func()) uint64 {
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	inUse := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	runtime.GC()
	before := inUse()
	peak := before
	ended, sampled := make(chan struct{}), make(chan struct{})
	go func() { // it ends with do
		defer close(sampled)
		for {
			select {
			case <-ended:
				return
			default:
				peak = max(peak, inUse())
				runtime.Gosched()
			}
		}
	}()
	do()
	close(ended)
	<-sampled
	return max(peak, inUse()) - before
}

// A log may be larger than memory: what opens, reads, checks and walks it holds a small part of it at a time.
func TestLogIsLargerThanMemory(t *testing.T) {
	const (
		events  = 6000
		size    = 16 << 10
		mayHold = events * size / 6
	)
	dir := t.TempDir()
	o := journal.Options{Name: "large", SegmentBytes: 4 << 20}
	j := openDir(t, dir, o)
	data := payload(size)
	var ids []causal.EventID
	for len(ids) < events {
		batch := &journal.Batch{}
		known := len(ids)
		for i := range 100 {
			a := journal.Append{Coordinate: at(fmt.Sprintf("e%d", i%3)), Kind: 0x1001 + causal.Kind(i%2), Data: data}
			if known > 0 {
				a.Causes = []causal.Cause{{ID: ids[known-100+i]}, {ID: ids[known-100+(i+1)%100]}}
			}
			batch.Events = append(batch.Events, a)
		}
		for _, r := range mustAppend(t, j, batch) {
			ids = append(ids, r.ID)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	caches, err := filepath.Glob(filepath.Join(dir, "segments", "*.idx"))
	if err != nil || len(caches) < 20 {
		t.Fatalf("%d sealed segments, %v", len(caches), err)
	}
	ctx := context.Background()
	kinds := codec.Selection{Kinds: []causal.Kind{0x1002}, Limit: codec.MaxLimit}
	entity := codec.Selection{Scope: "s", Entity: "e1", Limit: codec.MaxLimit}
	read := func(sel codec.Selection) (n int, err error) {
		for more := true; more && err == nil; {
			var p journal.Page
			p, err = j.Read(ctx, sel, 1<<20)
			n += len(p.Envelopes)
			sel.After, more = p.Next, p.More
		}
		return n, err
	}
	for _, c := range []struct {
		name string
		want int
		do   func() (int, error)
	}{
		{"open without caches", events, func() (int, error) {
			for _, name := range append(caches, filepath.Join(dir, "checkpoint")) {
				if err := os.Remove(name); err != nil {
					return 0, err
				}
			}
			j = openDir(t, dir, o)
			return int(j.Visible()), nil
		}},
		{"read", events, func() (int, error) { return read(codec.Selection{Limit: codec.MaxLimit}) }},
		{"read of a kind", events / 2, func() (int, error) { return read(kinds) }},
		{"read of an entity", events / 100 * 33, func() (int, error) { return read(entity) }},
		{"events of a kind", events / 2, func() (n int, err error) {
			for _, err := range j.Events(ctx, kinds) {
				if err != nil {
					return n, err
				}
				n++
			}
			return n, nil
		}},
		{"events of a stream", events / 100 * 33, func() (n int, err error) {
			for _, err := range j.StreamEvents(stream("e1"), 0) {
				if err != nil {
					return n, err
				}
				n++
			}
			return n, nil
		}},
		{"scan", events, func() (n int, err error) {
			_, err = j.Scan(ctx, 0, 1<<40, func(uint64, []byte) error { n++; return nil })
			return n, err
		}},
		{"replay", events, func() (n int, err error) {
			_, err = j.Replay(ctx, 0, func(*causal.Event) error { n++; return nil })
			return n, err
		}},
		{"verify", events, func() (int, error) {
			v, err := j.Verify(ctx, 0, 0)
			return int(v.Checked), err
		}},
		// Each event has two causes and two effects: within so many steps is more than a page holds.
		{"graph", 1, func() (n int, err error) {
			for _, id := range ids[events/2 : events/2+50] {
				p, err := j.Graph(ctx, codec.GraphRequest{ID: id, Direction: codec.DirectionBoth, Depth: codec.MaxGraph, Limit: codec.MaxLimit}, 1<<20)
				if err != nil {
					return n, err
				}
				if !p.More {
					return n, fmt.Errorf("a page of %d events is all", len(p.Envelopes))
				}
			}
			return 1, nil
		}},
	} {
		var n int
		var err error
		held := heapPeak(func() { n, err = c.do() })
		if err != nil || n != c.want {
			t.Fatalf("%s: %d events of %d, %v", c.name, n, c.want, err)
		}
		if held > mayHold {
			t.Errorf("%s: %d KiB of memory were held, of a log of %d", c.name, held>>10, events*size>>10)
		}
		t.Logf("%s: %d KiB", c.name, held>>10)
	}
}

// The memory of what is read and decoded is used again: it does not grow with the log.
func TestReplayHoldsAFewPieces(t *testing.T) {
	j := openDir(t, tempDir(t), journal.Options{Name: "long"})
	b := &journal.Batch{}
	for range 100 {
		b.Events = append(b.Events, large("e", 2000))
	}
	for range 200 {
		mustAppend(t, j, b)
	}
	pieces := uint64(runtime.GOMAXPROCS(0) + 2)
	peak := heapPeak(func() {
		if _, err := j.Replay(context.Background(), 0, func(*causal.Event) error { return nil }); err != nil {
			t.Error(err)
		}
	})
	if most := pieces * 2 << 20; peak > most {
		t.Errorf("%d bytes were in use for a log of %d, want at most %d", peak, j.Stats().Bytes, most)
	}
}
