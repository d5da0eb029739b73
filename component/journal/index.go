package journal

import (
	"cmp"
	"slices"
	"sync"

	"batpak/causal"
)

// index answers where the events of one segment are. Positions count from 0 within the segment.
type index interface {
	count() int
	offset(pos int) (int64, error)               // of the event's frame
	find(id causal.EventID) (pos int, err error) // ErrNotFound
	// positions returns the first positions, ascending and not below from, of the events that have a
	// term: at most so many. When they are fewer, there are no more. Events of another term may be among
	// them. It may use the memory of dst; what it returns is not to be changed.
	positions(dst []uint32, term uint64, from uint32, most int) ([]uint32, error)
	// tally is how many of them there are, counted no further than most.
	tally(term uint64, from uint32, most int) (int, error)
	span() (first, last causal.EventID) // zero when there are no events
}

// memIndex is the index of a segment that still grows. The committer adds; anyone reads. So that appends pay
// little for reads that nobody makes, what terms lead to is put in order by the first who looks for one.
type memIndex struct {
	mu      sync.RWMutex
	offsets []uint32
	ids     []causal.EventID // ascending
	terms   []uint64         // of the events, one after the other
	ends    []uint32         // of each event's terms

	placed int // so many events are in what follows
	places map[uint64]place
	lists  [][]uint32 // positions, ascending
}

// place is where the positions of a term are. Many have only one.
type place struct {
	only uint32
	list uint32 // the number in memIndex.lists, from 1; 0 when there is only one
}

func newMemIndex() *memIndex { return &memIndex{places: make(map[uint64]place)} }

// indexEntry is what an index knows of one event.
type indexEntry struct {
	id     causal.EventID
	offset uint32   // of its frame
	terms  []uint64 // each once
}

func (x *memIndex) add(entries ...indexEntry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range entries {
		x.offsets = append(x.offsets, e.offset)
		x.ids = append(x.ids, e.id)
		x.terms = append(x.terms, e.terms...)
		x.ends = append(x.ends, uint32(len(x.terms)))
	}
}

// placeAtOnce is how many events are put in order before others may go on.
const placeAtOnce = 1 << 10

// place puts some events in order.
func (x *memIndex) place() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for last := min(x.placed+placeAtOnce, len(x.offsets)); x.placed < last; x.placed++ {
		for _, term := range x.termsOf(x.placed) {
			x.placeTerm(term, uint32(x.placed))
		}
	}
}

func (x *memIndex) termsOf(pos int) []uint64 {
	if pos == 0 {
		return x.terms[:x.ends[0]]
	}
	return x.terms[x.ends[pos-1]:x.ends[pos]]
}

func (x *memIndex) placeTerm(term uint64, pos uint32) {
	p, known := x.places[term]
	switch {
	case !known:
		x.places[term] = place{only: pos}
	case p.list == 0:
		x.lists = append(x.lists, []uint32{p.only, pos})
		x.places[term] = place{list: uint32(len(x.lists))}
	default:
		list := &x.lists[p.list-1]
		*list = append(*list, pos)
	}
}

// of returns the positions of a term. Later ones go to memory beyond its length.
func (x *memIndex) of(term uint64) []uint32 {
	for {
		x.mu.RLock()
		if x.placed == len(x.offsets) {
			defer x.mu.RUnlock()
			p, known := x.places[term]
			switch {
			case !known:
				return nil
			case p.list == 0:
				return []uint32{p.only}
			}
			return x.lists[p.list-1]
		}
		x.mu.RUnlock()
		x.place()
	}
}

// postings returns them all, ascending by term, then by position.
func (x *memIndex) postings() []posting {
	const buckets, shift = 1 << 12, 64 - 12
	var starts [buckets + 1]uint32
	for _, term := range x.terms {
		starts[term>>shift+1]++
	}
	for i := range buckets {
		starts[i+1] += starts[i]
	}
	all, next := make([]posting, len(x.terms)), starts
	for pos := range x.offsets {
		for _, term := range x.termsOf(pos) {
			at := &next[term>>shift]
			all[*at] = posting{term, uint32(pos)}
			*at++
		}
	}
	for i := range buckets {
		slices.SortFunc(all[starts[i]:starts[i+1]], func(a, b posting) int {
			if a.term == b.term {
				return cmp.Compare(a.pos, b.pos)
			}
			return cmp.Compare(a.term, b.term)
		})
	}
	return all
}

func (x *memIndex) count() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.offsets)
}

func (x *memIndex) offset(pos int) (int64, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if pos >= len(x.offsets) {
		return 0, ErrNotFound
	}
	return int64(x.offsets[pos]), nil
}

func (x *memIndex) find(id causal.EventID) (int, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	pos, ok := slices.BinarySearchFunc(x.ids, id, causal.EventID.Compare)
	if !ok {
		return 0, ErrNotFound
	}
	return pos, nil
}

func (x *memIndex) positions(_ []uint32, term uint64, from uint32, most int) ([]uint32, error) {
	list := x.from(term, from)
	return slices.Clip(list[:min(most, len(list))]), nil
}

func (x *memIndex) tally(term uint64, from uint32, most int) (int, error) {
	return min(most, len(x.from(term, from))), nil
}

// from returns the positions of a term that are not below one.
func (x *memIndex) from(term uint64, from uint32) []uint32 {
	list := x.of(term)
	i, _ := slices.BinarySearch(list, from)
	return list[i:]
}

func (x *memIndex) span() (first, last causal.EventID) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if len(x.ids) == 0 {
		return first, last
	}
	return x.ids[0], x.ids[len(x.ids)-1]
}
