package journal_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
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

var keysetWrite = faultfs.Rule{On: faultfs.OpWrite, Name: "keys/*", Nth: 1, Do: faultfs.Fail(syscall.EIO)}

// unreserved makes each key when it is needed, so that the fence has something to do.
var unreserved = keystore.Options{Reserve: -1}

// keyWrites counts the writes to the keyset.
func keyWrites(in *faultfs.Injector) (n int) {
	for _, c := range in.Trace() {
		if c.Op == faultfs.OpWrite && strings.HasPrefix(c.Name, "keys/") {
			n++
		}
	}
	return n
}

// A flush of the keys that fails writes nothing of the group. The key stays in memory and the
// keyset dirty, so the next append under the same scope flushes again before it is acknowledged.
func TestAFailedFenceWritesNothingAndTheNextAppendFlushesAgain(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]faultfs.Rule{
		"write": {On: faultfs.OpWrite, Name: "keys/*", Nth: 1, Do: faultfs.Fail(syscall.ENOSPC)},
		"sync":  {On: faultfs.OpSync | faultfs.OpSyncData, Name: "keys/*", Nth: 1, Do: faultfs.Fail(syscall.EIO)},
		"state": {On: faultfs.OpWrite, Name: "keys/*", Nth: 2, Do: faultfs.Fail(syscall.EIO)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDisk(t)
			in := faultfs.Inject(d)
			o := journal.Options{Name: "fence", Seal: keystore.Entity, Keys: unreserved, SegmentBytes: small}
			j := openFS(t, in, o)
			mustAppend(t, j, one(event("old", 1)))
			segment := filepath.Join(d.dir, firstSegment)
			before, err := os.ReadFile(segment)
			if err != nil {
				t.Fatal(err)
			}

			in.Add(rule)
			if err := appendErr(j, one(event("new", 2))); !errors.Is(err, journal.ErrStorage) || errors.Is(err, journal.ErrPoisoned) {
				t.Fatalf("append got %v, want ErrStorage", err)
			}
			if j.Poisoned() != nil {
				t.Fatalf("poisoned by the keys: %v", j.Poisoned())
			}
			after, err := os.ReadFile(segment)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(before, after) {
				t.Error("the segment has changed")
			}
			if j.Visible() != 1 || j.Head(stream("new")) != (causal.Head{}) {
				t.Error("something of the batch is visible")
			}

			flushes := keyWrites(in)
			r := mustAppend(t, j, one(event("new", 3)))
			if keyWrites(in) == flushes {
				t.Error("acknowledged without another flush")
			}
			if r[0].Seq != 2 || r[0].Version != 1 {
				t.Errorf("got sequence %d, version %d", r[0].Seq, r[0].Version)
			}
			flushes = keyWrites(in)
			mustAppend(t, j, one(event("new", 4)))
			if keyWrites(in) != flushes {
				t.Error("flushed a clean keyset")
			}
			d.mu.Lock()
			im := d.lost(nothing)
			d.mu.Unlock()
			b := one(event("new", 3))
			if err := mustHold(im.boot(t), o, []ackedBatch{{b, r}}); err != nil {
				t.Errorf("after a loss of power: %v", err)
			}
		})
	}
}

// Groups that were staged behind the one whose keys could not be flushed were built upon it. They
// are staged again and succeed, with the places they get then.
func TestGroupsBehindAFailedFenceAreStagedAgain(t *testing.T) {
	t.Parallel()
	in := faultfs.Inject(newDisk(t))
	judged := make(chan uint64, 64)
	j := openFS(t, in, journal.Options{Name: "fence", Seal: keystore.Entity, Keys: unreserved, SegmentBytes: small,
		Gates: chain(t, gate("count", func(p *proposal, v view) *denial {
			judged <- v.Head(p.Header.Stream()).Version
			return nil
		}))})
	arrived, release := hold(in, faultfs.OpWrite, "keys/*")
	in.Add(keysetWrite)
	var answers sync.WaitGroup
	submit := func(b *journal.Batch, staged uint64, want error, seq, version uint64) {
		answers.Add(1)
		err := j.Submit(b, func(r []codec.Receipt, err error) {
			defer answers.Done()
			switch {
			case !errors.Is(err, want):
				t.Errorf("got %v, want %v", err, want)
			case want == nil && (r[0].Seq != seq || r[0].Version != version):
				t.Errorf("got sequence %d version %d, want %d and %d", r[0].Seq, r[0].Version, seq, version)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if v := <-judged; v != staged {
			t.Errorf("judged at version %d, want %d", v, staged)
		}
	}
	// The first one is at the fence, the others are staged upon it: versions 2 and 3 of the stream.
	submit(one(event("e", 1)), 0, journal.ErrStorage, 0, 0)
	arrived()
	submit(keyed("k", event("e", 2)), 1, nil, 1, 1)
	submit(one(event("e", 3)), 2, nil, 2, 2)
	release()
	answers.Wait()
	again := []uint64{<-judged, <-judged}
	if again[0] != 0 || again[1] != 1 {
		t.Errorf("judged again at versions %v, want the durable state", again)
	}
	if r := mustAppend(t, j, keyed("k", event("e", 2))); !r[0].Duplicate || r[0].Seq != 1 {
		t.Errorf("retry got %+v", r[0])
	}
	if _, err := audit(j); err != nil {
		t.Error(err)
	}
	if ev, err := j.GetSeq(1); err != nil || ev.Version != 1 {
		t.Errorf("event 1: version %d, %v", ev.Version, err)
	}
}

// Whatever moment a copy is taken at, every ciphertext in it has its key in the keyset beside it.
func TestNoCiphertextIsWrittenBeforeItsKey(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	in := faultfs.Inject(d)
	o := journal.Options{Name: "fence", Seal: keystore.Event, Keys: unreserved, SegmentBytes: small}
	moments, sealed := 0, 0
	d.atEach(func(op faultfs.Op, name string) {
		moments++
		for what, im := range map[string]image{"kill": d.killed(), "power failure": d.lost(nothing)} {
			if im.files["journal.meta"] == nil || t.Failed() {
				continue
			}
			j, err := journal.Open(context.Background(), im.boot(t), o)
			if err != nil {
				t.Errorf("%s before operation %d, %s %s: %v", what, moments, op, name, err)
				continue
			}
			for ev, err := range j.Events(context.Background(), codec.Selection{}) {
				if err != nil {
					t.Error(err)
					break
				}
				sealed++
				if _, state, err := j.Payload(&ev); state != causal.Opened || err != nil {
					t.Errorf("%s before operation %d, %s %s: event %d is %s, %v", what, moments, op, name, ev.Seq, state, err)
				}
			}
			j.Close()
		}
	})
	j := openFS(t, in, o)
	for i := range 12 {
		if i == 5 {
			in.Add(keysetWrite)
		}
		err := appendErr(j, &journal.Batch{Events: []journal.Append{event("e", 1), event("f", 2)}})
		if i == 5 && !errors.Is(err, journal.ErrStorage) || i != 5 && err != nil {
			t.Errorf("append %d: %v", i, err)
		}
	}
	j.Close()
	if moments < 100 || sealed == 0 {
		t.Errorf("only %d moments, %d events", moments, sealed)
	}
}
