package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"slices"
	"sort"
	"sync"

	"batpak/causal"
	"batpak/faultfs"
)

const (
	indexMagic  = "batpkidx"
	indexFormat = 4
	indexHeader = 68 // bytes of header, without its checksum
	indexBlock  = 4096
	blockSum    = 4 // bytes of checksum at the end of a block
)

// errIndex says that an index file cannot be used.
var errIndex = errors.New("index file is unusable")

// section is a part of an index file: entries of one width, in blocks that are full but for the last.
type section struct {
	at    int64 // offset in the file
	width int
	n     int // entries
}

func (s section) perBlock() int { return (indexBlock - blockSum) / s.width }

func (s section) blocks() int { return (s.n + s.perBlock() - 1) / s.perBlock() }

// offsetOf returns where a block is in the file.
func (s section) offsetOf(b int) int64 {
	return s.at + int64(b)*int64(s.perBlock()*s.width+blockSum)
}

// size is how many bytes of entries a block has.
func (s section) size(b int) int {
	return min(s.perBlock(), s.n-b*s.perBlock()) * s.width
}

func (s section) end() int64 {
	return s.at + int64(s.n)*int64(s.width) + int64(s.blocks())*blockSum
}

// layout is where the sections of the index of n events with so many postings are.
type layout struct{ offsets, ids, terms section }

func layoutOf(n, postings int) (l layout) {
	l.offsets = section{at: indexHeader + blockSum, width: 4, n: n}
	l.ids = section{at: l.offsets.end(), width: 16, n: n}
	l.terms = section{at: l.ids.end(), width: 12, n: postings}
	return l
}

func (l layout) size() int64 { return l.terms.end() }

// sumBlock is the checksum of a block at an offset. salt is the CRC32C of the segment's salt.
func sumBlock(salt uint32, off int64, b []byte) uint32 {
	sum := ^salt
	for range 8 { // crc32.Update with the 8 bytes of off, which would have to be on the heap
		sum = castagnoli[byte(sum)^byte(off)] ^ sum>>8
		off >>= 8
	}
	return crc32.Update(^sum, castagnoli, b)
}

// encode returns the bytes of the index file of s; see the package doc.
func (x *memIndex) encode(s *segment) []byte {
	x.mu.RLock()
	defer x.mu.RUnlock()
	n := len(x.offsets)
	l := layoutOf(n, len(x.terms))
	b := make([]byte, 0, l.size())
	start := 0
	seal := func() {
		b = binary.LittleEndian.AppendUint32(b, sumBlock(s.crc, int64(start), b[start:]))
		start = len(b)
	}
	b = append(b, indexMagic...)
	b = binary.LittleEndian.AppendUint32(b, indexFormat)
	b = binary.LittleEndian.AppendUint32(b, uint32(n))
	b = binary.LittleEndian.AppendUint64(b, s.first)
	b = append(b, s.salt[:]...)
	var first, last causal.EventID
	if n > 0 {
		first, last = x.ids[0], x.ids[n-1]
	}
	b = append(b, first[:]...)
	b = append(b, last[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(x.terms)))
	seal()
	for offsets := range slices.Chunk(x.offsets, l.offsets.perBlock()) {
		for _, off := range offsets {
			b = binary.LittleEndian.AppendUint32(b, off)
		}
		seal()
	}
	for ids := range slices.Chunk(x.ids, l.ids.perBlock()) {
		for i := range ids {
			b = append(b, ids[i][:]...)
		}
		seal()
	}
	room := l.terms.perBlock()
	for _, p := range x.postings() {
		b = binary.LittleEndian.AppendUint64(b, p.term)
		b = binary.LittleEndian.AppendUint32(b, p.pos)
		if room--; room == 0 {
			seal()
			room = l.terms.perBlock()
		}
	}
	if start < len(b) {
		seal()
	}
	return b
}

// fileIndex is a sealed segment's index on disk. Each read is of a block, and each block is checked
// when it is read. An error that is errIndex says that the file cannot answer, and why; that may pass.
type fileIndex struct {
	layout
	name        string
	file        faultfs.File
	salt        uint32 // CRC32C of the segment's salt
	segmentSize int64
	n           int
	first, last causal.EventID
}

