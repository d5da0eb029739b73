package journal_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/keystore"
)

// What a reader gets is the reader's: it may be changed, and does not change later.
func TestWhatWasReadIsTheReaders(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{Name: "read", SegmentBytes: small})
	mixed(t, j, 2)
	var kept []causal.Event
	for ev, err := range j.Events(t.Context(), codec.Selection{}) {
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, ev)
	}
	page, err := j.Read(t.Context(), codec.Selection{Scope: "s0", Entity: "e0"}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	one, err := j.GetSeq(1)
	if err != nil {
		t.Fatal(err)
	}
	clear(one.Envelope)
	for _, b := range page.Envelopes {
		clear(b)
	}
	for i := range kept {
		if causal.HashEnvelope(kept[i].Envelope) != kept[i].Hash {
			t.Fatalf("event %d has changed", i+1)
		}
		clear(kept[i].Envelope)
	}
	if _, err := audit(j); err != nil {
		t.Error(err)
	}
}

// Readers that race with appends and rotations never see half a batch, a gap, or a head that
// disagrees with what can be read.
func TestABatchBecomesVisibleAllAtOnce(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{Name: "atomic", Seal: keystore.Entity, SegmentBytes: small})
	ctx, stop := context.WithCancel(context.Background())
	var readers sync.WaitGroup
	const size = 5
	readers.Go(func() { // pages
		after := uint64(0)
		for ctx.Err() == nil {
			p, err := j.Read(context.Background(), codec.Selection{After: after, Limit: 1000}, 1<<20)
			if err != nil {
				t.Error(err)
				return
			}
			if p.Head%size != 0 || p.Next%size != 0 && !p.More || int(p.Next-after) != len(p.Envelopes) {
				t.Errorf("page of %d after %d to %d, head %d", len(p.Envelopes), after, p.Next, p.Head)
			}
			if after = p.Next; after == p.Head {
				j.Wait(ctx, after+1)
			}
		}
	})
	readers.Go(func() { // a stream and its head
		for ctx.Err() == nil {
			head := j.Head(stream("e1"))
			if seen := j.Visible(); head.Seq > seen {
				t.Errorf("head at %d, visible %d", head.Seq, seen)
			}
			last := uint64(0)
			for ev, err := range j.StreamEvents(stream("e1"), head.Version-min(head.Version, 3)) {
				if err != nil {
					t.Error(err)
					return
				}
				last = ev.Version
			}
			if last < head.Version {
				t.Errorf("stream read up to %d, head was %d", last, head.Version)
			}
		}
	})
	readers.Go(func() { // the newest events, by sequence and by id
		for ctx.Err() == nil {
			v := j.Visible()
			if v == 0 {
				j.Wait(ctx, 1)
				continue
			}
			if v%size != 0 {
				t.Errorf("visible %d", v)
			}
			ev, err := j.GetSeq(v)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := j.Get(ev.ID); err != nil {
				t.Error(err)
			}
			if _, err := j.Verify(context.Background(), v-size+1, v); err != nil {
				t.Error(err)
			}
		}
	})
	var writers sync.WaitGroup
	for w := range 3 {
		writers.Go(func() {
			for i := range 60 {
				b := &journal.Batch{}
				for k := range size {
					b.Events = append(b.Events, large(fmt.Sprintf("e%d", (w+k)%4), 200+i))
				}
				if err := appendErr(j, b); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	stop()
	readers.Wait()
	if j.Visible() != 3*60*size {
		t.Errorf("visible %d", j.Visible())
	}
}

func TestWaitReturnsWhenTheEventIsVisible(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := openFS(t, newDisk(t), journal.Options{Name: "wait", SegmentBytes: small})
		if err := j.Wait(t.Context(), 0); err != nil {
			t.Error(err)
		}
		waits := make(chan error, 3)
		for _, seq := range []uint64{1, 2, 99} {
			go func() { waits <- j.Wait(context.Background(), seq) }()
		}
		synctest.Wait()
		mustAppend(t, j, one(event("e", 1)))
		if err := <-waits; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if len(waits) > 0 {
			t.Error("a wait for a later event returned")
		}
		mustAppend(t, j, one(event("e", 2)))
		if err := <-waits; err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := j.Wait(ctx, 99); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled wait: %v", err)
		}
		j.Close()
		if err := <-waits; !errors.Is(err, journal.ErrClosed) {
			t.Errorf("wait of a closed journal: %v", err)
		}
		if err := j.Wait(t.Context(), 2); err != nil {
			t.Errorf("wait for what is there: %v", err)
		}
	})
}

// Scan stops when it is told to, and after about so many bytes.
func TestScanStops(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{Name: "scan", SegmentBytes: small})
	fill(t, j, 3)
	stop := errors.New("stop")
	n := 0
	last, err := j.Scan(t.Context(), 2, 1<<30, func(seq uint64, _ []byte) error {
		if n++; n == 4 {
			return stop
		}
		return nil
	})
	if err != stop || last != 5 {
		t.Errorf("stopped at %d with %v", last, err)
	}
	last, err = j.Scan(t.Context(), 2, 1, func(uint64, []byte) error { return nil })
	if err != nil || last != 3 {
		t.Errorf("one byte: at %d with %v", last, err)
	}
	last, err = j.Scan(t.Context(), 0, int(^uint(0)>>1), func(uint64, []byte) error { return nil })
	if err != nil || last != j.Visible() {
		t.Errorf("everything: at %d with %v", last, err)
	}
	if last, err = j.Scan(t.Context(), j.Visible()+3, 1<<20, nil); err != nil || last != j.Visible()+3 {
		t.Errorf("behind the end: at %d with %v", last, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := j.Scan(ctx, 0, 1<<30, func(uint64, []byte) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// What rots under an open journal is found by whoever reads it, and never shown.
func TestRotUnderAnOpenJournalIsFound(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	j := openFS(t, d, journal.Options{Name: "rot", SegmentBytes: small})
	fill(t, j, 2)
	mustAppend(t, j, one(event("e", 1)))
	b, err := os.ReadFile(filepath.Join(d.dir, firstSegment))
	if err != nil {
		t.Fatal(err)
	}
	groups, _ := spans(b)
	g := groups[3]
	f, err := os.OpenFile(filepath.Join(d.dir, firstSegment), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{b[g.start+200] ^ 1}, int64(g.start+200)); err != nil {
		t.Fatal(err)
	}
	damaged := func(what string, err error) {
		t.Helper()
		var d *journal.DamageError
		if !errors.As(err, &d) || d.File != firstSegment || d.Seq != g.first || d.Offset != int64(g.start) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = j.GetSeq(g.first)
	damaged("get", err)
	_, err = j.Read(t.Context(), codec.Selection{}, 1<<20)
	damaged("read", err)
	_, err = j.Scan(t.Context(), 0, 1<<30, func(uint64, []byte) error { return nil })
	damaged("scan", err)
	for _, e := range j.Events(t.Context(), codec.Selection{Scope: "s", Entity: fmt.Sprintf("fill%d", (g.first-1)%3)}) {
		err = e
	}
	damaged("events", err)
	var v *journal.VerifyError
	if _, err := j.Verify(t.Context(), 0, 0); !errors.As(err, &v) || v.Seq != g.first {
		t.Errorf("verify: %v", err)
	}
	if _, err := j.GetSeq(g.first + 1); err != nil {
		t.Errorf("the event after it: %v", err)
	}
	mustAppend(t, j, one(event("e", 2)))
}
