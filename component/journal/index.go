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
	// effects is the same for the events that name a cause whose id has this hash.
	effects(hash uint64) ([]uint32, error)
	span() (first, last causal.EventID) // zero when there are no events
}

// FNV-1a, 64 bits.
const fnvOffset, fnvPrime = 14695981039346656037, 1099511628211

// coordinateHash is FNV-1a over scope, 0x00, entity.
func coordinateHash(c causal.Coordinate) uint64 {
	h := uint64(fnvOffset)
	for i := range len(c.Scope) {
		h = (h ^ uint64(c.Scope[i])) * fnvPrime
	}
	h *= fnvPrime // the byte 0x00
	for i := range len(c.Entity) {
		h = (h ^ uint64(c.Entity[i])) * fnvPrime
	}
	return h
}

// causeHash is FNV-1a over the id.
func causeHash(id causal.EventID) uint64 {
	h := uint64(fnvOffset)
	for _, b := range id {
		h = (h ^ uint64(b)) * fnvPrime
	}
	return h
}

// causeHashes returns the hashes of an event's causes that are in its own journal; those in others
// lead to nothing here.
func causeHashes(h *causal.Header) []uint64 {
	if len(h.Causes) == 0 {
		return nil
	}
	hashes := make([]uint64, 0, len(h.Causes))
	for _, c := range h.Causes {
		if local(c, h.Lineage) {
			hashes = append(hashes, causeHash(c.ID))
		}
	}
	return hashes
}

// local says whether a cause is in the journal of this lineage.
func local(c causal.Cause, lineage causal.Lineage) bool {
	return c.Lineage.IsZero() || c.Lineage == lineage
}

// memIndex is the index of a segment that still grows. The committer adds; anyone reads.
type memIndex struct {
	mu      sync.RWMutex
	offsets []uint32
	ids     []causal.EventID    // ascending
	byCoord map[uint64][]uint32 // coordinate hash to positions
	byCause map[uint64][]uint32 // cause hash to positions
	causes  int                 // positions in byCause
}

func newMemIndex() *memIndex {
	return &memIndex{byCoord: make(map[uint64][]uint32), byCause: make(map[uint64][]uint32)}
}

// indexEntry is what an index knows of one event.
type indexEntry struct {
	id     causal.EventID
	coord  uint64
	offset uint32
	causes []uint64 // hashes
}

// entryOf is the entry of an event whose frame is at an offset.
func entryOf(h *causal.Header, offset int64) indexEntry {
	return indexEntry{id: h.ID, coord: coordinateHash(h.Coordinate), offset: uint32(offset), causes: causeHashes(h)}
}

func (x *memIndex) add(entries []indexEntry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range entries {
		pos := uint32(len(x.offsets))
		x.byCoord[e.coord] = append(x.byCoord[e.coord], pos)
		for _, cause := range e.causes {
			list := x.byCause[cause]
			if n := len(list); n > 0 && list[n-1] == pos {
				continue // the same cause twice
			}
			x.byCause[cause] = append(list, pos)
			x.causes++
		}
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

func (x *memIndex) effects(hash uint64) ([]uint32, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return slices.Clip(x.byCause[hash]), nil
}

func (x *memIndex) span() (first, last causal.EventID) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if len(x.ids) == 0 {
		return first, last
	}
	return x.ids[0], x.ids[len(x.ids)-1]
}
