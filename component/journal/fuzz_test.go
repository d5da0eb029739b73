package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/faultfs"
	"batpak/keystore"

	"github.com/nats-io/nkeys"
)

// withSum is b with the checksum that makes a decoder look further.
func withSum(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(b[:len(b):len(b)], crc32.Checksum(b, castagnoli))
}

func FuzzMeta(f *testing.F) {
	m := meta{lineage: causal.NewLineage(), seal: keystore.Subject, created: 1, name: "main"}
	good := m.encode()
	f.Add(good[:len(good)-4])
	f.Add(good)
	f.Add([]byte(metaMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, withSum(b)} {
			m, err := decodeMeta(b)
			if err != nil {
				continue
			}
			if CheckName(m.name) != nil || !bytes.Equal(m.encode(), b) {
				t.Errorf("%x was decoded as %+v", b, m)
			}
		}
	})
}

func FuzzCheckpoint(f *testing.F) {
	lineage := causal.Lineage{1}
	st := state{seq: 9}
	st.heads.set(causal.Stream{Coordinate: causal.Coordinate{Scope: "s", Entity: "e"}}, causal.Head{Seq: 9, Version: 8, Hash: causal.Hash{7}})
	st.heads.set(causal.Stream{Coordinate: causal.Coordinate{Scope: "s", Entity: "f"}, Lane: 3}, causal.Head{Seq: 1, Version: 1, Hash: causal.Hash{6}})
	st.keys.add(keyHash{1}, 4, 1000)
	st.sealed = []sealedUnder{{causal.KeyID{1}, 7}}
	good := encodeCheckpoint(lineage, &st)
	f.Add(good[:len(good)-4])
	f.Add(append(good[:36:36], 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff))
	f.Add(append(good[:36:36], make([]byte, 12)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, withSum(b)} {
			var st state
			if err := decodeCheckpoint(b, lineage, &st); err != nil {
				if !errors.Is(err, errCheckpoint) {
					t.Errorf("error %v", err)
				}
				continue
			}
			if 56*st.heads.n+24*(st.keys.len()+len(st.sealed))+16*len(st.keys.gens) > len(b) {
				t.Errorf("%d bytes made %d heads and %d keys", len(b), st.heads.n, st.keys.len())
			}
			again := state{}
			if err := decodeCheckpoint(encodeCheckpoint(lineage, &st), lineage, &again); err != nil || again.seq != st.seq || again.heads.n != st.heads.n {
				t.Errorf("does not survive: %v", err)
			}
		}
	})
}

func FuzzHistory(f *testing.F) {
	lineage := causal.Lineage{1}
	for _, n := range []int{0, 1, 2, 7, 1024, 1500} {
		var tree causal.History
		var last causal.Hash
		for i := range n {
			last = causal.Hash{byte(i), byte(i >> 8), 1}
			tree.Add(&last)
		}
		good := encodeHistory(lineage, &tree, last)
		f.Add(good[:len(good)-4])
		f.Add(good)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, withSum(b)} {
			tree, last, err := decodeHistory(b, lineage)
			if err != nil {
				if !errors.Is(err, errHistory) || tree.Len() != 0 {
					t.Errorf("error %v, %d events", err, tree.Len())
				}
				continue
			}
			if !bytes.Equal(encodeHistory(lineage, &tree, last), b) {
				t.Errorf("%x is of %d events, and encodes otherwise", b, tree.Len())
			}
			tree.Root()
			tree.Add(&last)
		}
	})
}

// fuzzDir is a directory that a fuzz target uses again and again.
func fuzzDir(tb testing.TB) (faultfs.FS, string) {
	dir := tb.TempDir()
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		if fast, err := os.MkdirTemp("/dev/shm", "journal"); err == nil {
			tb.Cleanup(func() { os.RemoveAll(fast) })
			dir = fast
		}
	}
	for _, sub := range []string{segmentDir, keysDir} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			tb.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { root.Close() })
	return faultfs.Dir(root), dir
}

