package journal_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/faultfs"
)

const indexes = "segments/*.idx"

// closedDisk is a disk with a journal that was closed, of so many segments, and its events, each of which
// follows from the one before it.
func closedDisk(tb testing.TB, o journal.Options, segments int) (*faultfs.Disk, []causal.Event) {
	tb.Helper()
	mount := faultfs.NewDisk(faultfs.POSIX).Mount()
	j := openFS(tb, mount, o)
	var causes []causal.EventID
	for i := 0; j.Stats().Segments < segments; i++ {
		r := mustAppend(tb, j, one(following(fmt.Sprintf("fill%d", i%3), 6000, causes...)))
		causes = []causal.EventID{r[0].ID}
	}
	events, err := audit(j)
	if err != nil {
		tb.Fatal(err)
	}
	if err := j.Close(); err != nil {
		tb.Fatal(err)
	}
	return mount.Kill(), events
}

// byIndex gets every event in each way that an index leads to, and says what differs.
func byIndex(j *journal.Journal, events []causal.Event) error {
	streams := map[causal.Stream][]uint64{}
	for i := range events {
		ev := &events[i]
		streams[ev.Stream()] = append(streams[ev.Stream()], ev.Seq)
		got, err := j.Get(ev.ID)
		if err != nil || got.Hash != ev.Hash {
			return fmt.Errorf("event %d by id: event %d, %w", ev.Seq, got.Seq, err)
		}
		a := event("x", 1)
		a.Causes, a.Expect = []causal.Cause{{ID: ev.ID}}, ptr(uint64(1))
		var conflict *journal.ConflictError
		if err := appendErr(j, one(a)); !errors.As(err, &conflict) {
			return fmt.Errorf("event %d as a cause: %w", ev.Seq, err)
		}
		p, err := j.Graph(context.Background(), codec.GraphRequest{ID: ev.ID, Direction: codec.DirectionEffects, Depth: 1}, 1<<20)
		if err != nil || len(p.Envelopes) != min(2, len(events)-i) || len(p.Edges) != len(p.Envelopes)-1 {
			return fmt.Errorf("event %d has %d effects: %w", ev.Seq, len(p.Edges), err)
		}
	}
	kinds := []causal.Kind{0x1001, 0x1fff}
	for _, sel := range []codec.Selection{{Scope: "s"}, {Entity: "fill1"}, {Kinds: kinds}, {Scope: "s", Entity: "fill2", Kinds: kinds}, {Subject: "nobody"}} {
		if err := readsLike(j, sel, events); err != nil {
			return err
		}
	}
	streams[stream("nothing")] = nil
	for s, want := range streams {
		var got []uint64
		for ev, err := range j.StreamEvents(s, 0) {
			if err != nil {
				return fmt.Errorf("stream %s: %w", s, err)
			}
			got = append(got, ev.Seq)
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("stream %s has events %v, want %v", s, got, want)
		}
	}
	return nil
}

// readsLike says how Events differs from what a selection means.
func readsLike(j *journal.Journal, sel codec.Selection, events []causal.Event) error {
	var got, want []uint64
	for i := range events {
		if selects(sel, &events[i]) {
			want = append(want, events[i].Seq)
		}
	}
	for ev, err := range j.Events(context.Background(), sel) {
		if err != nil {
			return fmt.Errorf("events that match %+v: %w", sel, err)
		}
		got = append(got, ev.Seq)
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("events %v match %+v, want %v", got, sel, want)
	}
	return nil
}

// Whichever read of an index comes back wrong, and whichever way it is asked, the answer is right.
func TestAFlippedReadOfAnIndexHidesNothing(t *testing.T) {
	t.Parallel()
	o := journal.Options{Name: "index", SegmentBytes: smallest}
	disk, events := closedDisk(t, o, 4)
	for _, mask := range []byte{1, 0x10, 0x80} {
		for nth, more := 1, true; more; nth++ {
			in := faultfs.Inject(disk.Mount(), faultfs.Rule{On: faultfs.OpReadAt, Name: indexes, Nth: nth, Do: faultfs.Flip(mask)})
			j, err := journal.Open(t.Context(), in, o)
			if err != nil {
				t.Fatalf("read %d, mask %#x: %v", nth, mask, err)
			}
			if err := byIndex(j, events); err != nil {
				t.Errorf("read %d, mask %#x: %v", nth, mask, err)
			}
			if err := j.Close(); err != nil {
				t.Error(err)
			}
			reads := 0
			for _, c := range in.Trace() {
				if ok, _ := path.Match(indexes, c.Name); ok && c.Op == faultfs.OpReadAt {
					reads++
				}
			}
			if more = reads >= nth; !more && nth < 3*len(events) {
				t.Errorf("only %d reads of an index", reads)
			}
		}
	}
}