// block is what a block of an index is read into.
type block [indexBlock]byte

var blocks = sync.Pool{New: func() any { return new(block) }}

// openIndex opens the index file of a segment and checks that it belongs to it.
func openIndex(fsys faultfs.FS, s *segment) (*fileIndex, error) {
	f, err := fsys.OpenFile(s.indexName(), os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errIndex, err)
	}
	x := &fileIndex{name: s.indexName(), file: f, salt: s.crc, segmentSize: s.size}
	if err := x.readHeader(s); err != nil {
		f.Close()
		return nil, err
	}
	return x, nil
}

func (x *fileIndex) readHeader(s *segment) error {
	h, err := x.readAt(0, indexHeader, new(block))
	if err != nil {
		return err
	}
	info, err := x.file.Stat()
	if err != nil {
		return x.unusable(0, err)
	}
	x.n = int(binary.LittleEndian.Uint32(h[12:]))
	x.layout = layoutOf(x.n, int(binary.LittleEndian.Uint32(h[64:])))
	x.first, x.last = causal.EventID(h[32:]), causal.EventID(h[48:])
	switch {
	case string(h[:8]) != indexMagic,
		binary.LittleEndian.Uint32(h[8:]) != indexFormat,
		binary.LittleEndian.Uint64(h[16:]) != s.first,
		[8]byte(h[24:32]) != s.salt,
		int64(x.n) > (s.size-segmentStart)/int64(frameSize(1)),
		x.first.Compare(x.last) > 0,
		info.Size() != x.size():
		return x.unusable(0, errors.New("the header does not fit the segment"))
	}
	return nil
}

func (x *fileIndex) unusable(off int64, why error) error {
	return fmt.Errorf("%w: %s at offset %d: %w", errIndex, x.name, off, why)
}

var (
	errBlockSum   = errors.New("checksum mismatch")
	errBlockOrder = errors.New("not in order")
	errBlockRange = errors.New("leads out of the segment")
)

// readAt reads and checks the block at an offset, of size bytes without its checksum.
func (x *fileIndex) readAt(off int64, size int, buf *block) ([]byte, error) {
	b := buf[:size+blockSum]
	if _, err := x.file.ReadAt(b, off); err != nil {
		return nil, x.unusable(off, err)
	}
	if sumBlock(x.salt, off, b[:size]) != binary.LittleEndian.Uint32(b[size:]) {
		return nil, x.unusable(off, errBlockSum)
	}
	return b[:size], nil
}

// read reads a block of a section.
func (x *fileIndex) read(s section, b int, buf *block) ([]byte, error) {
	return x.readAt(s.offsetOf(b), s.size(b), buf)
}

func (x *fileIndex) count() int { return x.n }

func (x *fileIndex) span() (first, last causal.EventID) { return x.first, x.last }

func (x *fileIndex) offset(pos int) (int64, error) {
	if pos >= x.n {
		return 0, ErrNotFound
	}
	buf := blocks.Get().(*block)
	defer blocks.Put(buf)
	per := x.offsets.perBlock()
	p, err := x.read(x.offsets, pos/per, buf)
	if err != nil {
		return 0, err
	}
	off := int64(binary.LittleEndian.Uint32(p[pos%per*4:]))
	if off < segmentStart || off > x.segmentSize-frameHeader || off%8 != 0 {
		return 0, x.unusable(x.offsets.offsetOf(pos/per), errBlockRange)
	}
	return off, nil
}

// find looks for the block that would have the id, and reads through that one.
func (x *fileIndex) find(id causal.EventID) (int, error) {
	buf := blocks.Get().(*block)
	defer blocks.Put(buf)
	for lo, hi := 0, x.ids.blocks(); lo < hi; {
		mid := (lo + hi) / 2
		p, err := x.read(x.ids, mid, buf)
		if err != nil {
			return 0, err
		}
		switch {
		case bytes.Compare(id[:], p[:16]) < 0:
			hi = mid
		case bytes.Compare(id[:], p[len(p)-16:]) > 0:
			lo = mid + 1
		default:
			i, err := findID(p, id)
			if errors.Is(err, errBlockOrder) {
				err = x.unusable(x.ids.offsetOf(mid), err)
			}
			return mid*x.ids.perBlock() + i, err
		}
	}
	return 0, ErrNotFound
}