// An index file is any bytes. What passes its checks is safe to ask, and says that it cannot answer
// or gives an answer that can be.
func FuzzIndex(f *testing.F) {
	s, mem := indexed(30)
	good := mem.encode(s)
	f.Add(good)
	f.Add(good[:len(good)-1])
	for _, n := range []int{0, 1, 5, 260} {
		_, mem := indexed(n)
		f.Add(mem.encode(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fsys, dir := fuzzDir(t)
		for _, b := range [][]byte{b, mendIndex(b, s)} {
			if err := os.WriteFile(filepath.Join(dir, s.indexName()), b, 0o600); err != nil {
				t.Fatal(err)
			}
			x, err := openIndex(fsys, s)
			if err != nil {
				if !errors.Is(err, errIndex) {
					t.Errorf("error %v", err)
				}
				continue
			}
			for _, pos := range []int{0, x.n / 2, x.n - 1, x.n, x.n + 1} {
				if pos < 0 {
					continue
				}
				off, err := x.offset(pos)
				if err == nil && (pos >= x.n || off < segmentStart || off >= s.size) || errors.Is(err, ErrNotFound) != (pos >= x.n) || unexpected(err) {
					t.Errorf("offset of %d of %d: %d, %v", pos, x.n, off, err)
				}
			}
			for _, term := range []uint64{0, 1, ownTerm(3), 1 << 63, ^uint64(0)} {
				for _, from := range []int{0, 1, x.n} {
					for _, most := range []int{0, 1, 20, math.MaxInt} {
						list, err := x.positions(nil, term, uint32(from), most)
						if len(list) > min(x.n, most) || !slices.IsSorted(list) || unexpected(err) || len(list) > 0 && int(list[0]) < from {
							t.Errorf("positions of term %d from %d: %d, at most %d of %d, %v", term, from, len(list), most, x.n, err)
						}
						if n, err := x.tally(term, uint32(from), most); n < 0 || n > most || n > x.terms.n || unexpected(err) {
							t.Errorf("tally of term %d from %d: %d, at most %d of %d, %v", term, from, n, most, x.terms.n, err)
						}
					}
				}
			}
			for _, id := range []causal.EventID{{}, x.first, x.last, {0xff}} {
				if pos, err := x.find(id); err == nil && (pos < 0 || pos >= x.n) || unexpected(err) {
					t.Errorf("find: %d, %v", pos, err)
				}
			}
			x.file.Close()
		}
	})
}

func unexpected(err error) bool {
	return err != nil && !errors.Is(err, errIndex) && !errors.Is(err, ErrNotFound)
}

// mendIndex returns b as somebody would write it who knows the segment and the checksums.
func mendIndex(b []byte, s *segment) []byte {
	n, postings := 0, 0
	if len(b) > indexHeader {
		postings = int(b[indexHeader-4])
	}
	for layoutOf(n+1, postings).size() <= int64(len(b)) {
		n++
	}
	l := layoutOf(n, postings)
	if int64(len(b)) < l.size() {
		return b
	}
	b = bytes.Clone(b[:l.size()])
	copy(b, indexMagic)
	binary.LittleEndian.PutUint32(b[8:], indexFormat)
	binary.LittleEndian.PutUint32(b[12:], uint32(n))
	binary.LittleEndian.PutUint64(b[16:], s.first)
	copy(b[24:], s.salt[:])
	binary.LittleEndian.PutUint32(b[64:], uint32(postings))
	sealIndex(b, l, s)
	return b
}

// sealIndex puts the right checksums into an index file.
func sealIndex(b []byte, l layout, s *segment) {
	seal := func(off int64, size int) {
		end := off + int64(size)
		binary.LittleEndian.PutUint32(b[end:], sumBlock(s.crc, off, b[off:end]))
	}
	seal(0, indexHeader)
	for _, part := range []section{l.offsets, l.ids, l.terms} {
		for i := range part.blocks() {
			seal(part.offsetOf(i), part.size(i))
		}
	}
}

// fuzzJournal makes a small journal and returns its meta and the frames of its segment, and what
// its header needs.
func fuzzJournal(f *testing.F) (m *meta, header, frames []byte) {
	fsys, dir := fuzzDir(f)
	pair, err := nkeys.FromRawSeed(nkeys.PrefixByteServer, make([]byte, 32))
	if err != nil {
		f.Fatal(err)
	}
	j, err := Open(context.Background(), fsys, Options{Name: "fuzz", SegmentBytes: MinSegmentBytes, Signer: pair})
	if err != nil {
		f.Fatal(err)
	}
	for i := range 3 {
		if i == 2 { // the last group is not signed
			j.Close()
			if j, err = Open(context.Background(), fsys, Options{SegmentBytes: MinSegmentBytes}); err != nil {
				f.Fatal(err)
			}
		}
		b := &Batch{}
		for range i + 1 {
			b.Events = append(b.Events, Append{Coordinate: causal.Coordinate{Scope: "s", Entity: "e"}, Kind: 0x1001, Data: []byte{1}})
		}
		if _, err := j.Append(context.Background(), b); err != nil {
			f.Fatal(err)
		}
	}
	end := j.durableEnd.Load()
	j.Close()
	if m, err = loadMeta(fsys); err != nil {
		f.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, segmentName(1)))
	if err != nil {
		f.Fatal(err)
	}
	return m, b[:segmentStart], b[segmentStart : end+frameHeader]
}

