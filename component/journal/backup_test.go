package journal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"testing"

	"batpak/causal"
	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/keystore"
)

var backedUp = journal.Options{Name: "backup", Seal: keystore.Entity, SegmentBytes: smallest}

// busy appends to ten entities, and erases and renews them, as often as it is told. It says what was promised.
type busy struct {
	tb     testing.TB
	j      *journal.Journal
	done   acked
	more   chan struct{} // a token for each step
	ended  chan struct{}
	erased chan map[causal.KeyID]bool // the keys of erasures that have returned
}

func keepBusy(tb testing.TB, j *journal.Journal) *busy {
	b := &busy{tb: tb, j: j, more: make(chan struct{}, 1000), ended: make(chan struct{}), erased: make(chan map[causal.KeyID]bool, 1)}
	b.erased <- map[causal.KeyID]bool{}
	go func() {
		defer close(b.ended)
		for i := 0; ; i++ {
			if _, ok := <-b.more; !ok {
				return
			}
			entity := fmt.Sprint("e", i%10)
			batch := &journal.Batch{Events: []journal.Append{renewing(large(entity, 200+i%7*300)), event("kept", uint64(i))}}
			r, err := j.Append(context.Background(), batch)
			if err != nil {
				tb.Error(err)
				return
			}
			b.done.add(batch, r)
			if i%5 == 4 {
				s, err := j.Shred(context.Background(), erasureOf(entity))
				if err != nil {
					tb.Error(err)
					return
				}
				erased := <-b.erased
				for _, id := range s.Keys {
					erased[id] = true
				}
				b.erased <- erased
			}
		}
	}()
	return b
}

func (b *busy) end() {
	close(b.more)
	<-b.ended
}

// erasedNow is what was erased by now.
func (b *busy) erasedNow() map[causal.KeyID]bool {
	erased := <-b.erased
	c := map[causal.KeyID]bool{}
	for id := range erased {
		c[id] = true
	}
	b.erased <- erased
	return c
}

