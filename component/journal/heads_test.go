package journal

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"batpak/causal"
)

// randomStream is one of many, some of which differ in a lane or in where scope and entity part only.
func randomStream(r *rand.Rand) causal.Stream {
	s := causal.Stream{Coordinate: causal.Coordinate{Scope: "s", Entity: fmt.Sprint(r.IntN(5000))}}
	switch r.IntN(8) {
	case 0:
		s.Lane = uint32(r.IntN(3)) << 20
	case 1:
		s.Scope += s.Entity[:1]
		s.Entity = s.Entity[1:] + "x"
	case 2:
		s.Entity = strings.Repeat(s.Entity, 40)
	}
	return s
}

func TestHeadTableAgreesWithAMap(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	want := map[causal.Stream]causal.Head{}
	type snapshot struct {
		table headTable
		want  map[causal.Stream]causal.Head
	}
	var table headTable
	var snapshots []snapshot
	for seq := range uint64(60_000) {
		s := randomStream(r)
		if got := table.get(s); got != want[s] {
			t.Fatalf("%s stands at %v, not at %v", s, got, want[s])
		}
		h := causal.Head{Seq: seq + 1, Version: want[s].Version + 1, Hash: causal.Hash{byte(seq), byte(seq >> 8)}}
		table.set(s, h)
		want[s] = h
		if seq%7000 == 0 {
			snapshots = append(snapshots, snapshot{table.snapshot(), maps.Clone(want)})
		}
	}
	if table.n != len(want) {
		t.Errorf("%d streams, not %d", table.n, len(want))
	}
	inLanes := map[causal.Stream]bool{}
	for s := range table.inLanes() {
		inLanes[s] = true
	}
	for s, h := range want {
		if got := table.get(s); got != h {
			t.Errorf("%s stands at %v, not at %v", s, got, h)
		}
		if inLanes[s] != (s.Lane != 0) {
			t.Errorf("%s is among those in lanes: %v", s, inLanes[s])
		}
	}
	for _, kept := range append(snapshots, snapshot{table.snapshot(), want}) {
		seen, last := 0, uint64(0)
		for e := range kept.table.ascending() {
			scope, entity := kept.table.namesOf(e)
			s := causal.Stream{Coordinate: causal.Coordinate{Scope: string(scope), Entity: string(entity)}, Lane: e.lane}
			if e.head != kept.want[s] || e.head.Seq <= last {
				t.Fatalf("%s stands at %v behind %d, not at %v", s, e.head, last, kept.want[s])
			}
			last = e.head.Seq
			seen++
		}
		if seen != len(kept.want) {
			t.Errorf("a snapshot has %d streams, not %d", seen, len(kept.want))
		}
	}
}

func BenchmarkHeadTable(b *testing.B) {
	names := make([]causal.Stream, 1<<18)
	for i := range names {
		names[i] = causal.Stream{Coordinate: causal.Coordinate{Scope: "bench", Entity: fmt.Sprintf("account-%d", i)}}
	}
	for _, n := range []int{1 << 10, 1 << 18} {
		b.Run(fmt.Sprintf("streams=%d", n), func(b *testing.B) {
			var table headTable
			for i := 0; b.Loop(); i++ {
				s := names[i%n]
				h := table.get(s)
				h.Version++
				table.set(s, h)
			}
		})
	}
	b.Run("new", func(b *testing.B) {
		var table headTable
		for i := 0; b.Loop(); i++ {
			if i%len(names) == 0 {
				table = headTable{}
			}
			table.set(names[i%len(names)], causal.Head{})
		}
	})
}