// Whichever byte of an index is wrong, and whichever read comes first, the answer is right.
func TestADamagedIndexHidesNothing(t *testing.T) {
	t.Parallel()
	o := journal.Options{Name: "index", SegmentBytes: small}
	disk, events := closedDisk(t, o, 3)
	name := strings.Replace(firstSegment, ".seg", ".idx", 1)
	good, err := fs.ReadFile(disk.Mount(), name)
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint32(good[12:])
	for off := range int64(len(good)) {
		rotten := disk.Mount().Kill()
		if err := rotten.Flip(name, off, 0xff); err != nil {
			t.Fatal(err)
		}
		for what, of := range map[string][]causal.Event{"all": events, "the last first": {events[n-1], events[0]}} {
			j := openFS(t, rotten.Mount(), o)
			for i := range of {
				if got, err := j.Get(of[i].ID); err != nil || got.Hash != of[i].Hash {
					t.Errorf("flip at %d, %s: event %d by id: event %d, %v", off, what, of[i].Seq, got.Seq, err)
				}
				p, err := j.Graph(t.Context(), codec.GraphRequest{ID: of[i].ID, Direction: codec.DirectionEffects, Depth: 1}, 1<<20)
				if want := min(1, len(events)-int(of[i].Seq)); err != nil || len(p.Edges) != want {
					t.Errorf("flip at %d, %s: event %d has %d effects, %v", off, what, of[i].Seq, len(p.Edges), err)
				}
			}
			if err := readsLike(j, codec.Selection{Entity: "fill1"}, events); err != nil {
				t.Errorf("flip at %d, %s: %v", off, what, err)
			}
			if _, err := audit(j); err != nil {
				t.Errorf("flip at %d, %s: %v", off, what, err)
			}
			j.Close()
		}
	}
}

// An index that cannot be read now, and a segment that cannot either, are asked again the next time.
func TestAnIndexIsReadAgainAfterAPassingError(t *testing.T) {
	t.Parallel()
	o := journal.Options{Name: "index", SegmentBytes: smallest}
	disk, events := closedDisk(t, o, 3)
	in := faultfs.Inject(disk.Mount())
	j := openFS(t, in, o)
	in.Add(
		faultfs.Rule{On: faultfs.OpReadAt, Name: indexes, Do: faultfs.Fail(nil)},
		faultfs.Rule{On: faultfs.OpReadAt, Name: firstSegment, Do: faultfs.Fail(nil)},
	)
	for range 2 {
		if _, err := j.Get(events[0].ID); !errors.Is(err, syscall.EIO) || errors.Is(err, journal.ErrDamaged) {
			t.Errorf("got %v", err)
		}
	}
	in.Clear()
	if err := byIndex(j, events); err != nil {
		t.Error(err)
	}
}

// A segment that is read instead of its index may come back wrong once. When it does again, what only
// the index knows is not to be had; what it still knows is.
func TestASegmentIsReadTwiceForItsIndex(t *testing.T) {
	t.Parallel()
	o := journal.Options{Name: "index", SegmentBytes: smallest}
	disk, events := closedDisk(t, o, 3)
	for _, nth := range []int{1, 0} {
		in := faultfs.Inject(disk.Mount())
		j := openFS(t, in, o)
		in.Add(
			faultfs.Rule{On: faultfs.OpReadAt, Name: indexes, Nth: 1, Do: faultfs.Flip(1)},
			faultfs.Rule{On: faultfs.OpReadAt, Name: firstSegment, Nth: nth, Do: faultfs.Flip(1)},
		)
		if _, err := j.Get(events[0].ID); errors.Is(err, journal.ErrDamaged) != (nth == 0) || nth > 0 && err != nil {
			t.Errorf("wrong reading %d: %v", nth, err)
		}
		in.Clear()
		if err := byIndex(j, events); err != nil {
			t.Errorf("wrong reading %d, later: %v", nth, err)
		}
	}
}

// Of the readers that meet a damaged index one reads the segment, and the others wait for it.
func TestOneReaderMakesTheIndexAgain(t *testing.T) {
	t.Parallel()
	o, warned := listening(journal.Options{Name: "index", SegmentBytes: smallest})
	disk, events := closedDisk(t, o, 2)
	in := faultfs.Inject(disk.Mount())
	j := openFS(t, in, o)
	in.Add(faultfs.Rule{On: faultfs.OpReadAt, Name: indexes, Do: faultfs.Fail(nil)})
	arrived, release := hold(in, faultfs.OpReadAt, firstSegment)
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			if _, err := j.Get(events[0].ID); err != nil {
				t.Error(err)
			}
		})
	}
	arrived()
	release()
	readers.Wait()
	warned.mu.Lock()
	defer warned.mu.Unlock()
	if n := strings.Count(warned.text.String(), "rebuilding"); n != 1 {
		t.Errorf("%d readers read the segment", n)
	}
}
