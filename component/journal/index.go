package journal

import (
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

// memIndex is the index of a segment that still grows. The committer adds; anyone reads.
type memIndex struct {
	mu       sync.RWMutex
	offsets  []uint32
	ids      []causal.EventID // ascending
	terms    map[uint64]memTerm
	lists    [][]uint32 // positions, ascending
	postings int        // positions of all terms
}

// memTerm is where the positions of a term are. Many have only one.
type memTerm struct {
	only uint32
	list uint32 // the number in memIndex.lists, from 1; 0 when there is only one
}

func newMemIndex() *memIndex { return &memIndex{terms: make(map[uint64]memTerm)} }

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
		pos := uint32(len(x.offsets))
		for _, term := range e.terms {
			x.addTerm(term, pos)
		}
		x.postings += len(e.terms)
		x.offsets = append(x.offsets, e.offset)
		x.ids = append(x.ids, e.id)
	}
}

func (x *memIndex) addTerm(term uint64, pos uint32) {
	t, known := x.terms[term]
	switch {
	case !known:
		x.terms[term] = memTerm{only: pos}
	case t.list == 0:
		x.lists = append(x.lists, []uint32{t.only, pos})
		x.terms[term] = memTerm{list: uint32(len(x.lists))}
	default:
		list := &x.lists[t.list-1]
		*list = append(*list, pos)
	}
}

// of returns the positions of a term. Later ones go to memory beyond its length.
func (x *memIndex) of(term uint64) []uint32 {
	t, known := x.terms[term]
	switch {
	case !known:
		return nil
	case t.list == 0:
		return []uint32{t.only}
	}
	return x.lists[t.list-1]
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
	x.mu.RLock()
	list := x.of(term)
	x.mu.RUnlock()
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