// A segment's frames are any bytes behind a header that is good. The journal opens, and then can
// be read from end to end; or the error has its type. With the checksums mended too.
func FuzzSegment(f *testing.F) {
	m, header, frames := fuzzJournal(f)
	salt := crc32.Checksum(header[48:56], castagnoli)
	f.Add(frames)
	f.Add(frames[:len(frames)-20])
	f.Add(append(bytes.Clone(frames), frames...))
	f.Add(append(make([]byte, 64), frames...))
	f.Add(bytes.Repeat([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 1, 0}, 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > MinSegmentBytes-segmentStart {
			return
		}
		for _, mended := range []bool{false, true} {
			segment := make([]byte, MinSegmentBytes)
			copy(segment, header)
			copy(segment[segmentStart:], b)
			if mended {
				mendFrames(segment, salt)
			}
			fsys, dir := fuzzDir(t)
			for name, b := range map[string][]byte{metaName: m.encode(), segmentName(1): segment} {
				if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			openFuzzed(t, fsys, filepath.Join(dir, segmentName(1)), segment)
		}
	})
}

func openFuzzed(t *testing.T, fsys faultfs.FS, name string, segment []byte) {
	ctx := context.Background()
	j, err := Open(ctx, fsys, Options{SegmentBytes: MinSegmentBytes})
	if err != nil {
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("error %v", err)
		}
		if after, err := os.ReadFile(name); err != nil || !bytes.Equal(after, segment) {
			t.Errorf("refused, and changed: %v", err)
		}
		return
	}
	defer j.Close()
	head := j.Visible()
	v, err := j.Verify(ctx, 0, 0)
	if err != nil || v.Checked != head {
		t.Errorf("verified %d of %d: %v", v.Checked, head, err)
	}
	n := uint64(0)
	for ev, err := range j.Events(ctx, codec.Selection{}) {
		if n++; err != nil || ev.Seq != n {
			t.Fatalf("event %d as number %d: %v", ev.Seq, n, err)
		}
		if got, err := j.Get(ev.ID); err != nil || got.ID != ev.ID {
			t.Errorf("event %d by id: %v", ev.Seq, err)
		}
		g, err := j.Graph(ctx, codec.GraphRequest{ID: ev.ID, Direction: codec.DirectionBoth}, 1<<20) // it may name causes that are not there
		if err == nil && len(g.Envelopes) == 0 || err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("what is around event %d: %v", ev.Seq, err)
		}
		if w, err := j.Walk(ctx, codec.WalkRequest{ID: ev.ID, Limit: codec.MaxLimit}, 1<<30); err != nil || uint64(len(w.Envelopes)) != min(ev.Version, codec.MaxLimit) {
			t.Errorf("%d events before event %d: %v", len(w.Envelopes), ev.Seq, err)
		}
		if p, err := j.Proof(ev.Seq); err != nil || p != nil && (p.First > ev.Seq || p.Last < ev.Seq) {
			t.Errorf("proof of event %d: %+v, %v", ev.Seq, p, err)
		}
	}
	r, err := j.Append(ctx, &Batch{Events: []Append{{Coordinate: causal.Coordinate{Scope: "s", Entity: "e"}, Kind: 0x1001, Data: []byte{1}}}})
	if err != nil || r[0].Seq != head+1 {
		t.Errorf("append: %v, %v", r, err)
	}
}

// mendFrames puts the right checksums wherever there is something of the form of a frame.
func mendFrames(segment []byte, salt uint32) {
	start := segmentStart
	for off := segmentStart; off+frameHeader <= len(segment); {
		if head := segment[off:]; head[13] != 0 {
			binary.LittleEndian.PutUint16(head[14:], headerCheck(head, salt))
		}
		f, ok := parseFrame(segment[off:], int64(len(segment)-off), salt)
		if !ok {
			return
		}
		if f.typ == frameCommit {
			binary.LittleEndian.PutUint32(segment[off+frameHeader+12:], crc32.Checksum(segment[start:off], castagnoli))
		}
		sealFrame(segment[off:], int(f.length), f, salt)
		off += frameSize(int(f.length))
		if f.typ != frameEvent && f.typ != frameSign {
			start = off
		}
	}
}
