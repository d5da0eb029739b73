package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"testing"

	"batpak/causal"
	"batpak/faultfs"
)

// indexed is a segment of n events, of seven terms and one that every third event has, and its index. Each
// has a term that no other has, and every second event has the two before it as causes, and the first one.
// The segment has no file.
func indexed(n int) (*segment, *memIndex) {
	s := &segment{name: segmentName(1), first: 1, size: 1 << 20, salt: [8]byte{1, 2, 3}}
	s.crc = crc32.Checksum(s.salt[:], castagnoli)
	x := newMemIndex()
	var ids causal.IDs
	for i := range n {
		common := uint64(i%7) << 61
		if i%3 == 0 {
			common = 1
		}
		e := indexEntry{id: ids.Next(1000 + uint64(i/10)), offset: segmentStart + 64*uint32(i), terms: []uint64{common, ownTerm(i)}}
		if i%2 == 1 {
			for _, cause := range []int{i - 1, max(i-2, 0), 0} {
				if term := causeTerm(x.ids[cause]); !slices.Contains(e.terms, term) {
					e.terms = append(e.terms, term)
				}
			}
		}
		x.add(e)
	}
	return s, x
}

func ownTerm(i int) uint64 { return 1<<62 + uint64(i)<<8 }

// writeIndexFile makes b the index file of s, and opens it.
func writeIndexFile(t *testing.T, fsys faultfs.FS, dir string, s *segment, b []byte) (*fileIndex, error) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, s.indexName()), b, 0o600); err != nil {
		t.Fatal(err)
	}
	x, err := openIndex(fsys, s)
	if err == nil {
		t.Cleanup(func() { x.file.Close() })
	}
	return x, err
}

// compare asks both for everything that is in the first, and for what is not. It returns the errors
// of the second that say that it cannot answer.
func compare(t *testing.T, mem *memIndex, x index) (refused []error) {
	t.Helper()
	check := func(same bool, what string, err error) {
		t.Helper()
		if errors.Is(err, errIndex) {
			refused = append(refused, err)
		} else if !same {
			t.Errorf("%s is another one: %v", what, err)
		}
	}
	if first, last := x.span(); x.count() != mem.count() || first != mem.ids[0] || last != mem.ids[len(mem.ids)-1] {
		t.Errorf("%d events from %s to %s", x.count(), first, last)
	}
	for pos, id := range mem.ids {
		off, err := x.offset(pos)
		check(err == nil && off == int64(mem.offsets[pos]), "an offset", err)
		got, err := x.find(id)
		check(err == nil && got == pos, "a position", err)
		id[15] ^= 1
		_, err = x.find(id)
		check(errors.Is(err, ErrNotFound), "an id that is not there", err)
	}
	terms := []uint64{0, 2, 3 << 60, ^uint64(0)}
	for _, term := range slices.Compact(slices.Sorted(slices.Values(mem.terms))) {
		terms = append(terms, term, term+1)
	}
	n := len(mem.ids)
	for _, term := range terms {
		list := mem.of(term)
		for _, from := range []int{0, 1, n / 2, n - 1, n} {
			after := list[sort.Search(len(list), func(i int) bool { return int(list[i]) >= from }):]
			for _, most := range []int{1, 2, 340, 341, math.MaxInt} {
				want := after[:min(most, len(after))]
				got, err := x.positions(nil, term, uint32(from), most)
				check(err == nil && slices.Equal(got, want), fmt.Sprintf("positions of term %d from %d", term, from), err)
				count, err := x.tally(term, uint32(from), most)
				check(err == nil && count == len(want), fmt.Sprintf("the tally of term %d from %d", term, from), err)
			}
		}
	}
	return refused
}

// An index file answers as the memory that it was made from, for numbers of events that fill blocks
// and that do not.
func TestAnIndexFileAnswersAsTheMemoryDid(t *testing.T) {
	t.Parallel()
	fsys, dir := fuzzDir(t)
	for _, n := range []int{1, 2, 254, 255, 256, 341, 342, 510, 1023, 1024, 3000} {
		s, mem := indexed(n)
		b := mem.encode(s)
		if want := layoutOf(n, len(mem.terms)).size(); int64(len(b)) != want {
			t.Fatalf("%d events: %d bytes, want %d", n, len(b), want)
		}
		x, err := writeIndexFile(t, fsys, dir, s, b)
		if err != nil {
			t.Fatalf("%d events: %v", n, err)
		}
		if refused := compare(t, mem, x); refused != nil {
			t.Errorf("%d events: %v", n, refused)
		}
	}
}

var flipStep = 1 // each so many of the bytes are wrong once

// Whichever byte of an index file is wrong, the file is refused or the answer is right.
func TestAWrongByteOfAnIndexIsNoticed(t *testing.T) {
	t.Parallel()
	fsys, dir := fuzzDir(t)
	s, mem := indexed(20)
	good := mem.encode(s)
	for off := 0; off < len(good); off += flipStep {
		b := bytes.Clone(good)
		b[off] ^= 1 << (off % 8)
		x, err := writeIndexFile(t, fsys, dir, s, b)
		if (err == nil) != (off >= indexHeader+blockSum) || unexpected(err) {
			t.Fatalf("flip at %d of %d: %v", off, len(good), err)
		}
		if err == nil && compare(t, mem, x) == nil {
			t.Errorf("flip at %d of %d was not noticed", off, len(good))
		}
	}
}

