package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/keystore"
)

// keysFail makes the next thing fail that the keyset does to the disk.
var keysFail = faultfs.Rule{
	On:   faultfs.OpWrite | faultfs.OpSync | faultfs.OpSyncData | faultfs.OpRename | faultfs.OpCreate,
	Name: "keys/*", Nth: 1, Do: faultfs.Fail(syscall.EIO),
}

// When the keyset cannot be flushed the caller is told so; but the erasure is on record, nothing opens any more,
// the journal goes on, and the next fence makes it durable, or whoever asks again, or the next Open.
func TestAnErasureWhoseFlushFailsIsFinishedLater(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"next fence", "asking again", "open", "crash"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			d := newDisk(t)
			in := faultfs.Inject(d)
			o := journal.Options{Name: "shred", Seal: keystore.Entity, SegmentBytes: small}
			j := openFS(t, in, o)
			mustAppend(t, j, &journal.Batch{Events: []journal.Append{event("a", 1), event("b", 2)}})
			key := keyOf(t, j, 1)
			in.Add(keysFail)
			s, err := j.Shred(t.Context(), erasureOf("a"))
			if !errors.Is(err, journal.ErrStorage) || errors.Is(err, journal.ErrPoisoned) || s.Receipt.Seq != 0 {
				t.Fatalf("got %+v, %v", s, err)
			}
			wantStates(t, j, causal.Shredded, causal.Opened, causal.Plain)
			if err := appendErr(j, one(event("a", 3))); !errors.Is(err, journal.ErrErased) {
				t.Errorf("append into the erased scope got %v", err)
			}
			onDisk := func() error {
				im := d.snapshot(func() image { return d.lost(nothing) })
				keys, err := keystore.Load(t.Context(), faultfs.Sub(im.boot(t), "keys"), keystore.Entity, keystore.Options{})
				if err != nil {
					t.Fatal(err)
				}
				_, err = keys.ByID(key)
				return err
			}
			switch how {
			case "next fence":
				mustAppend(t, j, one(event("new", 4)))
			case "asking again":
				if s := mustShred(t, j, erasureOf("a")); len(s.Keys) != 0 || s.Receipt.Version != 2 {
					t.Errorf("got %+v", s)
				}
			case "open":
				if err := j.Close(); err != nil {
					t.Fatal(err)
				}
				j = openFS(t, d, o)
			case "crash":
				im := d.snapshot(func() image { return d.lost(nothing) })
				j.Close()
				d = im.boot(t)
				j = openFS(t, d, o)
			}
			if err := onDisk(); !errors.Is(err, keystore.ErrShredded) {
				t.Errorf("the key is on disk: %v", err)
			}
			wantStates(t, j, causal.Shredded, causal.Opened, causal.Plain)
			if n := len(collect(t, j)); n != 1 && how != "asking again" {
				t.Errorf("%d erasures on record", n)
			}
			if _, err := audit(j); err != nil {
				t.Error(err)
			}
		})
	}
}

