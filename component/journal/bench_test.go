package journal_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/keystore"
)

func BenchmarkAppend(b *testing.B) {
	for _, seal := range []keystore.Granularity{keystore.None, keystore.Entity} {
		for _, inflight := range []int{1, 256} {
			b.Run(fmt.Sprintf("seal=%s/inflight=%d", seal, inflight), func(b *testing.B) {
				j := openDir(b, b.TempDir(), journal.Options{Name: "bench", Seal: seal})
				data := payload(256)
				b.ReportAllocs()
				b.SetParallelism(inflight / min(inflight, 2))
				if inflight == 1 {
					for i := 0; b.Loop(); i++ {
						appendOne(b, j, i, data)
					}
					return
				}
				var n atomic.Int64
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						appendOne(b, j, int(n.Add(1)), data)
					}
				})
			})
		}
	}
}

func appendOne(b *testing.B, j *journal.Journal, i int, data []byte) {
	_, err := j.Append(context.Background(), &journal.Batch{Events: []journal.Append{{
		Coordinate: causal.Coordinate{Scope: "bench", Entity: fmt.Sprintf("e%d", i%1000)}, Kind: 0x1001, Data: data,
	}}})
	if err != nil {
		b.Error(err)
	}
}

// Sealed segments of about 45,000 events each answer from their index files.
func BenchmarkSealed(b *testing.B) {
	dir := b.TempDir()
	o := journal.Options{Name: "bench", SegmentBytes: 16 << 20}
	j := openDir(b, dir, o)
	data := payload(128)
	var ids []causal.EventID
	for n := 0; j.Stats().Segments < 5; {
		batch := &journal.Batch{}
		for range 1000 {
			batch.Events = append(batch.Events, journal.Append{
				Coordinate: causal.Coordinate{Scope: "bench", Entity: fmt.Sprintf("e%d", n%5000)}, Kind: 0x1001, Data: data,
			})
			n++
		}
		for _, r := range mustAppend(b, j, batch) {
			ids = append(ids, r.ID)
		}
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	j = openDir(b, dir, o)
	b.Run("get", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := j.Get(ids[rand.IntN(len(ids))]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sequence", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := j.GetSeq(1 + rand.Uint64N(uint64(len(ids)))); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("stream", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			stream := causal.Stream{Coordinate: causal.Coordinate{Scope: "bench", Entity: fmt.Sprintf("e%d", rand.IntN(5000))}}
			for _, err := range j.StreamEvents(stream, 0) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

// What is around an event, by the index of sealed segments. Each event follows from one shortly before it and
// from one anywhere before it.
func BenchmarkGraph(b *testing.B) {
	dir := b.TempDir()
	o := journal.Options{Name: "bench", SegmentBytes: 16 << 20}
	j := openDir(b, dir, o)
	data := payload(128)
	r := rand.New(rand.NewPCG(1, 1))
	var ids []causal.EventID
	for j.Stats().Segments < 5 {
		batch := &journal.Batch{}
		known := len(ids) // those of a batch do not know each other yet
		for range 1000 {
			a := journal.Append{Coordinate: causal.Coordinate{Scope: "bench", Entity: fmt.Sprintf("e%d", len(batch.Events)%50)}, Kind: 0x1001, Data: data}
			if known > 0 {
				a.Causes = []causal.Cause{{ID: ids[known-1-len(batch.Events)]}, {ID: ids[r.IntN(known)]}}
			}
			batch.Events = append(batch.Events, a)
		}
		for _, rc := range mustAppend(b, j, batch) {
			ids = append(ids, rc.ID)
		}
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	j = openDir(b, dir, o)
	for _, direction := range []string{codec.DirectionCauses, codec.DirectionEffects} {
		for _, limit := range []uint64{1, 100} {
			b.Run(fmt.Sprintf("%s/limit=%d", direction, limit), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := j.Graph(b.Context(), codec.GraphRequest{ID: ids[r.IntN(len(ids))], Direction: direction, Limit: limit}, 1<<20); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	b.Run("walk/limit=100", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := j.Walk(b.Context(), codec.WalkRequest{ID: ids[r.IntN(len(ids))]}, 1<<20); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Pages of 100 events among 200,000, in segments of about 45,000 with index files. Rare is one in 2,000, common every
// second one.
func BenchmarkFiltered(b *testing.B) {
	dir := b.TempDir()
	o := journal.Options{Name: "bench", SegmentBytes: 16 << 20}
	j := openDir(b, dir, o)
	data := payload(128)
	for n := 0; n < 200_000; {
		batch := &journal.Batch{}
		for range 1000 {
			a := journal.Append{Coordinate: causal.Coordinate{Scope: "bench", Entity: fmt.Sprintf("e%d", n%5000)}, Kind: causal.Kind(0x1000 + n%2), Data: data}
			if n%2000 == 7 {
				a.Scope, a.Kind, a.Subject = "rare", 0x1fff, "rare"
			}
			batch.Events = append(batch.Events, a)
			n++
		}
		mustAppend(b, j, batch)
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	j = openDir(b, dir, o)
	for _, read := range []struct {
		what string
		sel  codec.Selection
	}{
		{"rare scope", codec.Selection{Scope: "rare"}},
		{"rare kind", codec.Selection{Kinds: []causal.Kind{0x1fff}}},
		{"rare subject", codec.Selection{Subject: "rare"}},
		{"rare subject and common kind", codec.Selection{Subject: "rare", Kinds: []causal.Kind{0x1001, 0x1fff}}},
		{"nobody", codec.Selection{Subject: "nobody"}},
		{"entity", codec.Selection{Entity: "e77"}},
		{"common kind", codec.Selection{Kinds: []causal.Kind{0x1001}}},
		{"everything", codec.Selection{}},
	} {
		b.Run(read.what, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := j.Read(b.Context(), read.sel, 1<<20); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
