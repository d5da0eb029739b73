package journal_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/keystore"
)

// erasureOf is an erasure of an entity's key scope.
func erasureOf(entity string) journal.Erasure {
	c := at(entity)
	return journal.Erasure{Entity: &c, Reason: "asked to"}
}

func renewing(a journal.Append) journal.Append {
	a.Renew = true
	return a
}

func mustShred(tb testing.TB, j *journal.Journal, e journal.Erasure) journal.Shredded {
	tb.Helper()
	s, err := j.Shred(context.Background(), e)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// stateOf is what became of a payload.
func stateOf(tb testing.TB, j *journal.Journal, seq uint64) causal.PayloadState {
	tb.Helper()
	ev, err := j.GetSeq(seq)
	if err != nil {
		tb.Fatal(err)
	}
	data, state, err := j.Payload(&ev)
	if err != nil || (data != nil) != (state == causal.Opened || state == causal.Plain) {
		tb.Fatalf("event %d: %s with %x, %v", seq, state, data, err)
	}
	return state
}

func wantStates(tb testing.TB, j *journal.Journal, want ...causal.PayloadState) {
	tb.Helper()
	for i, w := range want {
		if got := stateOf(tb, j, uint64(i+1)); got != w {
			tb.Errorf("event %d is %s, want %s", i+1, got, w)
		}
	}
}

// remembers says whether keystores keep on disk what they have seen of the log. One that does not is as
// good as told everything, and its journal has to lose the checkpoint to learn again.
func remembers(tb testing.TB) bool {
	tb.Helper()
	s, err := keystore.New(tb.Context(), realDir(tb, tempDir(tb)), keystore.Entity, keystore.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return s.Seen() != math.MaxUint64
}

// waitsForUse says whether the keystore waits for the first use of a successor before a scope has it.
var waitsForUse = sync.OnceValue(func() bool {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	root, err := os.OpenRoot(dir)
	if err != nil {
		panic(err)
	}
	defer root.Close()
	s, err := keystore.New(context.Background(), faultfs.Dir(root), keystore.Kind, keystore.Options{})
	if err != nil {
		panic(err)
	}
	scope, _ := keystore.Kind.Scope(&causal.Header{Kind: 0x1001})
	for _, step := range []func() error{
		func() error { _, err := s.GetOrCreate(scope); return err },
		func() error { _, err := s.Destroy(scope); return err },
		func() error { _, err := s.Successor(scope); return err },
	} {
		if err := step(); err != nil {
			panic(err)
		}
	}
	_, err = s.Get(scope)
	return errors.Is(err, keystore.ErrShredded)
})

// snapshot is killed or lost while a journal runs.
func (d *disk) snapshot(how func() image) image {
	d.mu.Lock()
	defer d.mu.Unlock()
	return how()
}

func TestAnErasureIsOnRecordAndItsEventsNeverOpenAgain(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	o := journal.Options{Name: "shred", Seal: keystore.Entity, SegmentBytes: small}
	j := openFS(t, d, o)
	mustAppend(t, j, one(event("a", 1)))
	mustAppend(t, j, &journal.Batch{Events: []journal.Append{event("a", 2), event("b", 3)}})
	e := erasureOf("a")
	e.Actor = "ada"
	s := mustShred(t, j, e)
	if s.Receipt.Seq != 4 || s.Receipt.Version != 1 || s.Receipt.Durable != codec.AckDisk || len(s.Keys) != 1 || s.Events != 2 {
		t.Fatalf("got %+v", s)
	}
	ev, err := j.Get(s.Receipt.ID)
	if err != nil {
		t.Fatal(err)
	}
	if ev.Coordinate != (causal.Coordinate{Scope: causal.SystemScope, Entity: "erasures"}) || ev.Kind != causal.KindShred ||
		ev.Enc != nil || len(ev.Gates) != 1 || ev.Gates[0] != "!shred" {
		t.Errorf("the event is %+v", ev.Header)
	}
	if err := appendErr(j, one(event("a", 4))); !errors.Is(err, journal.ErrErased) {
		t.Errorf("append into the erased scope got %v", err)
	}
	mustAppend(t, j, one(event("b", 5)))
	check := func(j *journal.Journal) {
		t.Helper()
		wantStates(t, j, causal.Shredded, causal.Shredded, causal.Opened, causal.Plain, causal.Opened)
		var records []journal.ErasureRecord
		for r, err := range j.Erasures(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, r)
		}
		if len(records) != 1 || *records[0].Entity != at("a") || records[0].Reason != "asked to" || records[0].Actor != "ada" ||
			records[0].Keys[0] != s.Keys[0] || records[0].Events != 2 || records[0].Seq != 4 || records[0].ID != s.Receipt.ID ||
			records[0].Time.Millis != s.Receipt.Time {
			t.Errorf("on record are %+v", records)
		}
		if _, err := audit(j); err != nil {
			t.Error(err)
		}
	}
	check(j)
	for _, how := range []string{"closed", "without caches", "killed"} {
		switch how {
		case "killed":
			im := d.snapshot(func() image { return d.lost(nothing) })
			j.Close()
			d = im.boot(t)
		default:
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
		}
		for name := range d.killed().files {
			if how == "without caches" && isCache(name) {
				if err := d.Remove(name); err != nil {
					t.Fatal(err)
				}
			}
		}
		j = openFS(t, d, o)
		check(j)
		if err := appendErr(j, one(event("a", 4))); !errors.Is(err, journal.ErrErased) {
			t.Errorf("%s: append into the erased scope got %v", how, err)
		}
	}
}

// Whoever asks again, because the answer was lost or by himself, is on record too, and nothing more is
// destroyed: not even the key that the scope has got meanwhile is named by the first erasure.
func TestErasingAgainIsOnRecordAndDestroysNothing(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	o := journal.Options{Name: "shred", Seal: keystore.Entity, SegmentBytes: small}
	j := openFS(t, d, o)
	mustAppend(t, j, one(event("a", 1)))
	mustShred(t, j, erasureOf("a"))
	again := mustShred(t, j, erasureOf("a"))
	if len(again.Keys) != 0 || again.Events != 0 || again.Receipt.Seq != 3 || again.Receipt.Version != 2 {
		t.Fatalf("got %+v", again)
	}
	mustAppend(t, j, one(renewing(event("a", 2)))) // events 4 and 5
	j.Close()
	for name := range d.killed().files {
		if isCache(name) {
			if err := d.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	j = openFS(t, d, o)
	wantStates(t, j, causal.Shredded, causal.Plain, causal.Plain, causal.Plain, causal.Opened)
	last := mustShred(t, j, erasureOf("a"))
	if len(last.Keys) != 1 || last.Events != 1 {
		t.Errorf("the erasure after the renewal: %+v", last)
	}
	wantStates(t, j, causal.Shredded, causal.Plain, causal.Plain, causal.Plain, causal.Shredded)
}

// What is in flight before an erasure is covered by it and counted, what is behind it is refused.
func TestAnErasureIsABarrierAmongAppendsInFlight(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{Name: "shred", Seal: keystore.Entity, SegmentBytes: small})
	for round := range 20 {
		entity := fmt.Sprint("e", round)
		var answers sync.WaitGroup
		kept, refused := 0, 0 // by the reply goroutine alone
		submit := func(n int) {
			for i := range n {
				answers.Add(1)
				err := j.Submit(one(event(entity, uint64(i))), func(_ []codec.Receipt, err error) {
					defer answers.Done()
					switch {
					case err == nil:
						kept++
					case errors.Is(err, journal.ErrErased):
						refused++
					default:
						t.Error(err)
					}
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		submit(1 + round*5)
		answers.Add(1)
		var got journal.Shredded
		if err := j.SubmitShred(erasureOf(entity), func(s journal.Shredded, err error) {
			defer answers.Done()
			if got = s; err != nil {
				t.Error(err)
			}
		}); err != nil {
			t.Fatal(err)
		}
		submit(7)
		answers.Wait()
		if want := 1 + round*5; kept != want || refused != 7 || got.Events != uint64(want) {
			t.Errorf("round %d: %d kept, %d refused, %d events erased; want %d, 7, %d", round, kept, refused, got.Events, want, want)
		}
	}
	if _, err := audit(j); err != nil {
		t.Error(err)
	}
}

func TestTheCountOfEventsIsExactAcrossOpens(t *testing.T) {
	t.Parallel()
	for _, caches := range []bool{true, false} {
		d := newDisk(t)
		o := journal.Options{Name: "shred", Seal: keystore.Entity, SegmentBytes: smallest}
		n := uint64(0)
		for range 4 {
			j := openFS(t, d, o)
			for range 9 {
				mustAppend(t, j, &journal.Batch{Events: []journal.Append{large("a", 900), large("b", 900), large("a", 10)}})
				n += 2
			}
			if n%4 == 2 { // as a process that was killed leaves it, with the last checkpoint
				im := d.snapshot(d.killed)
				j.Close()
				d = im.boot(t)
			}
			j.Close()
			for name := range d.killed().files {
				if !caches && isCache(name) {
					if err := d.Remove(name); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		j := openFS(t, d, o)
		if s := mustShred(t, j, erasureOf("a")); s.Events != n {
			t.Errorf("caches %v: %d events, want %d", caches, s.Events, n)
		}
		if s := mustShred(t, j, erasureOf("b")); s.Events != n/2 {
			t.Errorf("caches %v: %d events, want %d", caches, s.Events, n/2)
		}
	}
}

// An erasure that the log has and the keyset has not is applied before the journal is handed out, also
// when the keyset is one from before the erasure and there is a checkpoint from after it.
func TestAKeysetFromBeforeTheErasureOpensNothing(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	o := journal.Options{Name: "shred", Seal: keystore.Entity, SegmentBytes: smallest}
	j := openFS(t, d, o)
	for i := range 30 {
		mustAppend(t, j, &journal.Batch{Events: []journal.Append{large("a", 600), event("b", uint64(i))}})
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	before := readAll(t, faultfs.Sub(d, "keys"))
	j = openFS(t, d, o)
	first := mustShred(t, j, erasureOf("a"))
	mustAppend(t, j, one(renewing(event("a", 1)))) // events 62 and 63
	mustAppend(t, j, one(event("c", 1)))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for name, b := range before {
		if err := faultfs.Publish(d, "keys/"+name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !remembers(t) {
		if err := d.Remove("checkpoint"); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		j = openFS(t, d, o)
		for seq := uint64(1); seq <= 60; seq++ {
			want := causal.Shredded
			if seq%2 == 0 {
				want = causal.Opened
			}
			if got := stateOf(t, j, seq); got != want {
				t.Fatalf("event %d is %s, want %s", seq, got, want)
			}
		}
		if _, err := audit(j); err != nil {
			t.Error(err)
		}
		if err := appendErr(j, one(event("b", 1))); err != nil {
			t.Error(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := keystore.Load(t.Context(), faultfs.Sub(d, "keys"), keystore.Entity, keystore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.ByID(first.Keys[0]); !errors.Is(err, keystore.ErrShredded) {
		t.Errorf("the key on disk: %v", err)
	}
}
