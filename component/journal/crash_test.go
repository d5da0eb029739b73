package journal_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/keystore"
)

// workload appends from several goroutines: single events and batches, with and without keys,
// over enough bytes for a few segments. Every acknowledgement goes into promises.
func workload(tb testing.TB, j *journal.Journal, promises *acked, writers, each int) {
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				b := &journal.Batch{Events: []journal.Append{large(fmt.Sprintf("e%d", w), 200+37*((w+i)%50))}}
				if i%3 == 1 {
					b.Events = append(b.Events, event(fmt.Sprintf("e%d", w+1), uint64(i)), large("shared", 1500))
				}
				if i%2 == 0 {
					b.Key = fmt.Sprintf("w%d-%d", w, i)
				}
				r, err := j.Append(context.Background(), b)
				if err != nil {
					tb.Error(err)
					return
				}
				promises.add(b, r)
			}
		})
	}
	wg.Wait()
}

// A crash may come before any operation on the disk, and it may be the process that dies or the
// machine that loses its power, with any of the unsynced sectors written or not. Whatever it is,
// the next Open has every acknowledged event, whole batches, and its keys.
func TestAcknowledgedAppendsSurviveACrashAtAnyMoment(t *testing.T) {
	t.Parallel()
	for _, seal := range []keystore.Granularity{keystore.None, keystore.Entity} {
		t.Run(seal.String(), func(t *testing.T) {
			t.Parallel()
			d := newDisk(t)
			o := journal.Options{Name: "crash", Seal: seal, SegmentBytes: small}
			var promises acked
			seen := map[uint64]bool{}
			moments := 0
			d.atEach(func(op faultfs.Op, name string) {
				moments++
				promised := promises.upTo()
				images := map[string]image{
					"kill":                         d.killed(),
					"power failure":                d.lost(nothing),
					"power failure, some unsynced": d.lost(coin(uint64(moments))),
				}
				for what, im := range images {
					if key := im.digest() + uint64(len(promised)); seen[key] || t.Failed() {
						continue
					} else {
						seen[key] = true
					}
					if err := mustHold(im.boot(t), o, promised); err != nil {
						t.Errorf("%s before operation %d, %s %s: %v", what, moments, op, name, err)
					}
				}
			})
			j := openFS(t, d, o)
			workload(t, j, &promises, 3, 20)
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d moments, %d images, %d batches", moments, len(seen), len(promises.batches))
			if err := mustHold(d, o, promises.upTo()); err != nil {
				t.Error(err)
			}
		})
	}
}

// What a killed process left is readable without being durable: a name whose folder was not
// synced, frames that are in the system's cache alone. The next process must not build upon it
// what a loss of power would take along.
func TestARecoveredJournalSurvivesALossOfPower(t *testing.T) {
	t.Parallel()
	for _, seal := range []keystore.Granularity{keystore.None, keystore.Entity} {
		t.Run(seal.String(), func(t *testing.T) {
			t.Parallel()
			d := newDisk(t)
			o := journal.Options{Name: "crash", Seal: seal, SegmentBytes: small}
			var promises acked
			moments := 0
			d.atEach(func(op faultfs.Op, name string) {
				moments++
				if t.Failed() {
					return
				}
				promised := promises.upTo()
				im := d.killed()
				second := im.boot(t)
				j, err := journal.Open(context.Background(), second, o)
				if err != nil {
					t.Errorf("kill before operation %d, %s %s: %v", moments, op, name, err)
					return
				}
				b := keyed("again", event("second", 7), event("e0", 8))
				r, err := j.Append(context.Background(), b)
				if err != nil {
					t.Errorf("kill before operation %d, %s %s: %v", moments, op, name, err)
				}
				second.mu.Lock()
				after := second.lost(nothing)
				second.mu.Unlock()
				j.Close()
				promised = append(slices.Clone(promised), ackedBatch{b, r})
				if err := mustHold(after.boot(t), o, promised); err != nil {
					t.Errorf("kill before operation %d, %s %s, then an append and a power failure: %v", moments, op, name, err)
				}
			})
			j := openFS(t, d, o)
			workload(t, j, &promises, 2, 15)
			j.Close()
			t.Logf("%d moments", moments)
		})
	}
}

// A key is remembered whether the state comes from the checkpoint, from the log, or from a log
// whose caches are gone.
func TestARetryGetsItsFirstReceiptAfterReopening(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	o := journal.Options{Name: "retry", Seal: keystore.Entity, SegmentBytes: small}
	var promises acked
	j := openFS(t, d, o)
	workload(t, j, &promises, 2, 40)
	if j.Stats().Segments < 3 {
		t.Fatalf("only %d segments", j.Stats().Segments)
	}
	killed := copyDir(t, d.dir)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	without := func(dir string, gone ...string) string {
		dir = copyDir(t, dir)
		filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			for _, g := range gone {
				if strings.HasSuffix(path, g) {
					return os.Remove(path)
				}
			}
			return err
		})
		return dir
	}
	for name, dir := range map[string]string{
		"closed":                        without(d.dir),
		"killed":                        without(killed),
		"closed, without checkpoint":    without(d.dir, "checkpoint"),
		"closed, without indexes":       without(d.dir, ".idx"),
		"closed, without either":        without(d.dir, "checkpoint", ".idx"),
		"killed, without indexes":       without(killed, ".idx"),
		"killed, with a next.tmp of it": without(killed, "nothing"),
	} {
		if err := mustHold(realDir(t, dir), o, promises.upTo()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := mustHold(realDir(t, dir), o, promises.upTo()); err != nil {
			t.Errorf("%s, opened again: %v", name, err)
		}
	}
}
