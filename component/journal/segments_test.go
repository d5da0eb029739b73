package journal_test

import (
	"errors"
	"strings"
	"testing"

	"batpak/component/journal"
	"batpak/keystore"
)

// A journal may be opened with segments of another size: what fits is what new segments hold.
func TestTheSegmentSizeMayChange(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	var want uint64
	for i, size := range []int64{small, 1 << 20, small, 512 << 10, smallest, small} {
		o := journal.Options{Name: "size", SegmentBytes: size, MaxPayload: 1 << 20}
		j := openFS(t, d, o)
		if i > 0 { // fits no segment but one of its own
			mustAppend(t, j, one(large("e", int(size)/2)))
			mustAppend(t, j, one(large("e", int(size)/2-2000)))
			want += 2
		}
		if i%2 == 0 {
			mustAppend(t, j, one(event("e", 1)))
			want++
		}
		if _, err := audit(j); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		events, err := look(t, d.dir, o)
		if err != nil || uint64(len(events)) != want {
			t.Fatalf("size %d: %d events, want %d, %v", size, len(events), want, err)
		}
	}
	// Also when the open segment is empty and the batch fits a larger one only.
	d = newDisk(t)
	openFS(t, d, journal.Options{Name: "size", SegmentBytes: small}).Close()
	o := journal.Options{Name: "size", SegmentBytes: 1 << 20}
	j := openFS(t, d, o)
	mustAppend(t, j, one(large("e", 2<<16)))
	mustAppend(t, j, one(event("e", 2)))
	if _, err := audit(j); err != nil {
		t.Error(err)
	}
	j.Close()
	if events, err := look(t, d.dir, o); err != nil || len(events) != 2 {
		t.Errorf("%d events, %v", len(events), err)
	}
}

// The smallest segment holds little, but keeps all promises.
func TestTheSmallestSegmentsHoldWhatFits(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	o := journal.Options{Name: "smallest", Seal: keystore.Entity, SegmentBytes: smallest}
	j := openFS(t, d, o)
	var promises acked
	workload(t, j, &promises, 2, 20)
	if n := j.Stats().Segments; n < 5 {
		t.Errorf("only %d segments", n)
	}
	var limit *journal.LimitError
	if err := appendErr(j, one(large("e", smallest-4096))); !errors.As(err, &limit) {
		t.Fatalf("got %v", err)
	}
	b := one(large("e", limit.Limit-1000))
	promises.add(b, mustAppend(t, j, b))
	d.mu.Lock()
	killed := d.killed()
	d.mu.Unlock()
	if err := mustHold(killed.boot(t), o, promises.upTo()); err != nil {
		t.Errorf("killed: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for name, b := range files(t, d.dir) {
		if strings.HasSuffix(name, ".seg") && len(b) != smallest {
			t.Errorf("%s has %d bytes", name, len(b))
		}
	}
	if err := mustHold(d, o, promises.upTo()); err != nil {
		t.Error(err)
	}
}
