package journal

import (
	"context"
	"testing"

	"batpak/causal"
	"batpak/codec"
)

// Candidates that are not selected are bounded work: a visit comes back, and the next one goes on from there.
func TestAVisitEndsWithItsBudget(t *testing.T) {
	fsys, _ := fuzzDir(t)
	j, err := Open(context.Background(), fsys, Options{Name: "budget", SegmentBytes: 128 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	const n = 400 // an event in eight is in lane 1, the next one of kind 0x1001: both is only the last
	at := causal.Coordinate{Scope: "s", Entity: "e"}
	for i := range n {
		a := Append{Coordinate: at, Kind: 0x1000, Data: append([]byte{0xc5, 3, 0xe8}, make([]byte, 1000)...)}
		if i%8 == 1 || i == n-1 {
			a.Lane = 1
		}
		if i%8 == 2 || i == n-1 {
			a.Kind = 0x1001
		}
		if _, err := j.Append(context.Background(), &Batch{Events: []Append{a}}); err != nil {
			t.Fatal(err)
		}
	}
	lane := uint32(1)
	sel := codec.Selection{Scope: "s", Lane: &lane, Kinds: []causal.Kind{0x1001}}
	for _, budget := range []int{1, 10_000, 100_000} {
		visits, found, looked := 0, 0, 0
		for sel.After = 0; sel.After < n; visits++ {
			after := sel.After
			v := visit{j: j, ctx: context.Background(), sel: &sel, filters: filtersOf(&sel), budget: budget}
			cost := 0
			v.f = func(seq uint64, ev *causal.Event) bool {
				if seq <= sel.After {
					t.Fatalf("budget %d: %d after %d", budget, seq, sel.After)
				}
				if sel.After = seq; ev != nil {
					found++
				}
				looked++
				cost++
				return true
			}
			if err := v.run(n); err != nil {
				t.Fatal(err)
			}
			if sel.After == after {
				t.Fatalf("budget %d: stays at %d", budget, after)
			}
			if cost > 2+budget/1000 { // the last ones of two segments
				t.Fatalf("budget %d: looked at %d events", budget, cost)
			}
		}
		if found != 1 || looked > n/2 || visits < n/32 { // the index alone takes nearly all of the largest one
			t.Errorf("budget %d: found %d in %d visits that looked at %d", budget, found, visits, looked)
		}
	}
	// Segments without any cost something too.
	nobody := codec.Selection{Subject: "nobody"}
	v := visit{j: j, ctx: context.Background(), sel: &nobody, filters: filtersOf(&nobody), budget: 2 * lookUpCost}
	segments := 0
	v.f = func(uint64, *causal.Event) bool { segments++; return true }
	if err := v.run(n); err != nil || segments != 2 {
		t.Errorf("looked at %d segments of %d: %v", segments, j.Stats().Segments, err)
	}
}
