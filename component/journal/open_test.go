package journal_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"batpak/causal"
	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/keystore"
)

func openErr(fsys faultfs.FS, o journal.Options) error {
	j, err := journal.Open(context.Background(), fsys, o)
	if err == nil {
		return errors.Join(errors.New("opened"), j.Close())
	}
	return err
}

func TestADirectoryHasOneJournalAtATime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := journal.Options{Name: "lock", SegmentBytes: small}
	j := openDir(t, dir, o)
	if err := openErr(realDir(t, dir), o); !errors.Is(err, journal.ErrLocked) {
		t.Errorf("second open: %v", err)
	}
	mustAppend(t, j, one(event("e", 1)))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	openDir(t, dir, o)
}

// The directory knows who it is; an Open that means another journal is refused, and does not keep
// the lock.
func TestAnotherJournalIsRefused(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	j := openFS(t, d, journal.Options{Name: "mine", Seal: keystore.Entity, SegmentBytes: small})
	lineage := j.Lineage()
	mustAppend(t, j, one(event("e", 1)))
	j.Close()
	before := d.killed()
	for what, tc := range map[string]struct {
		o    journal.Options
		want error
	}{
		"name":           {journal.Options{Name: "yours"}, journal.ErrForeign},
		"granularity":    {journal.Options{Name: "mine", Seal: keystore.Kind}, journal.ErrGranularity},
		"no granularity": {journal.Options{Seal: keystore.None}, journal.ErrGranularity},
	} {
		if err := openErr(d, tc.o); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if after := d.killed(); after.digest() != before.digest() {
		t.Error("a refused open has changed something")
	}
	j = openFS(t, d, journal.Options{SegmentBytes: small})
	if j.Name() != "mine" || j.Seal() != keystore.Entity || j.Lineage() != lineage || j.Visible() != 1 || j.MaxPayload() != journal.DefaultMaxPayload {
		t.Errorf("opened %s, sealed by %s, %s, %d events", j.Name(), j.Seal(), j.Lineage(), j.Visible())
	}
	other := openFS(t, newDisk(t), journal.Options{Name: "mine", SegmentBytes: small})
	if other.Lineage() == lineage || other.Seal() != keystore.None {
		t.Error("two journals of one lineage")
	}
}

func TestAReadOnlyDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	openFS(t, d, journal.Options{Name: "ro", SegmentBytes: small}).Close()
	for _, fsys := range []faultfs.FS{d, newDisk(t)} {
		in := faultfs.Inject(fsys, faultfs.Rule{On: faultfs.OpChange, Do: faultfs.Fail(syscall.EROFS)})
		if err := openErr(in, journal.Options{Name: "ro"}); !errors.Is(err, syscall.EROFS) {
			t.Errorf("got %v", err)
		}
	}
}

// Creating a journal may be interrupted at every operation, by an error, by a kill, or by a loss
// of power. The next Open succeeds, and what it makes is whole.
func TestAnInterruptedCreationIsDoneAgain(t *testing.T) {
	t.Parallel()
	for _, seal := range []keystore.Granularity{keystore.None, keystore.Subject} {
		t.Run(seal.String(), func(t *testing.T) {
			t.Parallel()
			o := journal.Options{Name: "create", Seal: seal, SegmentBytes: small}
			check := func(what string, fsys faultfs.FS) {
				t.Helper()
				if err := mustHold(fsys, o, nil); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			for _, on := range []faultfs.Op{faultfs.OpChange, faultfs.OpAny} {
				failed := 0
				for n := 1; ; n++ {
					d := newDisk(t)
					in := faultfs.Inject(d, faultfs.Rule{On: on, Nth: n, Do: faultfs.Fail(syscall.EIO)})
					j, err := journal.Open(context.Background(), in, o)
					if err != nil {
						failed++
						check(fmt.Sprintf("after a failure of operation %d of %s", n, on), d)
						continue
					}
					ops := in.Count(on)
					if err := j.Close(); err != nil && on != faultfs.OpAny {
						t.Logf("operation %d: close: %v", n, err)
					}
					check(fmt.Sprintf("after an unimportant failure of operation %d of %s", n, on), d)
					if n > ops {
						break
					}
				}
				if failed < 10 {
					t.Errorf("only %d operations of %s mattered", failed, on)
				}
			}
			d := newDisk(t)
			moments := 0
			d.atEach(func(op faultfs.Op, name string) {
				moments++
				killed, power, some := d.killed(), d.lost(nothing), d.lost(coin(uint64(moments)))
				check(fmt.Sprintf("kill before %s %s", op, name), killed.boot(t))
				check(fmt.Sprintf("loss of power before %s %s", op, name), power.boot(t))
				check(fmt.Sprintf("loss of power with some unsynced before %s %s", op, name), some.boot(t))
			})
			openFS(t, d, o).Close()
			if moments < 15 {
				t.Errorf("only %d moments", moments)
			}
		})
	}
}

// An open of a journal that has events may fail at every operation too. It changes nothing that
// matters: the next one succeeds.
func TestAnOpenThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	o := journal.Options{Name: "open", Seal: keystore.Entity, SegmentBytes: small}
	var promises acked
	j := openFS(t, d, o)
	workload(t, j, &promises, 2, 20)
	killed := files(t, d.dir)
	j.Close()
	seg := lastSegment(killed)
	groups, _ := spans(killed[seg])
	last := groups[len(groups)-1]
	torn := with(killed, seg, edit(killed[seg], func(b []byte) { clear(b[last.end-20 : last.end]) }))
	promised := promises.upTo()
	var kept []ackedBatch
	for _, p := range promised {
		if p.receipts[len(p.receipts)-1].Seq < last.first {
			kept = append(kept, p)
		}
	}
	dir := tempDir(t)
	for what, tc := range map[string]struct {
		files    map[string][]byte
		promised []ackedBatch
	}{"killed": {killed, promised}, "torn": {torn, kept}} {
		for n := 1; ; n++ {
			place(t, dir, tc.files)
			in := faultfs.Inject(noSync{realDir(t, dir)}, faultfs.Rule{On: faultfs.OpAny, Nth: n, Do: faultfs.Fail(syscall.EIO)})
			j, err := journal.Open(context.Background(), in, o)
			ops := in.Count(faultfs.OpAny)
			if err == nil {
				in.Clear()
				j.Close()
			}
			if err := mustHold(noSync{realDir(t, dir)}, o, tc.promised); err != nil {
				t.Errorf("%s: operation %d failed (open said %v), then: %v", what, n, in.Trace()[n-1], err)
			}
			if n > ops {
				break
			}
		}
	}
}