// A block that is another one's is noticed, be it of this file or of the index of another segment.
func TestAnIndexBlockBelongsToItsPlace(t *testing.T) {
	t.Parallel()
	fsys, dir := fuzzDir(t)
	s, mem := indexed(600)
	good := mem.encode(s)
	ids := layoutOf(600, len(mem.terms)).ids
	other := *s
	other.crc++
	foreign := mem.encode(&other)
	for what, from := range map[string][]byte{"another block": good[ids.offsetOf(1):ids.offsetOf(2)], "another segment's block": foreign[ids.offsetOf(0):ids.offsetOf(1)]} {
		b := bytes.Clone(good)
		copy(b[ids.offsetOf(0):], from)
		x, err := writeIndexFile(t, fsys, dir, s, b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.find(mem.ids[3]); !errors.Is(err, errBlockSum) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// An index whose checksums are right and that cannot be of the segment is refused.
func TestAnImpossibleIndexIsRefused(t *testing.T) {
	t.Parallel()
	fsys, dir := fuzzDir(t)
	s, mem := indexed(5)
	good := mem.encode(s)
	l := layoutOf(5, len(mem.terms))
	last := l.terms.at + int64(len(mem.terms)-1)*12
	lastTerm, termBefore := binary.LittleEndian.Uint64(good[last:]), binary.LittleEndian.Uint64(good[last-12:])
	positions := func(x *fileIndex, term uint64) error {
		_, err := x.positions(nil, term, 0, math.MaxInt)
		return err
	}
	for what, tc := range map[string]struct {
		edit func(b []byte)
		ask  func(x *fileIndex) error // nil when it does not open
	}{
		"magic":                {edit: func(b []byte) { b[0]++ }},
		"format 1":             {edit: func(b []byte) { b[8] = 1 }},
		"format 2":             {edit: func(b []byte) { b[8] = 2 }},
		"format 3":             {edit: func(b []byte) { b[8] = 3 }},
		"more postings":        {edit: func(b []byte) { b[64]++ }},
		"postings by millions": {edit: func(b []byte) { binary.LittleEndian.PutUint32(b[64:], ^uint32(0)) }},
		"more events":          {edit: func(b []byte) { b[12]++ }},
		"events by millions":   {edit: func(b []byte) { binary.LittleEndian.PutUint32(b[12:], ^uint32(0)) }},
		"first event":          {edit: func(b []byte) { b[16]++ }},
		"salt":                 {edit: func(b []byte) { b[24]++ }},
		"span":                 {edit: func(b []byte) { b[32] = 0xff }},
		"offset before the frames": {func(b []byte) { binary.LittleEndian.PutUint32(b[l.offsets.at:], 8) },
			func(x *fileIndex) error { _, err := x.offset(0); return err }},
		"offset behind the segment": {func(b []byte) { binary.LittleEndian.PutUint32(b[l.offsets.at:], uint32(s.size)) },
			func(x *fileIndex) error { _, err := x.offset(0); return err }},
		"ids not ascending": {func(b []byte) { copy(b[l.ids.at+32:l.ids.at+48], b[l.ids.at+48:]) },
			func(x *fileIndex) error { _, err := x.find(mem.ids[1]); return err }},
		"a posting twice": {func(b []byte) { copy(b[last:last+12], b[last-12:]) },
			func(x *fileIndex) error { return positions(x, termBefore) }},
		"terms not ascending": {func(b []byte) { clear(b[l.terms.at+12 : l.terms.at+20]) },
			func(x *fileIndex) error { return positions(x, lastTerm) }},
		"position behind the events": {func(b []byte) { b[l.terms.at+8] = 5 },
			func(x *fileIndex) error { return positions(x, 1) }},
	} {
		b := bytes.Clone(good)
		tc.edit(b)
		sealIndex(b, l, s)
		x, err := writeIndexFile(t, fsys, dir, s, b)
		if err == nil && tc.ask != nil {
			err = tc.ask(x)
		}
		if !errors.Is(err, errIndex) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for n := range good {
		if _, err := writeIndexFile(t, fsys, dir, s, good[:n]); !errors.Is(err, errIndex) {
			t.Errorf("%d bytes of %d: %v", n, len(good), err)
		}
	}
	if _, err := writeIndexFile(t, fsys, dir, s, append(good, 0)); !errors.Is(err, errIndex) {
		t.Errorf("a byte more: %v", err)
	}
}

// What an index file is asked takes no memory but for a list that is asked for.
func TestAskingAnIndexAllocatesNothing(t *testing.T) {
	fsys, dir := fuzzDir(t)
	s, mem := indexed(3000)
	file, err := writeIndexFile(t, fsys, dir, s, mem.encode(s))
	if err != nil {
		t.Fatal(err)
	}
	x := newSealedIndex(s, file, nil)
	if n := testing.AllocsPerRun(100, func() {
		pos, err := x.find(mem.ids[1234])
		if err == nil {
			_, err = x.offset(pos)
		}
		if err != nil {
			t.Fatal(err)
		}
	}); n >= 1 {
		t.Errorf("%v allocations", n)
	}
}