// isPrefix opens a copy and compares it with what it is a copy of: it verifies, is a prefix, and has what
// was acknowledged before. It returns the copy's events by state.
func isPrefix(t *testing.T, c journal.Copied, fsys faultfs.FS, of *journal.Journal, acknowledged []ackedBatch, erased map[causal.KeyID]bool) map[causal.PayloadState]int {
	t.Helper()
	j, err := journal.Open(t.Context(), fsys, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	events, err := audit(j)
	if err != nil {
		t.Fatal(err)
	}
	if c.Head != j.Visible() || c.Name != j.Name() || c.Lineage != j.Lineage() || c.Head > 0 && c.Hash != events[len(events)-1].Hash {
		t.Fatalf("it says %+v, and is at %d", c, j.Visible())
	}
	for i := range events {
		ev, err := of.GetSeq(events[i].Seq)
		if err != nil || !bytes.Equal(ev.Envelope, events[i].Envelope) {
			t.Fatalf("event %d is another one: %v", events[i].Seq, err)
		}
	}
	for _, a := range acknowledged {
		for _, r := range a.receipts {
			if r.Seq > uint64(len(events)) {
				t.Fatalf("event %d was acknowledged before, and the copy ends at %d", r.Seq, len(events))
			}
		}
	}
	states := map[causal.PayloadState]int{}
	for i := range events {
		_, state, err := j.Payload(&events[i])
		if err != nil {
			t.Fatal(err)
		}
		states[state]++
		if enc := events[i].Enc; enc != nil && erased[enc.Key] && state != causal.Shredded {
			t.Fatalf("event %d was erased before, and is %s", events[i].Seq, state)
		}
	}
	return states
}

func TestBackupOfAJournalAtWorkIsAPrefix(t *testing.T) {
	t.Parallel()
	src := realDir(t, tempDir(t))
	j := openFS(t, src, backedUp)
	b := keepBusy(t, j)
	defer b.end()
	moved := 0
	for round := range 20 {
		for range 40 {
			b.more <- struct{}{}
		}
		if err := j.Wait(t.Context(), 80*uint64(round)+20); err != nil { // in the middle of it
			t.Fatal(err)
		}
		before, erased := b.done.upTo(), b.erasedNow()
		keys := round%2 == 0
		to := realDir(t, tempDir(t))
		began := j.Visible()
		var c journal.Copied
		var err error
		if round%4 < 2 {
			c, err = journal.Backup(t.Context(), src, to, journal.BackupOptions{Keys: keys})
		} else {
			var stream bytes.Buffer
			if c, err = journal.BackupTar(t.Context(), src, &stream, journal.BackupOptions{Keys: keys}); err == nil {
				var r journal.Restored
				r, err = journal.RestoreTar(t.Context(), &stream, to, journal.RestoreOptions{})
				if r.Head != c.Head || r.Hash != c.Hash || r.Keys != c.Keys || r.Segments != c.Segments {
					t.Errorf("backed up %+v, restored %+v", c, r)
				}
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if j.Visible() > began {
			moved++
		}
		if c.Keys != keys {
			t.Errorf("with keys %v, and it says %v", keys, c.Keys)
		}
		states := isPrefix(t, c, to, j, before, erased)
		if keys && states[causal.KeyMissing] > 0 || !keys && states[causal.Opened] > 0 {
			t.Errorf("with keys %v: %v", keys, states)
		}
		if round == 19 {
			t.Logf("%d events in %d segments, %v; %d of 20 backups while it grew", c.Head, c.Segments, states, moved)
		}
	}
	if moved == 0 {
		t.Error("nothing was appended while it was backed up")
	}
}

// smallJournal is one with keys that are alive and keys that were destroyed, over some segments.
func smallJournal(t testing.TB, o journal.Options) faultfs.FS {
	t.Helper()
	src := realDir(t, tempDir(t))
	j := openFS(t, src, o)
	for i := range 24 {
		mustAppend(t, j, &journal.Batch{Events: []journal.Append{large("a", 900), event("b", uint64(i))}})
	}
	mustShred(t, j, erasureOf("a"))
	mustAppend(t, j, one(event("b", 99)))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return src
}

func TestBackupTellsKeysThatAreMissingFromKeysThatWereDestroyed(t *testing.T) {
	t.Parallel()
	src := smallJournal(t, backedUp)
	for _, keys := range []bool{true, false} {
		to := realDir(t, tempDir(t))
		c, err := journal.Backup(t.Context(), src, to, journal.BackupOptions{Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		want := causal.KeyMissing
		if keys {
			want = causal.Opened
		}
		again := realDir(t, tempDir(t))
		if _, err := journal.Restore(t.Context(), to, again, journal.RestoreOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, fsys := range []faultfs.FS{to, again} {
			j := openFS(t, fsys, journal.Options{})
			if j.Visible() != c.Head {
				t.Errorf("it ends at %d, and should at %d", j.Visible(), c.Head)
			}
			for seq, want := range map[uint64]causal.PayloadState{1: causal.Shredded, 2: want, 49: causal.Plain, 50: want} {
				if got := stateOf(t, j, seq); got != want {
					t.Errorf("keys %v: event %d is %s, want %s", keys, seq, got, want)
				}
			}
			mustAppend(t, j, one(event("b", 100))) // it goes on
		}
	}
}

func TestBackupOfAJournalWithoutKeysAndOfAnEmptyOne(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 3} {
		src := realDir(t, tempDir(t))
		j := openFS(t, src, journal.Options{Name: "plain"})
		for i := range n {
			mustAppend(t, j, one(event("a", uint64(i))))
		}
		to := realDir(t, tempDir(t))
		c, err := journal.Backup(t.Context(), src, to, journal.BackupOptions{Keys: true})
		if err != nil || c.Keys || c.Head != uint64(n) {
			t.Fatalf("%+v, %v", c, err)
		}
		isPrefix(t, c, to, j, nil, nil)
		if _, err := journal.Restore(t.Context(), to, realDir(t, tempDir(t)), journal.RestoreOptions{}); err != nil {
			t.Error(err)
		}
	}
}

func TestBackupRefusesFoldersThatAreNotEmptyAndFoldersWithoutAJournal(t *testing.T) {
	t.Parallel()
	src := smallJournal(t, backedUp)
	if _, err := journal.Backup(t.Context(), src, src, journal.BackupOptions{}); !errors.Is(err, journal.ErrNotEmpty) {
		t.Errorf("into the journal itself: %v", err)
	}
	nothing, to := realDir(t, tempDir(t)), realDir(t, tempDir(t))
	if _, err := journal.Backup(t.Context(), nothing, to, journal.BackupOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of nothing: %v", err)
	}
	wantNames(t, to)
	if _, err := journal.BackupTar(t.Context(), nothing, io.Discard, journal.BackupOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of nothing: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := journal.Backup(ctx, src, to, journal.BackupOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	wantNames(t, to)
}

// wantNames checks what is in a folder.
func wantNames(t testing.TB, fsys faultfs.FS, want ...string) {
	t.Helper()
	entries, err := fsys.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if fmt.Sprint(names) != fmt.Sprint(want) {
		t.Errorf("the folder has %v, want %v", names, want)
	}
}

// A byte that rotted anywhere in the frames of the source is found by the backup, unless it is in the last group,
// of which nothing says that it was ever whole.
func TestBackupOfADamagedJournalIsRefused(t *testing.T) {
	t.Parallel()
	src := smallJournal(t, backedUp)
	names := segments(t, src)
	for i, name := range names {
		b, err := fs.ReadFile(src, name)
		if err != nil {
			t.Fatal(err)
		}
		groups, _ := spans(b)
		for _, g := range groups[:len(groups)-1] {
			off := g.start + rand.IntN(g.end-g.start-8) // in 8 bytes may be padding
			flipByte(t, src, name, int64(off))
			_, err := journal.BackupTar(t.Context(), src, io.Discard, journal.BackupOptions{})
			if (i < len(names)-1 || g.events > 0) && !errors.Is(err, journal.ErrDamaged) {
				t.Errorf("%s flipped at %d: %v", name, off, err)
			}
			flipByte(t, src, name, int64(off))
		}
	}
	if _, err := journal.BackupTar(t.Context(), src, io.Discard, journal.BackupOptions{}); err != nil {
		t.Error(err) // the control
	}
}

// segments are the names of a journal's segments.
func segments(t testing.TB, fsys faultfs.FS) []string {
	t.Helper()
	names, err := fs.Glob(fsys, "segments/*.seg")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	return names
}

// flipByte turns the bits of a byte in a file.
func flipByte(t testing.TB, fsys faultfs.FS, name string, off int64) {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0xff
	if _, err := f.WriteAt(b[:], off); err != nil {
		t.Fatal(err)
	}
}

// What happens between the copy of the log and that of the keys is in the one or in the other: what was
// appended is not in the copy, what was erased is shredded, and no key of what is in it is missing.
func TestBackupWhileItsKeysWait(t *testing.T) {
	t.Parallel()
	src, to := realDir(t, tempDir(t)), realDir(t, tempDir(t))
	j := openFS(t, src, backedUp)
	mustAppend(t, j, &journal.Batch{Events: []journal.Append{event("a", 1), event("b", 2)}})
	in := faultfs.Inject(src)
	arrived, release := hold(in, faultfs.OpOpen, "keys/keyset")
	type outcome struct {
		c   journal.Copied
		err error
	}
	done := make(chan outcome)
	go func() {
		c, err := journal.Backup(context.Background(), in, to, journal.BackupOptions{Keys: true})
		done <- outcome{c, err}
	}()
	arrived()
	for i := range 100 { // more keys than are made ahead
		mustAppend(t, j, one(event(fmt.Sprint("new", i), 1)))
	}
	mustShred(t, j, erasureOf("a"))
	mustAppend(t, j, one(renewing(event("a", 3))))
	release()
	o := <-done
	if o.err != nil || o.c.Head != 2 {
		t.Fatalf("%+v, %v", o.c, o.err)
	}
	c := openFS(t, to, journal.Options{})
	wantStates(t, c, causal.Shredded, causal.Opened)
}

// When a reading of the source fails, or goes wrong by itself, the backup says so or is what it should be.
func TestBackupFromADiskThatReadsWrong(t *testing.T) {
	t.Parallel()
	src := smallJournal(t, backedUp)
	_, want := tarOf(t, src, true)
	const reads = faultfs.OpOpen | faultfs.OpReadAt | faultfs.OpRead | faultfs.OpReadDir | faultfs.OpSyncData
	refused, right := 0, 0
	for _, do := range []faultfs.Effect{faultfs.Fail(errDisk), faultfs.Flip(1), faultfs.Flip(0x80)} {
		on := reads
		if do.String() != faultfs.Fail(errDisk).String() {
			on = faultfs.OpReadAt | faultfs.OpRead
		}
		for n := 1; ; n++ {
			in := faultfs.Inject(src, faultfs.Rule{On: on, Nth: n, Do: do})
			to := realDir(t, tempDir(t))
			c, err := journal.Backup(t.Context(), in, to, journal.BackupOptions{Keys: true})
			if in.Count(on) < n {
				break
			}
			if err != nil {
				refused++
				wantNames(t, to)
				continue
			}
			right++
			again := realDir(t, tempDir(t))
			r, err := journal.Restore(t.Context(), to, again, journal.RestoreOptions{})
			if err != nil || c.Head != want.Head || c.Hash != want.Hash || r.Head != want.Head || r.Hash != want.Hash {
				t.Errorf("%v at %d: backed up %+v, restored %+v, %v", do, n, c, r, err)
			}
		}
	}
	t.Logf("%d refused, %d right", refused, right)
}
