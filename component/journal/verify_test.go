package journal_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/component/journal"
	"batpak/faultfs"
)

// spacious makes a journal of some segments and pieces: groups of one event and of many, small events and large ones, streams in
// and out of turn.
func spacious(t *testing.T, fsys faultfs.FS, o journal.Options) *journal.Journal {
	t.Helper()
	j := openFS(t, fsys, o)
	for i := 0; j.Stats().Segments < 3; i++ {
		b := &journal.Batch{}
		for n := range []int{1, 700, 3, 90}[i%4] {
			a := event(fmt.Sprintf("e%d", (i+n)%50), uint64(n))
			if n%41 == 7 {
				a = large(fmt.Sprintf("e%d", n%50), 20_000)
			}
			if a.Lane = uint32(n % 2); n%5 == 0 {
				a.Entity = "ünlike the others, and longer than what fits into a few bytes"
			}
			b.Events = append(b.Events, a)
		}
		mustAppend(t, j, b)
	}
	return j
}

// However many workers there are, the same is found; progress never goes back and ends at the end.
func TestVerifyFindsTheSameWithAnyNumberOfWorkers(t *testing.T) {
	t.Parallel()
	pair, public := signer(t, 1)
	j := spacious(t, newDisk(t), journal.Options{Name: "spacious", SegmentBytes: 1 << 20, Signer: pair})
	ctx := context.Background()
	want, err := j.Verify(ctx, 0, 0)
	if err != nil || want.Checked != j.Visible() || want.Signed != want.Checked || !slices.Equal(want.Signers, []string{public}) || want.Bytes < 1<<20 {
		t.Fatalf("%+v, %v", want, err)
	}
	head, err := j.GetSeq(j.Visible())
	if err != nil || want.Head != head.Seq || want.Hash != head.Hash {
		t.Fatalf("%+v, %v, head %d %s", want, err, head.Seq, head.Hash)
	}
	for workers := range 9 {
		var last journal.Verification
		calls := 0
		got, err := j.VerifyWith(ctx, journal.VerifyOptions{Workers: workers, Progress: func(now journal.Verification) {
			if calls++; now.Checked < last.Checked || now.Bytes < last.Bytes || now.Checked > want.Checked {
				t.Errorf("progress from %+v to %+v", last, now)
			}
			last = now
		}})
		if err != nil || !reflect.DeepEqual(got, want) || last.Checked != want.Checked || calls < 4 {
			t.Errorf("%d workers: %+v, %v, progress of %d calls to %+v", workers, got, err, calls, last)
		}
	}
	// Parts of it are as good as the whole, wherever they begin.
	var checked, groups uint64
	for from := uint64(1); from <= want.Head; from += 171 {
		part, err := j.Verify(ctx, from, min(from+170, want.Head))
		if err != nil {
			t.Fatal(err)
		}
		checked, groups = checked+part.Checked, groups+part.Groups
	}
	if checked != want.Checked || groups != want.Groups {
		t.Errorf("in parts %d events of %d groups, want %d of %d", checked, groups, want.Checked, want.Groups)
	}
}

// A range is not good of which the journal has only a part.
func TestVerifyMissesEventsBehindTheLast(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{Name: "short"})
	for from, to := range map[uint64]uint64{0: 1, 3: 0, 7: 9} {
		var found *journal.VerifyError
		if _, err := j.Verify(t.Context(), from, to); !errors.As(err, &found) || found.Seq != 1 {
			t.Errorf("%d to %d of nothing: %v", from, to, err)
		}
	}
	if _, err := j.Verify(t.Context(), 1, 0); err != nil { // what may come
		t.Error(err)
	}
	mustAppend(t, j, one(event("a", 1)))
	mustAppend(t, j, one(event("a", 2)))
	var found *journal.VerifyError
	if v, err := j.Verify(t.Context(), 2, 3); !errors.As(err, &found) || found.Seq != 3 || v.Checked != 1 || v.Head != 2 || v.Hash.IsZero() {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := j.Verify(t.Context(), 2, 2); err != nil || v.Checked != 1 {
		t.Errorf("%+v, %v", v, err)
	}
}

