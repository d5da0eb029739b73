package journal_test

import (
	"context"
	"errors"
	"path"
	"slices"
	"sync"
	"syscall"
	"testing"

	"batpak/codec"
	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/keystore"
)

const firstSegment = "segments/0000000000000001.seg"

// A write or a sync that fails poisons: its group and everything after it fail, reads go on, the
// sync is not tried again, and the next Open has what was acknowledged.
func TestAFailedWriteOrSyncPoisonsUntilReopened(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]faultfs.Rule{
		"write":       {On: faultfs.OpWrite, Name: "segments/*.seg", Nth: 1, Do: faultfs.Fail(syscall.EIO)},
		"short write": {On: faultfs.OpWrite, Name: "segments/*.seg", Nth: 1, Do: faultfs.Short(40)},
		"sync":        {On: faultfs.OpSyncData, Name: "segments/*.seg", Nth: 1, Do: faultfs.Fail(syscall.EIO)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDisk(t)
			in := faultfs.Inject(d)
			o := journal.Options{Name: "poison", SegmentBytes: small}
			j := openFS(t, in, o)
			var promises acked
			workload(t, j, &promises, 2, 10)
			head := j.Visible()

			in.Add(rule)
			if err := appendErr(j, one(event("e0", 1))); !errors.Is(err, journal.ErrPoisoned) || errors.Is(err, journal.ErrStorage) {
				t.Fatalf("append got %v, want ErrPoisoned", err)
			}
			in.Clear()
			ops := len(in.Trace())
			for range 3 {
				if err := appendErr(j, one(event("e0", 1))); !errors.Is(err, journal.ErrPoisoned) {
					t.Fatalf("a later append got %v, want ErrPoisoned", err)
				}
			}
			if err := j.Poisoned(); !errors.Is(err, journal.ErrPoisoned) || !errors.Is(err, syscall.EIO) && name != "short write" {
				t.Errorf("Poisoned is %v", err)
			}
			for _, c := range in.Trace()[ops:] {
				if ok, _ := path.Match("segments/*.seg", c.Name); ok && c.Op != faultfs.OpReadAt {
					t.Errorf("after the failure: %s", c)
				}
			}
			if j.Visible() != head {
				t.Errorf("visible moved from %d to %d", head, j.Visible())
			}
			if _, err := audit(j); err != nil {
				t.Errorf("reading a poisoned journal: %v", err)
			}
			if err := j.Close(); err != nil {
				t.Error(err)
			}
			if err := mustHold(d, o, promises.upTo()); err != nil {
				t.Error(err)
			}
		})
	}
}

// What is in flight behind a failed sync fails with it, in order, and is answered once.
func TestEverythingBehindAFailedSyncFails(t *testing.T) {
	t.Parallel()
	in := faultfs.Inject(newDisk(t))
	j := openFS(t, in, journal.Options{Name: "poison", SegmentBytes: small})
	arrived, release := hold(in, faultfs.OpSyncData, firstSegment)
	in.Add(faultfs.Rule{On: faultfs.OpSyncData, Name: firstSegment, Nth: 1, Do: faultfs.Fail(syscall.EIO)})
	const n = 50
	var answers sync.WaitGroup
	var mu sync.Mutex
	var order []int
	answers.Add(n)
	for i := range n {
		err := j.Submit(one(event("e", uint64(i))), func(r []codec.Receipt, err error) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, i)
			if !errors.Is(err, journal.ErrPoisoned) || r != nil {
				t.Errorf("append %d got %v, %v", i, r, err)
			}
			answers.Done()
		})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			arrived()
		}
	}
	release()
	answers.Wait()
	if !slices.IsSorted(order) || len(order) != n {
		t.Errorf("answers came as %v", order)
	}
}

// After a failed sync the pages that were not written look clean, so the journal that is opened
// next must write again what it finds there before it builds upon it.
func TestWhatAFailedSyncLeftIsWrittenAgainByTheNextOpen(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	o := journal.Options{Name: "poison", SegmentBytes: small}
	j := openFS(t, d, o)
	mustAppend(t, j, one(event("e", 1)))
	d.failSync(firstSegment)
	if err := appendErr(j, one(large("e", 3000))); !errors.Is(err, journal.ErrPoisoned) {
		t.Fatal(err)
	}
	j.Close()

	j = openFS(t, d, o)
	shown, err := audit(j)
	if err != nil {
		t.Fatal(err)
	}
	b := one(event("e", 3))
	promised := []ackedBatch{{b, mustAppend(t, j, b)}}
	d.mu.Lock()
	im := d.lost(nothing)
	d.mu.Unlock()
	after := openFS(t, im.boot(t), o)
	events, err := audit(after)
	if err != nil {
		t.Fatalf("after a loss of power: %v", err)
	}
	if err := holds(after, events, promised); err != nil {
		t.Error(err)
	}
	for i, ev := range shown {
		if events[i].Hash != ev.Hash {
			t.Errorf("event %d was shown and is another one now", i+1)
		}
	}
}

// The name of a new segment is part of what an append needs.
func TestAFailedRotationPoisonsAndLosesNothing(t *testing.T) {
	t.Parallel()
	for _, rule := range []faultfs.Rule{
		{On: faultfs.OpRename, Name: "segments/*.seg", Nth: 1, Do: faultfs.Fail(syscall.EIO)},
		{On: faultfs.OpSyncDir, Name: "segments", Nth: 1, Do: faultfs.Fail(syscall.EIO)},
	} {
		t.Run(rule.On.String(), func(t *testing.T) {
			t.Parallel()
			d := newDisk(t)
			in := faultfs.Inject(d)
			o := journal.Options{Name: "poison", Seal: keystore.None, SegmentBytes: small}
			j := openFS(t, in, o)
			in.Add(rule)
			var promises acked
			for i := range 100 {
				b := one(large("e", 5000+i))
				r, err := j.Append(context.Background(), b)
				if errors.Is(err, journal.ErrPoisoned) {
					break
				}
				if err != nil || i == 99 {
					t.Fatal(i, err)
				}
				promises.add(b, r)
			}
			if _, err := audit(j); err != nil {
				t.Error(err)
			}
			j.Close()
			if err := mustHold(d, o, promises.upTo()); err != nil {
				t.Error(err)
			}
		})
	}
}
