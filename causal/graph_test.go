package causal_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"batpak/causal"
)

// vertexID is an id whose order is that of n.
func vertexID(n int) causal.EventID {
	return causal.EventID{14: byte(n >> 8), 15: byte(n)}
}

// randomGraph makes n events with up to most causes each. The ids are in another order than that
// of the causes, and events come in any order; every fourth one names a cause that is not there.
func randomGraph(r *rand.Rand, n, most int) []causal.Vertex {
	ids := r.Perm(n)
	vertices := make([]causal.Vertex, n)
	for i := range vertices {
		v := &vertices[i]
		v.ID = vertexID(ids[i] + 1)
		v.Stream = causal.Stream{Coordinate: causal.Coordinate{Scope: "s", Entity: string(rune('a' + r.IntN(2)))}, Lane: uint32(r.IntN(3))}
		for range r.IntN(most + 1) {
			if i > 0 {
				v.Causes = append(v.Causes, vertices[r.IntN(i)].ID)
			}
		}
		if i%4 == 3 {
			v.Causes = append(v.Causes, vertexID(n+1+r.IntN(3)))
		}
	}
	r.Shuffle(n, func(i, j int) { vertices[i], vertices[j] = vertices[j], vertices[i] })
	return vertices
}

// naive answers from a table of what reaches what.
type naive struct {
	ids     []causal.EventID
	follows map[[2]causal.EventID]bool // cause, effect; by however many steps
}

func newNaive(vertices []causal.Vertex) *naive {
	m := &naive{follows: map[[2]causal.EventID]bool{}}
	there := map[causal.EventID]bool{}
	for _, v := range vertices {
		m.ids = append(m.ids, v.ID)
		there[v.ID] = true
	}
	for _, v := range vertices {
		for _, c := range v.Causes {
			if there[c] {
				m.follows[[2]causal.EventID{c, v.ID}] = true
			}
		}
	}
	for _, k := range m.ids {
		for _, i := range m.ids {
			for _, j := range m.ids {
				if m.follows[[2]causal.EventID{i, k}] && m.follows[[2]causal.EventID{k, j}] {
					m.follows[[2]causal.EventID{i, j}] = true
				}
			}
		}
	}
	return m
}

func (m *naive) before(a, b causal.EventID) bool { return m.follows[[2]causal.EventID{a, b}] }

func (m *naive) all(which func(id causal.EventID) bool) (ids []causal.EventID) {
	for _, id := range m.ids {
		if which(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (m *naive) common(a, b causal.EventID) []causal.EventID {
	both := m.all(func(id causal.EventID) bool {
		return (id == a || m.before(id, a)) && (id == b || m.before(id, b))
	})
	return slices.DeleteFunc(slices.Clone(both), func(id causal.EventID) bool {
		return slices.ContainsFunc(both, func(other causal.EventID) bool { return m.before(id, other) })
	})
}

func TestAGraphAnswersAsATableOfEveryPairDoes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		vertices := randomGraph(r, 1+r.IntN(24), 1+r.IntN(4))
		g, err := causal.NewGraph(vertices...)
		if err != nil {
			t.Fatal(err)
		}
		m := newNaive(vertices)
		place := map[causal.EventID]int{}
		for v := range g.Order() {
			place[v.ID] = len(place)
		}
		sorted := func(ids []causal.EventID) []causal.EventID {
			return slices.SortedFunc(slices.Values(ids), func(a, b causal.EventID) int { return place[a] - place[b] })
		}
		same := func(what string, got, want []causal.EventID) {
			t.Helper()
			if !slices.Equal(got, sorted(want)) {
				t.Errorf("seed %d: %s: %v, want %v", seed, what, got, want)
			}
		}
		if len(place) != len(vertices) || g.Len() != len(vertices) {
			t.Fatalf("seed %d: %d events in order of %d", seed, len(place), len(vertices))
		}
		for _, a := range m.ids {
			same("ancestors", g.Ancestors(a), m.all(func(id causal.EventID) bool { return m.before(id, a) }))
			same("descendants", g.Descendants(a), m.all(func(id causal.EventID) bool { return m.before(a, id) }))
			for _, c := range g.Causes(a) {
				if !slices.Contains(g.Effects(c), a) || place[c] >= place[a] {
					t.Errorf("seed %d: cause %s of %s", seed, c, a)
				}
			}
			for _, b := range m.ids {
				if got, want := g.HappensBefore(a, b), m.before(a, b); got != want {
					t.Errorf("seed %d: %s before %s: %v", seed, a, b, got)
				}
				if got, want := g.Concurrent(a, b), a != b && !m.before(a, b) && !m.before(b, a); got != want {
					t.Errorf("seed %d: %s beside %s: %v", seed, a, b, got)
				}
				same(fmt.Sprintf("common ancestors of %s and %s", a, b), g.CommonAncestors(a, b), m.common(a, b))
			}
		}
	}
}

func TestTheOrderIsThatOfTheEventsAlone(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 7))
	vertices := randomGraph(r, 200, 3)
	var want []causal.EventID
	for range 5 {
		g, err := causal.NewGraph(vertices...)
		if err != nil {
			t.Fatal(err)
		}
		var got []causal.EventID
		for v := range g.Order() {
			got = append(got, v.ID)
		}
		if want != nil && !slices.Equal(got, want) {
			t.Fatal("another order")
		}
		want = got
		r.Shuffle(len(vertices), func(i, j int) { vertices[i], vertices[j] = vertices[j], vertices[i] })
	}
}

