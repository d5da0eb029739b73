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
	// coordinate returns the positions, ascending, of the events whose coordinate has this hash.
	// Another coordinate may share it. The slice is not to be changed.
	coordinate(hash uint64) ([]uint32, error)
	span() (first, last causal.EventID) // zero when there are no events
}

// coordinateHash is FNV-1a, 64 bits, over scope, 0x00, entity.
func coordinateHash(c causal.Coordinate) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for i := range len(c.Scope) {
		h = (h ^ uint64(c.Scope[i])) * prime
	}
	h *= prime // the byte 0x00
	for i := range len(c.Entity) {
		h = (h ^ uint64(c.Entity[i])) * prime
	}
	return h
}

// memIndex is the index of a segment that still grows. The committer adds; anyone reads.
type memIndex struct {
	mu      sync.RWMutex
	offsets []uint32
	ids     []causal.EventID    // ascending
	byCoord map[uint64][]uint32 // coordinate hash to positions
}

func newMemIndex() *memIndex { return &memIndex{byCoord: make(map[uint64][]uint32)} }

// indexEntry is what an index knows of one event.
type indexEntry struct {
	id     causal.EventID
	coord  uint64
	offset uint32
}

func (x *memIndex) add(entries []indexEntry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range entries {
		x.byCoord[e.coord] = append(x.byCoord[e.coord], uint32(len(x.offsets)))
		x.offsets = append(x.offsets, e.offset)
		x.ids = append(x.ids, e.id)
	}
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

func (x *memIndex) coordinate(hash uint64) ([]uint32, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return slices.Clip(x.byCoord[hash]), nil // later additions go to memory beyond its length
}

func (x *memIndex) span() (first, last causal.EventID) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if len(x.ids) == 0 {
		return first, last
	}
	return x.ids[0], x.ids[len(x.ids)-1]
}
