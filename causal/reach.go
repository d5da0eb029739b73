package causal

import (
	"maps"
	"slices"
)

// Ancestors returns all that an event follows from, in order, without the event itself.
func (g *Graph) Ancestors(id EventID) []EventID {
	at, ok := g.at[id]
	if !ok {
		return nil
	}
	var ids []EventID
	reached := make([]bool, at+1)
	reached[at] = true
	// Causes have lower numbers, so that going down meets each event after all that follow from it.
	for i, open := at, 1; open > 0; i-- {
		if !reached[i] {
			continue
		}
		open--
		if i != at {
			ids = append(ids, g.vertices[i].ID)
		}
		for _, c := range g.causes.of(i) {
			if !reached[c] {
				reached[c] = true
				open++
			}
		}
	}
	slices.Reverse(ids)
	return ids
}

// Descendants returns all that follows from an event, in order, without the event itself.
func (g *Graph) Descendants(id EventID) []EventID {
	at, ok := g.at[id]
	if !ok {
		return nil
	}
	var ids []EventID
	reached := make([]bool, int32(len(g.vertices))-at) // counted from at
	reached[0] = true
	for i, open := at, 1; open > 0; i++ {
		if !reached[i-at] {
			continue
		}
		open--
		if i != at {
			ids = append(ids, g.vertices[i].ID)
		}
		for _, e := range g.effects.of(i) {
			if !reached[e-at] {
				reached[e-at] = true
				open++
			}
		}
	}
	return ids
}

// HappensBefore says whether b follows from a, by however many steps. No event happens before itself.
func (g *Graph) HappensBefore(a, b EventID) bool {
	from, ok := g.at[a]
	to, too := g.at[b]
	return ok && too && g.before(from, to)
}

func (g *Graph) before(from, to int32) bool {
	if g.level[from] >= g.level[to] || from >= to {
		return false
	}
	reached := make([]bool, to-from+1) // counted from from
	reached[to-from] = true
	for i, open := to, 1; open > 0 && i > from; i-- {
		if !reached[i-from] {
			continue
		}
		open--
		for _, c := range g.causes.of(i) {
			if c == from {
				return true
			}
			// What is no higher than from cannot follow from it.
			if c > from && g.level[c] > g.level[from] && !reached[c-from] {
				reached[c-from] = true
				open++
			}
		}
	}
	return false
}

// Concurrent says whether neither of two events follows from the other: that is what the graph says,
// and no clock. No event is concurrent with itself.
func (g *Graph) Concurrent(a, b EventID) bool {
	i, ok := g.at[a]
	j, too := g.at[b]
	return ok && too && i != j && !g.before(i, j) && !g.before(j, i)
}

// Marks of CommonAncestors.
const (
	ofA   = 1 << iota // a itself, or an ancestor of it
	ofB               // b itself, or an ancestor of it
	stale             // an ancestor of a common ancestor
)

// CommonAncestors returns, in order, the best common ancestors of two events: those that no other common
// ancestor follows from. Here an event counts as an ancestor of itself, so that when a happens before b
// it is a. There may be several, as after branches were merged crosswise, or none. It is what "git
// merge-base --all" prints for commits.
func (g *Graph) CommonAncestors(a, b EventID) []EventID {
	i, ok := g.at[a]
	j, too := g.at[b]
	if !ok || !too {
		return nil
	}
	top := max(i, j)
	marks := make([]uint8, top+1)
	marks[i] |= ofA
	marks[j] |= ofB
	open := 1 // events ahead that have marks and are not stale
	if i != j {
		open = 2
	}
	var best []EventID
	for at := top; open > 0; at-- {
		m := marks[at]
		if m == 0 {
			continue
		}
		if m&stale == 0 {
			open--
			if m == ofA|ofB {
				best = append(best, g.vertices[at].ID)
				m |= stale
			}
		}
		for _, c := range g.causes.of(at) {
			was := marks[c]
			marks[c] |= m
			switch {
			case was == 0 && m&stale == 0:
				open++
			case was != 0 && was&stale == 0 && m&stale != 0:
				open--
			}
		}
	}
	slices.Reverse(best)
	return best
}

// Branch is one lane of a coordinate, as far as the graph has it.
type Branch struct {
	Lane   uint32
	Events []EventID // in order
	// From has the causes of its first event that are of other lanes of the coordinate: where it
	// branched off. It is empty for a lane that began by itself.
	From []EventID
}

// Branches returns the lanes of a coordinate, by number. It goes through all events once.
func (g *Graph) Branches(c Coordinate) []Branch {
	lanes := make(map[uint32]*Branch)
	for i := range g.vertices {
		v := &g.vertices[i]
		if v.Stream.Coordinate != c {
			continue
		}
		b := lanes[v.Stream.Lane]
		if b == nil {
			b = &Branch{Lane: v.Stream.Lane}
			lanes[b.Lane] = b
			for _, cause := range g.causes.of(int32(i)) {
				if from := &g.vertices[cause]; from.Stream.Coordinate == c {
					b.From = append(b.From, from.ID)
				}
			}
		}
		b.Events = append(b.Events, v.ID)
	}
	list := make([]Branch, 0, len(lanes))
	for _, lane := range slices.Sorted(maps.Keys(lanes)) {
		list = append(list, *lanes[lane])
	}
	return list
}