func collect(tb testing.TB, j *journal.Journal) (all []journal.ErasureRecord) {
	tb.Helper()
	for r, err := range j.Erasures(tb.Context()) {
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// The event is durable before the key is touched, and the key is gone from the disk before the answer.
func TestAnErasureIsOnRecordBeforeItIsDone(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	in := faultfs.Inject(d)
	o := journal.Options{Name: "shred", Seal: keystore.Entity, SegmentBytes: small}
	j := openFS(t, in, o)
	mustAppend(t, j, one(event("a", 1)))
	var states []string
	look := func() { states = append(states, stateOnDisk(t, d)) }
	d.atEach(func(faultfs.Op, string) { look() })
	mustShred(t, j, erasureOf("a"))
	d.atEach(nil)
	d.snapshot(func() image { look(); return image{} })
	if got := strings.Join(slices.Compact(states), "; "); got != "not on record, not done; on record, not done; on record, done" {
		t.Errorf("after a loss of power: %s", got)
	}
}

// stateOnDisk is what a loss of power leaves of the erasure of entity a. The disk's lock is held.
func stateOnDisk(t *testing.T, d *disk) string {
	im := d.lost(nothing)
	keys, err := keystore.Load(t.Context(), faultfs.Sub(im.boot(t), "keys"), keystore.Entity, keystore.Options{})
	if err != nil {
		t.Error(err)
		return err.Error()
	}
	scope, _ := keystore.Entity.Scope(&causal.Header{Coordinate: at("a")})
	state := "not on record"
	if bytes.Contains(im.files[firstSegment], []byte("asked to")) {
		state = "on record"
	}
	if _, err = keys.Get(scope); errors.Is(err, keystore.ErrShredded) {
		return state + ", done"
	}
	return state + ", not done"
}

// An erasure that a killed process left in the system's cache alone is durable in the log before Open
// destroys the key for good: whatever loss of power follows, no key is gone without an event that says so.
func TestOpenFinishesAnErasureOnceItIsDurable(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	in := faultfs.Inject(d)
	o := journal.Options{Name: "shred", Seal: keystore.Entity, SegmentBytes: small}
	j := openFS(t, in, o)
	mustAppend(t, j, one(event("a", 1)))
	mustAppend(t, j, one(event("a", 2))) // what is bound to the scope is on disk by now
	arrived, release := hold(in, faultfs.OpSyncData, firstSegment)
	answered := make(chan error, 1)
	if err := j.SubmitShred(erasureOf("a"), func(_ journal.Shredded, err error) { answered <- err }); err != nil {
		t.Fatal(err)
	}
	arrived()
	im := d.snapshot(d.killed)
	release()
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	again := im.boot(t)
	var states []string
	again.atEach(func(faultfs.Op, string) { states = append(states, stateOnDisk(t, again)) })
	j = openFS(t, again, o)
	again.atEach(nil)
	again.snapshot(func() image { states = append(states, stateOnDisk(t, again)); return image{} })
	if got := strings.Join(slices.Compact(states), "; "); got != "not on record, not done; on record, not done; on record, done" {
		t.Errorf("after a loss of power: %s", got)
	}
	wantStates(t, j, causal.Shredded, causal.Shredded, causal.Plain)
}

// After a write or a sync of the log failed nobody knows whether the erasure is on record: the key stays, and the
// next Open decides. In both cases what the log says is what the keyset does.
func TestAnErasureThatMayNotBeOnRecordIsDecidedByOpen(t *testing.T) {
	t.Parallel()
	for _, op := range []faultfs.Op{faultfs.OpWrite, faultfs.OpSyncData} {
		d := newDisk(t)
		in := faultfs.Inject(d)
		o := journal.Options{Name: "shred", Seal: keystore.Entity, SegmentBytes: small}
		j := openFS(t, in, o)
		mustAppend(t, j, one(event("a", 1)))
		in.Add(faultfs.Rule{On: op, Name: "segments/*.seg", Nth: 1, Do: faultfs.Fail(syscall.EIO)})
		if _, err := j.Shred(t.Context(), erasureOf("a")); !errors.Is(err, journal.ErrPoisoned) {
			t.Fatalf("got %v", err)
		}
		wantStates(t, j, causal.Opened)
		if _, err := j.Shred(t.Context(), erasureOf("a")); !errors.Is(err, journal.ErrPoisoned) {
			t.Errorf("then got %v", err)
		}
		for what, im := range map[string]image{"killed": d.snapshot(d.killed), "lost": d.snapshot(func() image { return d.lost(nothing) })} {
			j := openFS(t, im.boot(t), o)
			want := causal.Opened
			if len(collect(t, j)) > 0 {
				want = causal.Shredded
			}
			if got := stateOf(t, j, 1); got != want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		}
		j.Close()
	}
}

// A disk without room for another segment refuses the erasure, and nothing has happened.
func TestAnErasureWithoutRoomDoesNothing(t *testing.T) {
	t.Parallel()
	in := faultfs.Inject(newDisk(t))
	o := journal.Options{Name: "shred", Seal: keystore.Entity, SegmentBytes: smallest}
	j := openFS(t, in, o)
	mustAppend(t, j, one(event("a", 1)))
	mustAppend(t, j, one(large("b", 11_400)))
	in.Add(faultfs.Rule{On: faultfs.OpRename, Name: "segments/*.seg", Nth: 1, Do: faultfs.Fail(syscall.ENOSPC)})
	e := erasureOf("a")
	e.Reason = strings.Repeat("r", journal.MaxReason)
	if _, err := j.Shred(t.Context(), e); !errors.Is(err, journal.ErrStorage) || errors.Is(err, journal.ErrPoisoned) {
		t.Fatalf("got %v", err)
	}
	wantStates(t, j, causal.Opened, causal.Opened)
	mustAppend(t, j, one(event("a", 2)))
	if s := mustShred(t, j, e); s.Receipt.Seq != 4 || s.Events != 2 {
		t.Errorf("got %+v", s)
	}
}

// forgetful is a gate that keeps what it saw.
type forgetful struct {
	mu   sync.Mutex
	kept map[string]bool
}

func (f *forgetful) Name() string { return "forgetful" }

func (f *forgetful) Judge(p *proposal, _ view) *denial {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept[string(p.Data)] = true
	return nil
}

func (f *forgetful) Forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.kept)
}

