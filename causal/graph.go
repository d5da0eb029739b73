package causal

import (
	"container/heap"
	"errors"
	"fmt"
	"iter"
	"slices"
)

// ErrGraph is matched by the errors of NewGraph.
var ErrGraph = errors.New("not a causal graph")

// Vertex is what a Graph knows of an event.
type Vertex struct {
	ID     EventID
	Stream Stream
	Causes []EventID // of the same journal
}

// Vertex returns the event's place in the graph of its journal. Causes in other journals are left out.
func (h *Header) Vertex() Vertex {
	v := Vertex{ID: h.ID, Stream: h.Stream()}
	for _, c := range h.Causes {
		if c.Lineage.IsZero() || c.Lineage == h.Lineage {
			v.Causes = append(v.Causes, c.ID)
		}
	}
	return v
}

// Graph is which events follow from which: the events as vertices, an edge from each cause to its
// effect, and no cycle. That two events are of one stream is no edge by itself. A Graph does not
// change, and is safe for concurrent use.
//
// A question takes at most one pass over the events, in order, from those that it is about until nothing
// is left to reach, and a byte of memory for each event: with n events and e edges never more than
// O(n + e). None of it is recursive.
//
// An event that is not in the graph has no ancestors and no descendants, and is neither before,
// after nor concurrent with another.
type Graph struct {
	vertices []Vertex          // in the order of Order; all that follows counts from there
	at       map[EventID]int32 // where an event is
	causes   adjacency
	effects  adjacency
	level    []int32   // the longest way back to an event without causes, in edges
	missing  []EventID // ascending
}

// adjacency is a list of vertices for each vertex, in one piece of memory.
type adjacency struct {
	start []int32 // of vertex i's list; one more than there are vertices
	list  []int32
}

func (a *adjacency) of(i int32) []int32 { return a.list[a.start[i]:a.start[i+1]] }

// NewGraph makes the graph of some events, which may come in any order. A cause that is not among
// them is left out, and is one of Missing. Its errors match ErrGraph: an event that is there twice, or
// events that follow from each other. It takes O((n + e) log n) time. The graph keeps about 130 bytes for an
// event and 8 for an edge, and the vertices' lists of causes, which are not to be changed.
func NewGraph(vertices ...Vertex) (*Graph, error) {
	n := len(vertices)
	g := &Graph{vertices: make([]Vertex, 0, n), at: make(map[EventID]int32, n)}
	given := make(map[EventID]int32, n)
	for i := range vertices {
		id := vertices[i].ID
		if _, ok := given[id]; ok {
			return nil, fmt.Errorf("%w: event %s is there twice", ErrGraph, id)
		}
		given[id] = int32(i)
	}
	causes := make([][]int32, n) // by the order in which they were given, as are the next two
	waiting := make([]int32, n)  // causes that have no place yet
	effects := make([][]int32, n)
	named := make([]int, n) // one more than the last event that named it as a cause
	for i := range vertices {
		for _, id := range vertices[i].Causes {
			c, ok := given[id]
			switch {
			case !ok:
				g.missing = append(g.missing, id)
			case named[c] != i+1:
				named[c] = i + 1
				causes[i] = append(causes[i], c)
				effects[c] = append(effects[c], int32(i))
				waiting[i]++
			}
		}
	}
	slices.SortFunc(g.missing, EventID.Compare)
	g.missing = slices.Compact(g.missing)

	ready := &byID{vertices: vertices}
	for i, w := range waiting {
		if w == 0 {
			ready.list = append(ready.list, int32(i))
		}
	}
	heap.Init(ready)
	order := make([]int32, 0, n)
	for len(ready.list) > 0 {
		i := heap.Pop(ready).(int32)
		g.at[vertices[i].ID] = int32(len(order))
		g.vertices = append(g.vertices, vertices[i])
		order = append(order, i)
		for _, e := range effects[i] {
			if waiting[e]--; waiting[e] == 0 {
				heap.Push(ready, e)
			}
		}
	}
	if len(order) < n {
		stuck := slices.IndexFunc(waiting, func(w int32) bool { return w > 0 })
		return nil, fmt.Errorf("%w: event %s follows from itself, or from events that do", ErrGraph, vertices[stuck].ID)
	}
	g.causes, g.effects = g.renumber(vertices, order, causes), g.renumber(vertices, order, effects)
	g.level = make([]int32, n)
	for i := range g.level {
		for _, c := range g.causes.of(int32(i)) {
			g.level[i] = max(g.level[i], g.level[c]+1)
		}
	}
	return g, nil
}

// renumber turns lists by the order that was given into lists by g's order.
func (g *Graph) renumber(vertices []Vertex, order []int32, lists [][]int32) adjacency {
	a := adjacency{start: make([]int32, 1, len(order)+1)}
	for _, i := range order {
		from := len(a.list)
		for _, other := range lists[i] {
			a.list = append(a.list, g.at[vertices[other].ID])
		}
		slices.Sort(a.list[from:])
		a.start = append(a.start, int32(len(a.list)))
	}
	return a
}

// byID is a heap of vertices, the least id first.
type byID struct {
	vertices []Vertex
	list     []int32
}

func (h *byID) Len() int { return len(h.list) }
func (h *byID) Less(i, j int) bool {
	return h.vertices[h.list[i]].ID.Compare(h.vertices[h.list[j]].ID) < 0
}
func (h *byID) Swap(i, j int) { h.list[i], h.list[j] = h.list[j], h.list[i] }
func (h *byID) Push(x any)    { h.list = append(h.list, x.(int32)) }
func (h *byID) Pop() any {
	last := h.list[len(h.list)-1]
	h.list = h.list[:len(h.list)-1]
	return last
}

// Len returns how many events there are.
func (g *Graph) Len() int { return len(g.vertices) }

// Vertex returns an event. What it has is not to be changed.
func (g *Graph) Vertex(id EventID) (Vertex, bool) {
	i, ok := g.at[id]
	if !ok {
		return Vertex{}, false
	}
	return g.vertices[i], true
}

// Missing returns the causes that are not in the graph, ascending.
func (g *Graph) Missing() []EventID { return slices.Clone(g.missing) }

// Order gives every event behind its causes. Of those that could be next it is the one with the least
// id, so the order depends on nothing but the events; in a journal, where ids ascend, it is the
// journal's own.
func (g *Graph) Order() iter.Seq[Vertex] { return slices.Values(g.vertices) }

// Causes returns an event's causes that are in the graph, each once, in order.
func (g *Graph) Causes(id EventID) []EventID { return g.next(&g.causes, id) }

// Effects returns the events that name an event as their cause, in order.
func (g *Graph) Effects(id EventID) []EventID { return g.next(&g.effects, id) }

func (g *Graph) next(a *adjacency, id EventID) []EventID {
	i, ok := g.at[id]
	if !ok {
		return nil
	}
	var ids []EventID
	for _, other := range a.of(i) {
		ids = append(ids, g.vertices[other].ID)
	}
	return ids
}
