package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"batpak/causal"
	"batpak/faultfs"
)

const (
	segmentDir  = "segments"
	segmentNext = "segments/next.tmp" // the segment that is being prepared
	segmentExt  = ".seg"
	indexExt    = ".idx"

	segmentMagic  = "batpkseg"
	formatVersion = 1
	segmentHeader = 64                        // bytes of header
	segmentStart  = 4096                      // offset of the first frame
	segmentTail   = 8                         // bytes at the end that stay zero, so that frames have an end
	segmentSlack  = frameHeader + segmentTail // bytes that groups leave free, for a mark
)

// segmentRoom is how many bytes the groups of a segment of so many bytes may take together.
func segmentRoom(size int64) int64 { return size - segmentStart - segmentSlack }

// segment is one file of the log. Everything up to end is frames.
type segment struct {
	name  string // within the journal's directory
	file  faultfs.File
	first uint64 // sequence of its first event
	size  int64  // bytes allocated
	salt  [8]byte
	crc   uint32 // CRC32C of salt, where frame checksums start

	// These belong to the committer; after that the segment is sealed and they are fixed.
	end   int64
	epoch uint8

	// index answers for the events that are visible. Guarded by Journal.mu: while the segment
	// is open, and until its own index is on disk, it is a *memIndex; then a *sealedIndex.
	index index
}

func segmentName(first uint64) string {
	return fmt.Sprintf("%s/%016x%s", segmentDir, first, segmentExt)
}

func (s *segment) indexName() string { return strings.TrimSuffix(s.name, segmentExt) + indexExt }

func (s *segment) damage(off int64, seq uint64, format string, args ...any) error {
	return &DamageError{File: s.name, Offset: off, Seq: seq, Reason: fmt.Sprintf(format, args...)}
}

// last is the sequence of the segment's last visible event; first-1 when it has none.
func (s *segment) last() uint64 { return s.first + uint64(s.index.count()) - 1 }

// appendHeader appends the header's bytes; see the package doc.
func (s *segment) appendHeader(dst []byte, lineage causal.Lineage) []byte {
	start := len(dst)
	dst = append(dst, segmentMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, formatVersion)
	dst = binary.LittleEndian.AppendUint32(dst, segmentStart)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.size))
	dst = binary.LittleEndian.AppendUint64(dst, s.first)
	dst = append(dst, lineage[:]...)
	dst = append(dst, s.salt[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// openSegment opens the file of the segment whose first event has sequence first, and checks
// its header. Everything else about it is still to be scanned.
func openSegment(fsys faultfs.FS, first uint64, lineage causal.Lineage) (*segment, error) {
	s := &segment{name: segmentName(first), first: first, end: segmentStart}
	f, err := fsys.OpenFile(s.name, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("journal: open segment: %w", err)
	}
	s.file = f
	if err := s.readHeader(lineage); err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

func (s *segment) readHeader(lineage causal.Lineage) error {
	var h [segmentHeader]byte
	if _, err := s.file.ReadAt(h[:], 0); errors.Is(err, io.EOF) {
		return s.damage(0, s.first, "file ends within its header")
	} else if err != nil {
		return fmt.Errorf("journal: read %s: %w", s.name, err)
	}
	info, err := s.file.Stat()
	if err != nil {
		return fmt.Errorf("journal: %s: %w", s.name, err)
	}
	size := binary.LittleEndian.Uint64(h[16:])
	copy(s.salt[:], h[48:56])
	switch {
	case string(h[:8]) != segmentMagic:
		return s.damage(0, s.first, "not a segment: magic %q", h[:8])
	case crc32.Checksum(h[:60], castagnoli) != binary.LittleEndian.Uint32(h[60:]):
		return s.damage(0, s.first, "header checksum mismatch")
	case binary.LittleEndian.Uint32(h[8:]) != formatVersion:
		return fmt.Errorf("journal: %s has format %d, this program reads format %d", s.name, binary.LittleEndian.Uint32(h[8:]), formatVersion)
	case binary.LittleEndian.Uint32(h[12:]) != segmentStart, size < segmentStart, size > MaxSegmentBytes:
		return s.damage(12, s.first, "impossible layout")
	case binary.LittleEndian.Uint64(h[24:]) != s.first:
		return s.damage(24, s.first, "header says the first event is %d", binary.LittleEndian.Uint64(h[24:]))
	case !bytes.Equal(h[32:48], lineage[:]):
		return s.damage(32, s.first, "belongs to the journal with lineage %s", causal.Lineage(h[32:48]))
	case info.Size() < int64(size):
		return s.damage(info.Size(), 0, "file was cut: it has %d bytes of %d", info.Size(), size)
	}
	s.size = int64(size)
	s.crc = crc32.Checksum(s.salt[:], castagnoli)
	return nil
}

// firstRead is how much readFrame reads at first: most frames fit.
const firstRead = 2048

// readFrame reads the frame at off into the memory of dst and checks it. It returns the frame's bytes,
// header and body.
func (s *segment) readFrame(off int64, seq uint64, dst []byte) (frame, []byte, error) {
	n := min(firstRead, s.size-off)
	if n < frameHeader {
		return frame{}, nil, s.damage(off, seq, "frame lies outside of the segment")
	}
	dst = grow(dst[:0], firstRead)[:n]
	if _, err := s.file.ReadAt(dst, off); err != nil {
		return frame{}, nil, s.readError(off, seq, err)
	}
	f, ok := parseFrame(dst, s.size-off, s.crc)
	if !ok {
		return f, nil, s.damage(off, seq, "not a frame")
	}
	whole := frameHeader + int(f.length)
	if whole > len(dst) {
		dst = grow(dst[:0], whole)[:whole]
		if _, err := s.file.ReadAt(dst, off); err != nil {
			return f, nil, s.readError(off, seq, err)
		}
	}
	if frameCRC(dst[:whole], s.crc) != f.crc {
		return f, nil, s.damage(off, seq, "frame checksum mismatch")
	}
	return f, dst[:whole], nil
}

func (s *segment) readError(off int64, seq uint64, err error) error {
	if errors.Is(err, io.EOF) {
		return s.damage(off, seq, "file ends within a frame")
	}
	return fmt.Errorf("journal: read %s at offset %d: %w", s.name, off, err)
}

// grow returns b with room for at least n bytes in all.
func grow(b []byte, n int) []byte {
	if cap(b) >= n {
		return b
	}
	return append(make([]byte, 0, n), b...)
}

// listSegments returns the first sequences of the segments in the directory, ascending.
func listSegments(fsys faultfs.FS) ([]uint64, error) {
	entries, err := fsys.ReadDir(segmentDir)
	if err != nil {
		return nil, fmt.Errorf("journal: list segments: %w", err)
	}
	var firsts []uint64
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), segmentExt)
		if !ok {
			continue
		}
		first, err := strconv.ParseUint(name, 16, 64)
		if err != nil || segmentName(first) != segmentDir+"/"+e.Name() {
			return nil, &DamageError{File: segmentDir + "/" + e.Name(), Offset: -1, Reason: "not the name of a segment"}
		}
		firsts = append(firsts, first) // ReadDir sorts by name, and the names have one width
	}
	return firsts, nil
}

// remove removes a file that may be missing.
func remove(fsys faultfs.FS, name string) error {
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