func TestGatesForgetWhatIsErased(t *testing.T) {
	t.Parallel()
	f := &forgetful{kept: map[string]bool{}}
	j := openFS(t, newDisk(t), journal.Options{Name: "shred", Seal: keystore.Entity, SegmentBytes: small, Gates: chain(t, f)})
	mustAppend(t, j, one(event("a", 1)))
	mustShred(t, j, erasureOf("a"))
	if len(f.kept) != 0 {
		t.Error("the gate still has the payload")
	}
}

// No file has the plaintext: not before the erasure, not after it, and not when the keyset is one from before.
func TestNoFileHasThePlaintext(t *testing.T) {
	t.Parallel()
	const secret = "ada lovelace, 10 dorset street"
	dir := tempDir(t)
	search := func(when string) {
		t.Helper()
		for name, b := range files(t, dir) {
			if bytes.Contains(b, []byte(secret)) || bytes.Contains(b, []byte("lovelace")) {
				t.Errorf("%s: %s has it", when, name)
			}
		}
	}
	o := journal.Options{Name: "shred", Seal: keystore.Entity, SegmentBytes: smallest, Gates: chain(t, deny)}
	data := append([]byte{0xd9, byte(len(secret))}, secret...)
	j := openDir(t, dir, o)
	for i := range 40 {
		a := journal.Append{Coordinate: at(fmt.Sprint("e", i%2)), Kind: 0x1001, Data: data}
		mustAppend(t, j, &journal.Batch{Events: []journal.Append{a, a, large("fill", 500)}, Key: fmt.Sprint("k", i)})
		_ = appendErr(j, &journal.Batch{Events: []journal.Append{a, event("e0", 666)}})
	}
	search("open")
	if ev, err := j.GetSeq(1); err != nil {
		t.Error(err)
	} else if got, _, err := j.Payload(&ev); !bytes.Equal(got, data) {
		t.Errorf("%q, %v", got, err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	search("closed")
	before := map[string][]byte{}
	for name, b := range files(t, dir) {
		if strings.HasPrefix(name, "keys/") {
			before[name] = b
		}
	}
	j = openDir(t, dir, o)
	key := keyOf(t, j, 1)
	mustShred(t, j, erasureOf("e0"))
	search("erased")
	mustAppend(t, j, one(renewing(event("e0", 1))))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	search("erased and closed")
	for name, b := range before {
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	j = openDir(t, dir, o)
	search("keyset from before")
	for ev, err := range j.Events(t.Context(), codec.Selection{Scope: "s"}) {
		if err != nil {
			t.Fatal(err)
		}
		got, state, err := j.Payload(&ev)
		if err != nil || ev.Enc.Key == key && (state != causal.Shredded || got != nil) || ev.Entity == "e1" && !bytes.Equal(got, data) {
			t.Fatalf("event %d of %s: %q, %s, %v", ev.Seq, ev.Entity, got, state, err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	search("keyset from before, closed")
}

// A checkpoint hides the log up to its sequence from the keyset, so there is none that the keyset on disk
// does not know of.
func TestACheckpointWaitsForTheKeyset(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	in := faultfs.Inject(d)
	o := journal.Options{Name: "shred", Seal: keystore.Entity, SegmentBytes: small}
	j := openFS(t, in, o)
	mustAppend(t, j, &journal.Batch{Events: []journal.Append{event("a", 1), event("b", 2)}})
	fail := keysFail
	fail.Sticky = true
	in.Add(fail)
	if _, err := j.Shred(t.Context(), erasureOf("a")); !errors.Is(err, journal.ErrStorage) {
		t.Fatalf("got %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(d.dir, "checkpoint")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a checkpoint: %v", err)
	}
	j = openFS(t, d, o)
	wantStates(t, j, causal.Shredded, causal.Opened, causal.Plain)
}

// A log from before the keyset goes on from there, and the keyset must not take what comes for what it has seen.
func TestAKeysetThatIsAheadOfTheLogGoesBack(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	o := journal.Options{Name: "shred", Seal: keystore.Entity, SegmentBytes: small}
	j := openFS(t, d, o)
	mustAppend(t, j, one(event("a", 1)))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	before := files(t, d.dir)
	j = openFS(t, d, o)
	for i := range uint64(9) {
		mustAppend(t, j, one(event("a", i)))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	m := files(t, d.dir)
	for name, b := range before {
		if !strings.HasPrefix(name, "keys/") {
			m[name] = b
		}
	}
	dir := tempDir(t)
	place(t, dir, m)
	j = openDir(t, dir, o)
	now := tempDir(t) // as a process that is killed now leaves it
	place(t, now, files(t, dir))
	keys, err := keystore.Load(t.Context(), faultfs.Sub(realDir(t, now), "keys"), keystore.Entity, keystore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if keys.Seen() != 1 {
		t.Errorf("the keyset has seen event %d of 1", keys.Seen())
	}
	wantStates(t, j, causal.Opened)
}