// What a directory without meta may hold is what an interrupted creation leaves: never an event.
func TestADirectoryThatMayHoldEventsIsNotTakenForEmpty(t *testing.T) {
	t.Parallel()
	o := journal.Options{Name: "new", Seal: keystore.Entity, SegmentBytes: small}
	killed, closed, _ := journalFiles(t, o, 2)
	for what, m := range map[string]map[string][]byte{
		"everything":   closed,
		"killed":       killed,
		"a segment":    {firstSegment: killed[firstSegment]},
		"the last one": {lastSegment(killed): killed[lastSegment(killed)]},
		"keys":         {"keys/keyset": killed["keys/keyset"]},
		"damaged keys": {"keys/keyset": killed["keys/keyset"][:40]},
	} {
		dir := tempDir(t)
		m = with(m, "journal.meta", nil)
		place(t, dir, m)
		if err := openErr(realDir(t, dir), o); !errors.Is(err, journal.ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
		for name, b := range m {
			if now, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(now) != string(b) {
				t.Errorf("%s: %s was changed, %v", what, name, err)
			}
		}
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	o := journal.Options{Name: "ctx", SegmentBytes: small}
	j := openFS(t, d, o)
	fill(t, j, 2)
	j.Close()
	if err := d.Remove("checkpoint"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := journal.Open(ctx, d, o); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	openFS(t, d, o)
}

func fixedClock(millis int64) *causal.Clock {
	return causal.NewClock(causal.ClockOptions{Now: func() time.Time { return time.UnixMilli(millis) }})
}

// Times and ids go on after the last event's, also when the clock of the machine does not.
func TestTimeGoesOnAfterReopening(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	o := journal.Options{Name: "time", SegmentBytes: small}
	o.Clock = fixedClock(5_000_000)
	j := openFS(t, d, o)
	first := mustAppend(t, j, one(event("e", 1)))[0]
	j.Close()
	o.Clock = fixedClock(1_000)
	j = openFS(t, d, o)
	second := mustAppend(t, j, one(event("e", 2)))[0]
	before, after := causal.HLC{Millis: first.Time, Tick: first.Tick}, causal.HLC{Millis: second.Time, Tick: second.Tick}
	if after.Compare(before) <= 0 || second.ID.Compare(first.ID) <= 0 {
		t.Errorf("%s %s, then %s %s", before, first.ID, after, second.ID)
	}
}

// Index files are as good without a checkpoint as with one: only those that are missing or damaged are made again.
func TestIndexFilesStayWhenTheLogIsReadThrough(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	o := journal.Options{Name: "indexed", SegmentBytes: small}
	j := openDir(t, dir, o)
	fill(t, j, 4)
	want, err := audit(j)
	if err := errors.Join(err, j.Close()); err != nil {
		t.Fatal(err)
	}
	caches, err := filepath.Glob(filepath.Join(dir, "segments", "*.idx"))
	if err != nil || len(caches) != 3 {
		t.Fatalf("%q, %v", caches, err)
	}
	before := make([]os.FileInfo, len(caches))
	for i, name := range caches {
		if before[i], err = os.Stat(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Remove(caches[1]), os.Remove(filepath.Join(dir, "checkpoint"))); err != nil {
		t.Fatal(err)
	}
	got, err := look(t, dir, o)
	if err == nil {
		err = sameEvents(got, want)
	}
	if err != nil {
		t.Error(err)
	}
	for i, name := range caches {
		after, err := os.Stat(name)
		if err != nil {
			t.Error(err)
		} else if stayed := os.SameFile(before[i], after) && before[i].ModTime().Equal(after.ModTime()); stayed != (i != 1) {
			t.Errorf("%s stayed: %v", name, stayed)
		}
	}
}