// What is damaged is named, also when it is of a group that reaches into the range, and when an open finds it.
func TestTheDamagedEventIsNamed(t *testing.T) {
	t.Parallel()
	m := faultfs.NewDisk(faultfs.POSIX).Mount()
	o := journal.Options{Name: "named"}
	j := openFS(t, m, o)
	for range 3 {
		b := &journal.Batch{}
		for n := range 100 {
			b.Events = append(b.Events, event(fmt.Sprint("e", n), uint64(n)))
		}
		mustAppend(t, j, b)
	}
	segment := readAll(t, m)[firstSegment]
	groups, _ := spans(segment)
	off := groups[len(groups)-2].ends[49] - 12 // in event 150, the fiftieth of the second batch
	write(t, m, firstSegment, off, []byte{segment[off] ^ 1})
	for _, to := range []uint64{110, 0} {
		var found *journal.VerifyError
		if _, err := j.Verify(t.Context(), 105, to); !errors.As(err, &found) || found.Seq != 150 {
			t.Errorf("105 to %d: %v", to, err)
		}
	}
	write(t, m, firstSegment, off, segment[off:off+1])
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for _, checkpoint := range []bool{true, false} {
		disk := m.Snapshot()
		if err := disk.Flip(firstSegment, int64(off), 1); err != nil {
			t.Fatal(err)
		}
		damaged := disk.Mount()
		if !checkpoint {
			if err := damaged.Remove("checkpoint"); err != nil {
				t.Fatal(err)
			}
		}
		var damage *journal.DamageError
		if _, err := journal.Open(t.Context(), damaged, o); !errors.As(err, &damage) || damage.Seq != 150 || !strings.Contains(err.Error(), "frame checksum mismatch") {
			t.Errorf("checkpoint %t: %v", checkpoint, err)
		}
	}
}

// Whoever ends the context ends the check, and gets no finding from what was not looked at.
func TestVerifyEndsWithItsContext(t *testing.T) {
	t.Parallel()
	j := spacious(t, newDisk(t), journal.Options{Name: "spacious", SegmentBytes: 1 << 20})
	ctx, cancel := context.WithCancel(context.Background())
	found, err := j.VerifyWith(ctx, journal.VerifyOptions{Progress: func(journal.Verification) { cancel() }})
	if !errors.Is(err, context.Canceled) || found.Checked == 0 || found.Checked >= j.Visible() {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := j.Verify(ctx, 0, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("ended before it began: %v", err)
	}
	if _, err := j.Verify(context.Background(), 0, 0); err != nil {
		t.Error(err)
	}
}

// Of many things that are wrong, the first one is found, with any number of workers; and what cannot be read is no finding.
func TestVerifyFindsTheFirstOfMany(t *testing.T) {
	t.Parallel()
	m := faultfs.NewDisk(faultfs.POSIX).Mount()
	in := faultfs.Inject(m)
	j := spacious(t, in, journal.Options{Name: "spacious", SegmentBytes: 1 << 20})
	groups, _ := spans(readAll(t, m)[firstSegment])
	g := groups[len(groups)/3]
	at := g.ends[0] - 20 // in the first event of the group
	for _, off := range []int{at, at + 4000, at + 200_000, at + 300_000} {
		f, err := m.OpenFile(firstSegment, 2, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("rot"), int64(off)); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	for workers := 1; workers < 6; workers++ {
		found, err := j.VerifyWith(context.Background(), journal.VerifyOptions{Workers: workers})
		var wrong *journal.VerifyError
		var damage *journal.DamageError
		if !errors.As(err, &wrong) || wrong.Seq != g.first || found.Checked != g.first-1 || !errors.As(err, &damage) || damage.File != firstSegment {
			t.Errorf("%d workers: %+v, %v, want event %d", workers, found, err, g.first)
		}
	}
	broken := errors.New("the disk is gone")
	in.Add(faultfs.Rule{On: faultfs.OpReadAt, Name: firstSegment, Nth: 1, Do: faultfs.Fail(broken)})
	var wrong *journal.VerifyError
	if _, err := j.Verify(context.Background(), 0, 0); !errors.Is(err, broken) || errors.As(err, &wrong) {
		t.Errorf("a read that failed: %v", err)
	}
}

// A check needs nothing of an event but its place in the chain: memory does not grow with the number of events.
func TestVerifyDoesNotAllocateForEachEvent(t *testing.T) {
	j := openFS(t, newDisk(t), journal.Options{Name: "lean"})
	for range 20 {
		b := &journal.Batch{}
		for n := range 1000 {
			a := event(fmt.Sprintf("e%d", n%10), uint64(n))
			a.Subject, a.Meta, a.Causes = fmt.Sprint(n), map[string]string{"k": "v"}, []causal.Cause{{Lineage: causal.Lineage{1}, ID: causal.EventID{1}}}
			b.Events = append(b.Events, a)
		}
		mustAppend(t, j, b)
	}
	n := testing.AllocsPerRun(3, func() {
		if _, err := j.Verify(context.Background(), 0, 0); err != nil {
			t.Error(err)
		}
	})
	if n > 1000 {
		t.Errorf("%v allocations for %d events", n, j.Visible())
	}
}