// findID looks for an id among those in p, and checks that they ascend.
func findID(p []byte, id causal.EventID) (pos int, err error) {
	wantHigh, wantLow := binary.BigEndian.Uint64(id[:]), binary.BigEndian.Uint64(id[8:])
	var high, low uint64
	err = ErrNotFound
	for i := 0; i+16 <= len(p); i += 16 {
		h, l := binary.BigEndian.Uint64(p[i:]), binary.BigEndian.Uint64(p[i+8:])
		if h < high || h == high && l <= low {
			return 0, errBlockOrder
		}
		if h == wantHigh && l == wantLow {
			pos, err = i/16, nil
		}
		high, low = h, l
	}
	return pos, err
}

// posting is an entry of the list of terms.
type posting struct {
	term uint64
	pos  uint32
}

func postingAt(p []byte) posting {
	return posting{binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint32(p[8:])}
}

func (p posting) before(q posting) bool { return p.term < q.term || p.term == q.term && p.pos < q.pos }

// seek returns the first block, of those from lo up to hi, whose last entry is not before want; hi if none is.
func (x *fileIndex) seek(lo, hi int, want posting, buf *block) (int, error) {
	for lo < hi {
		mid := (lo + hi) / 2
		p, err := x.read(x.terms, mid, buf)
		if err != nil {
			return 0, err
		}
		if postingAt(p[len(p)-12:]).before(want) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, nil
}

func (x *fileIndex) positions(dst []uint32, term uint64, from uint32, most int) ([]uint32, error) {
	buf := blocks.Get().(*block)
	defer blocks.Put(buf)
	want := posting{term, from}
	b, err := x.seek(0, x.terms.blocks(), want, buf)
	if err != nil {
		return nil, err
	}
	list := dst[:0]
	var next posting // the least that may follow
	for ; b < x.terms.blocks() && len(list) < most; b++ {
		p, err := x.read(x.terms, b, buf)
		if err != nil {
			return nil, err
		}
		for ; len(p) > 0; p = p[12:] {
			e := postingAt(p)
			switch {
			case e.before(next):
				return nil, x.unusable(x.terms.offsetOf(b), errBlockOrder)
			case int64(e.pos) >= int64(x.n):
				return nil, x.unusable(x.terms.offsetOf(b), errBlockRange)
			case e.term > term || len(list) == most:
				return list, nil
			case !e.before(want):
				list = append(list, e.pos)
			}
			next = posting{e.term, e.pos + 1}
		}
	}
	return list, nil
}

func (x *fileIndex) tally(term uint64, from uint32, most int) (int, error) {
	buf := blocks.Get().(*block)
	defer blocks.Put(buf)
	first, b, err := x.rank(0, x.terms.blocks(), posting{term, from}, buf)
	if err != nil || first == x.terms.n {
		return 0, err
	}
	hi := x.terms.blocks()
	if most < x.terms.n-first {
		hi = (first+most)/x.terms.perBlock() + 1
	}
	end, _, err := x.rank(b, hi, posting{term, math.MaxUint32}, buf)
	return min(most, max(0, end-first)), err
}

// rank returns how many entries are before want, and the block of the first that is not, of the blocks from
// lo up to hi.
func (x *fileIndex) rank(lo, hi int, want posting, buf *block) (n, b int, err error) {
	if b, err = x.seek(lo, hi, want, buf); err != nil {
		return 0, b, err
	}
	if b == hi {
		return min(hi*x.terms.perBlock(), x.terms.n), b, nil
	}
	p, err := x.read(x.terms, b, buf)
	if err != nil {
		return 0, b, err
	}
	i := sort.Search(len(p)/12, func(i int) bool { return !postingAt(p[i*12:]).before(want) })
	return b*x.terms.perBlock() + i, b, nil
}
