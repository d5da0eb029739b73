package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"sort"
	"sync"

	"batpak/causal"
	"batpak/faultfs"
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

const (
	indexMagic   = "batpkidx"
	indexHeader  = 64
	postingBytes = 12
)

// fileIndex is a sealed segment's index on disk. It is a cache: whoever finds it damaged builds
// it again from the segment.
type fileIndex struct {
	name        string
	file        faultfs.File
	n           int
	firstID     causal.EventID
	lastID      causal.EventID
	ids, byHash int64 // offsets of the sections
}

// errIndex says that an index file cannot be used.
var errIndex = errors.New("index file is unusable")

// encodeIndex returns the bytes of the index file; see the package doc.
func (x *memIndex) encode(first uint64, salt [8]byte) []byte {
	x.mu.RLock()
	defer x.mu.RUnlock()
	n := len(x.offsets)
	b := make([]byte, 0, indexHeader+n*(4+16+postingBytes)+4)
	b = append(b, indexMagic...)
	b = binary.LittleEndian.AppendUint32(b, formatVersion)
	b = binary.LittleEndian.AppendUint32(b, uint32(n))
	b = binary.LittleEndian.AppendUint64(b, first)
	b = append(b, salt[:]...)
	b = append(b, make([]byte, indexHeader-4-len(b))...)
	b = binary.LittleEndian.AppendUint32(b, indexSum(b, slices.Concat(x.ids[:min(n, 1)], x.ids[max(n-1, 0):])...))
	for _, off := range x.offsets {
		b = binary.LittleEndian.AppendUint32(b, off)
	}
	for i := range x.ids {
		b = append(b, x.ids[i][:]...)
	}
	hashes := make([]uint64, 0, len(x.byCoord))
	for h := range x.byCoord {
		hashes = append(hashes, h)
	}
	slices.Sort(hashes)
	for _, h := range hashes {
		for _, pos := range x.byCoord[h] {
			b = binary.LittleEndian.AppendUint64(b, h)
			b = binary.LittleEndian.AppendUint32(b, pos)
		}
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// openIndex opens the index file of a segment and checks that it belongs to it. Its contents
// are checked by check, on first use.
func openIndex(fsys faultfs.FS, s *segment) (*fileIndex, error) {
	f, err := fsys.OpenFile(s.indexName(), os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errIndex, err)
	}
	x := &fileIndex{name: s.indexName(), file: f}
	if err := x.readHeader(s); err != nil {
		f.Close()
		return nil, err
	}
	return x, nil
}

func (x *fileIndex) readHeader(s *segment) error {
	var h [indexHeader]byte
	if _, err := x.file.ReadAt(h[:], 0); err != nil {
		return fmt.Errorf("%w: %w", errIndex, err)
	}
	info, err := x.file.Stat()
	if err != nil {
		return fmt.Errorf("%w: %w", errIndex, err)
	}
	x.n = int(binary.LittleEndian.Uint32(h[12:]))
	switch {
	case string(h[:8]) != indexMagic,
		binary.LittleEndian.Uint32(h[8:]) != formatVersion,
		binary.LittleEndian.Uint64(h[16:]) != s.first,
		[8]byte(h[24:32]) != s.salt,
		info.Size() != indexHeader+int64(x.n)*(4+16+postingBytes)+4:
		return fmt.Errorf("%w: header does not fit the segment", errIndex)
	}
	x.ids = indexHeader + 4*int64(x.n)
	x.byHash = x.ids + 16*int64(x.n)
	var ids []causal.EventID
	if x.n > 0 {
		if err := x.readSpan(); err != nil {
			return err
		}
		ids = append(ids, x.firstID, x.lastID)
	}
	if binary.LittleEndian.Uint32(h[60:]) != indexSum(h[:60], ids...) {
		return fmt.Errorf("%w: header checksum mismatch", errIndex)
	}
	return nil
}

// indexSum is the checksum of an index's header, and of the ids that are believed before the
// whole file was checked.
func indexSum(header []byte, ids ...causal.EventID) uint32 {
	sum := crc32.Checksum(header, castagnoli)
	for i := range ids {
		sum = crc32.Update(sum, castagnoli, ids[i][:])
	}
	return sum
}

func (x *fileIndex) readSpan() error {
	if _, err := x.file.ReadAt(x.firstID[:], x.ids); err != nil {
		return fmt.Errorf("%w: %w", errIndex, err)
	}
	if _, err := x.file.ReadAt(x.lastID[:], x.byHash-16); err != nil {
		return fmt.Errorf("%w: %w", errIndex, err)
	}
	return nil
}

// check reads the whole file and compares its checksum.
func (x *fileIndex) check() error {
	size := x.byHash + postingBytes*int64(x.n)
	sum := crc32.New(castagnoli)
	if _, err := io.Copy(sum, io.NewSectionReader(x.file, 0, size)); err != nil {
		return fmt.Errorf("%w: %w", errIndex, err)
	}
	var want [4]byte
	if _, err := x.file.ReadAt(want[:], size); err != nil {
		return fmt.Errorf("%w: %w", errIndex, err)
	}
	if binary.LittleEndian.Uint32(want[:]) != sum.Sum32() {
		return fmt.Errorf("%w: checksum mismatch", errIndex)
	}
	return nil
}

func (x *fileIndex) count() int { return x.n }

func (x *fileIndex) offset(pos int) (int64, error) {
	if pos >= x.n {
		return 0, ErrNotFound
	}
	var b [4]byte
	if err := x.read(b[:], indexHeader+4*int64(pos)); err != nil {
		return 0, err
	}
	return int64(binary.LittleEndian.Uint32(b[:])), nil
}

func (x *fileIndex) find(id causal.EventID) (int, error) {
	var failed error
	pos, found := sort.Find(x.n, func(i int) int {
		var at causal.EventID
		if err := x.read(at[:], x.ids+16*int64(i)); err != nil {
			failed = err
		}
		return id.Compare(at)
	})
	if failed != nil {
		return 0, failed
	}
	if !found {
		return 0, ErrNotFound
	}
	return pos, nil
}

func (x *fileIndex) coordinate(hash uint64) ([]uint32, error) {
	var failed error
	var b [postingBytes]byte
	at := func(i int) uint64 {
		if err := x.read(b[:], x.byHash+postingBytes*int64(i)); err != nil {
			failed = err
		}
		return binary.LittleEndian.Uint64(b[:])
	}
	start := sort.Search(x.n, func(i int) bool { return at(i) >= hash })
	end := start + sort.Search(x.n-start, func(i int) bool { return at(start+i) > hash })
	if failed != nil || start == end {
		return nil, failed
	}
	run := make([]byte, (end-start)*postingBytes)
	if err := x.read(run, x.byHash+postingBytes*int64(start)); err != nil {
		return nil, err
	}
	positions := make([]uint32, 0, end-start)
	for ; len(run) > 0; run = run[postingBytes:] {
		positions = append(positions, binary.LittleEndian.Uint32(run[8:]))
	}
	return positions, nil
}

func (x *fileIndex) span() (first, last causal.EventID) { return x.firstID, x.lastID }

func (x *fileIndex) read(b []byte, off int64) error {
	if _, err := x.file.ReadAt(b, off); err != nil {
		return fmt.Errorf("journal: read %s at offset %d: %w", x.name, off, err)
	}
	return nil
}