func TestMissingCausesAreToldAndNoEdges(t *testing.T) {
	t.Parallel()
	g, err := causal.NewGraph(causal.Vertex{ID: vertexID(5), Causes: []causal.EventID{vertexID(4), vertexID(2), vertexID(4)}})
	if err != nil {
		t.Fatal(err)
	}
	if got := g.Missing(); !slices.Equal(got, []causal.EventID{vertexID(2), vertexID(4)}) {
		t.Errorf("missing %v", got)
	}
	for _, id := range []causal.EventID{vertexID(2), {}} {
		_, there := g.Vertex(id)
		if there || g.Ancestors(id) != nil || g.Descendants(id) != nil || g.Causes(id) != nil || g.Effects(id) != nil ||
			g.HappensBefore(id, vertexID(5)) || g.HappensBefore(vertexID(5), id) || g.Concurrent(id, vertexID(5)) ||
			g.CommonAncestors(id, vertexID(5)) != nil {
			t.Errorf("%s is in the graph", id)
		}
	}
}

func TestWhatIsNoGraphIsRefused(t *testing.T) {
	t.Parallel()
	a, b, c := vertexID(1), vertexID(2), vertexID(3)
	for what, vertices := range map[string][]causal.Vertex{
		"an event twice": {{ID: a}, {ID: a}},
		"its own cause":  {{ID: a, Causes: []causal.EventID{a}}},
		"a cycle":        {{ID: c}, {ID: a, Causes: []causal.EventID{b, c}}, {ID: b, Causes: []causal.EventID{a}}},
	} {
		if _, err := causal.NewGraph(vertices...); !errors.Is(err, causal.ErrGraph) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if g, err := causal.NewGraph(); err != nil || g.Len() != 0 || len(g.Branches(causal.Coordinate{})) != 0 {
		t.Errorf("no events: %v", err)
	}
}

func TestBranchesSayWhereTheyBeganAndWhatIsOnThem(t *testing.T) {
	t.Parallel()
	doc := causal.Coordinate{Scope: "wiki", Entity: "page"}
	other := causal.Coordinate{Scope: "wiki", Entity: "other"}
	on := func(lane uint32) causal.Stream { return causal.Stream{Coordinate: doc, Lane: lane} }
	id := vertexID
	g, err := causal.NewGraph(
		causal.Vertex{ID: id(1), Stream: on(0)},
		causal.Vertex{ID: id(2), Stream: causal.Stream{Coordinate: other}},
		causal.Vertex{ID: id(3), Stream: on(7), Causes: []causal.EventID{id(2), id(1)}},
		causal.Vertex{ID: id(4), Stream: on(0), Causes: []causal.EventID{id(1)}},
		causal.Vertex{ID: id(5), Stream: on(7), Causes: []causal.EventID{id(3), id(4)}},
		causal.Vertex{ID: id(6), Stream: on(2)},
	)
	if err != nil {
		t.Fatal(err)
	}
	want := "[{0 [1 4] []} {2 [6] []} {7 [3 5] [1]}]"
	short := func(ids []causal.EventID) (n []int) {
		for _, id := range ids {
			n = append(n, int(id[15]))
		}
		return n
	}
	type branch struct {
		lane         uint32
		events, from []int
	}
	var got []branch
	for _, b := range g.Branches(doc) {
		got = append(got, branch{b.Lane, short(b.Events), short(b.From)})
	}
	if fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestAVertexHasTheCausesOfItsOwnJournal(t *testing.T) {
	t.Parallel()
	mine, foreign := causal.Lineage{1}, causal.Lineage{2}
	h := causal.Header{ID: vertexID(9), Lineage: mine, Lane: 3, Causes: []causal.Cause{
		{ID: vertexID(1)}, {ID: vertexID(2), Lineage: foreign}, {ID: vertexID(3), Lineage: mine}}}
	if v := h.Vertex(); v.ID != h.ID || v.Stream.Lane != 3 || !slices.Equal(v.Causes, []causal.EventID{vertexID(1), vertexID(3)}) {
		t.Errorf("%+v", v)
	}
}

// A chain as deep as a journal is long needs no stack.
func TestADeepGraphIsNoDeepCall(t *testing.T) {
	t.Parallel()
	const n = 200_000
	var ids causal.IDs
	vertices := make([]causal.Vertex, n)
	for i := range vertices {
		vertices[i].ID = ids.Next(uint64(time.Hour / time.Millisecond))
		if i > 0 {
			vertices[i].Causes = []causal.EventID{vertices[i-1].ID}
		}
	}
	g, err := causal.NewGraph(vertices...)
	if err != nil {
		t.Fatal(err)
	}
	first, last := vertices[0].ID, vertices[n-1].ID
	if !g.HappensBefore(first, last) || len(g.Ancestors(last)) != n-1 || len(g.Descendants(first)) != n-1 {
		t.Error("the chain is broken")
	}
}

func BenchmarkGraph(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	const n = 10_000
	vertices := make([]causal.Vertex, n)
	for i := range vertices {
		vertices[i].ID = vertexID(i)
		for range min(i, 1+r.IntN(2)) {
			vertices[i].Causes = append(vertices[i].Causes, vertices[i-1-r.IntN(min(i, 20))].ID)
		}
	}
	g, err := causal.NewGraph(vertices...)
	if err != nil {
		b.Fatal(err)
	}
	first, last, before := vertices[0].ID, vertices[n-1].ID, vertices[n-2].ID
	b.Run("build", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := causal.NewGraph(vertices...); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("happens-before-all-the-way", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			g.HappensBefore(first, last)
		}
	})
	b.Run("common-ancestors-nearby", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			g.CommonAncestors(last, before)
		}
	})
}
