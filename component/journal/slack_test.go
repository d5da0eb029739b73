package journal

import (
	"bytes"
	"context"
	"io/fs"
	"testing"

	"batpak/causal"
)

// A segment that a group has filled as far as it may has room for the mark of Close, and its last bytes are zero.
func TestAFullSegmentHasRoomForAMark(t *testing.T) {
	t.Parallel()
	fsys, _ := fuzzDir(t)
	open := func() *Journal {
		t.Helper()
		j, err := Open(context.Background(), fsys, Options{Name: "full", SegmentBytes: MinSegmentBytes})
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	appendData := func(j *Journal, size int) {
		t.Helper()
		data := append([]byte{0xc5, byte(size >> 8), byte(size)}, make([]byte, size)...)
		a := Append{Coordinate: causal.Coordinate{Scope: "s", Entity: "e"}, Kind: 0x1001, Data: data}
		if _, err := j.Append(context.Background(), &Batch{Events: []Append{a}}); err != nil {
			t.Fatal(err)
		}
	}
	j := open()
	for range 3 { // the second one has a previous hash, as the last one will
		appendData(j, 1000)
	}
	before := j.active().end
	appendData(j, 1000)
	overhead := j.active().end - before - 1000
	left := j.active().size - segmentSlack - j.active().end
	for left > 2*(1000+overhead) {
		appendData(j, 1000)
		left -= 1000 + overhead
	}
	appendData(j, int(left-overhead)&^7)
	s := j.active()
	if len(j.segs) != 1 || s.end != s.size-segmentSlack {
		t.Fatalf("%d segments, the last one ends at %d of %d", len(j.segs), s.end, s.size)
	}
	at, name, crc := s.end, s.name, s.crc
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := fs.ReadFile(fsys, name)
	if err != nil {
		t.Fatal(err)
	}
	if f, ok := parseFrame(b[at:at+frameHeader], frameHeader, crc); !ok || f.typ != frameMark || f.synced != uint32(at) {
		t.Errorf("behind the frames is %+v, %v", f, ok)
	}
	if tail := b[len(b)-segmentTail:]; !bytes.Equal(tail, make([]byte, segmentTail)) {
		t.Errorf("the segment ends with %x", tail)
	}
	j = open()
	appendData(j, 1000)
	if len(j.segs) != 2 {
		t.Errorf("%d segments", len(j.segs))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}
