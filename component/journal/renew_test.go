package journal_test

import (
	"errors"
	"sync"
	"syscall"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/gates"
	"batpak/keystore"
)

// renewals is what the journal has on record of renewals, by sequence.
func renewals(tb testing.TB, j *journal.Journal) map[uint64]codec.Renewal {
	tb.Helper()
	m := map[uint64]codec.Renewal{}
	sel := codec.Selection{Scope: causal.SystemScope, Kinds: []causal.Kind{causal.KindRenew}}
	for ev, err := range j.Events(tb.Context(), sel) {
		var r codec.Renewal
		if err == nil {
			err = codec.Unmarshal(ev.Data, codec.Msgpack, &r)
		}
		if err != nil || ev.Enc != nil || len(ev.Gates) != 1 || ev.Gates[0] != "!renew" || ev.Entity != "erasures" {
			tb.Fatalf("%+v: %v", ev.Header, err)
		}
		m[ev.Seq] = r
	}
	return m
}

func keyOf(tb testing.TB, j *journal.Journal, seq uint64) causal.KeyID {
	tb.Helper()
	ev, err := j.GetSeq(seq)
	if err != nil || ev.Enc == nil {
		tb.Fatalf("event %d: %+v, %v", seq, ev.Enc, err)
	}
	return ev.Enc.Key
}

// The event that renews a scope stands in front of the batch that asks for it, once for each scope, names
// the key that follows, and what was erased stays erased.
func TestARenewalIsOnRecordInFrontOfItsBatch(t *testing.T) {
	t.Parallel()
	for _, seal := range []keystore.Granularity{keystore.Entity, keystore.Category, keystore.Kind, keystore.Subject} {
		j := openFS(t, newDisk(t), journal.Options{Name: "renew", Seal: seal, SegmentBytes: small})
		a, b := event("a", 1), event("b", 2)
		b.Kind, b.Subject, a.Subject = 0x2001, "q", "p"
		mustAppend(t, j, &journal.Batch{Events: []journal.Append{a, b}})
		for _, e := range []*journal.Append{&a, &b} {
			x := journal.Erasure{Reason: "r"}
			switch seal {
			case keystore.Entity:
				x.Entity = &e.Coordinate
			case keystore.Category:
				x.Category = ptr(e.Kind.Category())
			case keystore.Kind:
				x.Kind = &e.Kind
			case keystore.Subject:
				x.Subject = e.Subject
			}
			mustShred(t, j, x) // events 3 and 4
		}
		batch := keyed("k", renewing(a), renewing(b), renewing(a), a)
		r := mustAppend(t, j, batch)
		for i, got := range r {
			if got.Seq != uint64(7+i) {
				t.Fatalf("%s: receipt %d is of event %d", seal, i, got.Seq)
			}
		}
		on := renewals(t, j)
		if len(on) != 2 || on[5].Key != keyOf(t, j, 7) || on[6].Key != keyOf(t, j, 8) || on[5].Key == on[6].Key ||
			keyOf(t, j, 7) != keyOf(t, j, 9) || keyOf(t, j, 9) != keyOf(t, j, 10) {
			t.Errorf("%s: on record %+v", seal, on)
		}
		switch got := on[5]; {
		case seal == keystore.Entity && *got.Entity != a.Coordinate, seal == keystore.Category && *got.Category != 1,
			seal == keystore.Kind && *got.Kind != 0x1001, seal == keystore.Subject && got.Subject != "p":
			t.Errorf("%s: event 5 is about %+v", seal, got)
		}
		wantStates(t, j, causal.Shredded, causal.Shredded, causal.Plain, causal.Plain, causal.Plain, causal.Plain,
			causal.Opened, causal.Opened, causal.Opened, causal.Opened)
		if again := mustAppend(t, j, batch); !again[0].Duplicate || again[0].Seq != 7 {
			t.Errorf("%s: retry got %+v", seal, again[0])
		}
		mustAppend(t, j, one(a))
		mustAppend(t, j, one(renewing(a)))
		if j.Visible() != 12 || len(renewals(t, j)) != 2 || keyOf(t, j, 11) != on[5].Key {
			t.Errorf("%s: %d events, %d renewals", seal, j.Visible(), len(renewals(t, j)))
		}
		if _, err := audit(j); err != nil {
			t.Error(err)
		}
	}
}

// Events that have a scope each, or none, need no renewal.
func TestWhatIsInNoErasedScopeIsNotRenewed(t *testing.T) {
	t.Parallel()
	for _, seal := range []keystore.Granularity{keystore.None, keystore.Event, keystore.Subject, keystore.Entity} {
		j := openFS(t, newDisk(t), journal.Options{Name: "renew", Seal: seal, SegmentBytes: small})
		r := mustAppend(t, j, one(renewing(event("a", 1))))
		if seal == keystore.Event {
			mustShred(t, j, journal.Erasure{Event: r[0].ID, Reason: "r"})
		}
		mustAppend(t, j, one(renewing(event("a", 1))))
		if n := len(renewals(t, j)); n != 0 {
			t.Errorf("%s: %d renewals", seal, n)
		}
	}
}

// A batch that is refused leaves its scope erased and no event, whatever refuses it and at whichever of
// its events. What the next one gets is what it would have got alone.
func TestARefusedBatchRenewsNothing(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{Name: "renew", Seal: keystore.Entity, SegmentBytes: small, Gates: chain(t, deny)})
	mustAppend(t, j, one(event("a", 1)))
	mustShred(t, j, erasureOf("a"))
	expecting := renewing(event("a", 2))
	expecting.Expect = ptr(uint64(7))
	unless := renewing(event("a", 2))
	unless.Unless = &codec.Selection{Scope: "s"}
	cause := renewing(event("a", 2))
	cause.Causes = []causal.Cause{{ID: causal.EventID{1}}}
	mustAppend(t, j, one(event("b", 1)))
	mustShred(t, j, erasureOf("b"))
	for what, c := range map[string]struct {
		batch *journal.Batch
		want  error // nil for a gate's no
	}{
		"gate":          {one(renewing(event("a", 666))), nil},
		"gate, later":   {&journal.Batch{Events: []journal.Append{renewing(event("a", 1)), event("c", 666)}}, nil},
		"expectation":   {one(expecting), journal.ErrConflict},
		"unless":        {one(unless), journal.ErrConflict},
		"cause":         {one(cause), journal.ErrInvalid},
		"another scope": {&journal.Batch{Events: []journal.Append{renewing(event("a", 1)), event("b", 2)}}, journal.ErrErased},
	} {
		for range 3 {
			err := appendErr(j, c.batch)
			if denied := (*gates.Denial)(nil); c.want == nil && !errors.As(err, &denied) || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", what, err, c.want)
			}
		}
		if err := appendErr(j, one(event("a", 2))); !errors.Is(err, journal.ErrErased) {
			t.Errorf("%s: then the scope takes an append: %v", what, err)
		}
		if j.Visible() != 4 {
			t.Fatalf("%s: %d events", what, j.Visible())
		}
	}
	r := mustAppend(t, j, one(renewing(event("a", 3))))
	if on := renewals(t, j); len(on) != 1 || r[0].Seq != 6 || on[5].Key != keyOf(t, j, 6) {
		t.Errorf("event %d, on record %+v", r[0].Seq, on)
	}
}

// A renewal that is staged holds for what is staged behind it, in its group and in later ones, before
// anything of it is on disk; and when its group is not written, it is staged again with what asked for it.
func TestAStagedRenewalHoldsForWhatIsBehindIt(t *testing.T) {
	t.Parallel()
	for what, fail := range map[string]bool{"written": false, "not written": true} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			in := faultfs.Inject(newDisk(t))
			staged := make(chan struct{}, 64)
			j := openFS(t, in, journal.Options{Name: "renew", Seal: keystore.Entity, SegmentBytes: smallest,
				Gates: chain(t, gate("count", func(*proposal, view) *denial { staged <- struct{}{}; return nil }))})
			mustAppend(t, j, one(event("a", 1)))
			mustShred(t, j, erasureOf("a"))
			mustAppend(t, j, one(large("fill", 9000)))
			<-staged
			<-staged
			rotation := faultfs.Rule{On: faultfs.OpRename, Name: "segments/*.seg", Nth: 1, Do: faultfs.Fail(syscall.ENOSPC)}
			arrived, release := hold(in, faultfs.OpRename, "segments/*.seg")
			if fail {
				in.Add(rotation)
			}
			var answers sync.WaitGroup
			submit := func(a journal.Append, want error) {
				answers.Add(1)
				err := j.Submit(one(a), func(_ []codec.Receipt, err error) {
					defer answers.Done()
					if !errors.Is(err, want) {
						t.Errorf("got %v, want %v", err, want)
					}
				})
				if err != nil {
					t.Fatal(err)
				}
				<-staged
			}
			// The first is on its way to a new segment, the others are staged behind it.
			first := renewing(large("a", 4000))
			var want error
			if fail {
				want = journal.ErrStorage
			}
			submit(first, want)
			arrived()
			submit(renewing(event("a", 2)), nil)
			submit(renewing(event("a", 3)), nil)
			if !fail {
				submit(event("a", 4), nil)
			}
			release()
			answers.Wait()
			on := renewals(t, j)
			if len(on) != 1 {
				t.Fatalf("on record %+v", on)
			}
			var key causal.KeyID
			for seq := uint64(4); seq <= j.Visible(); seq++ {
				if seq == 4 {
					key = on[4].Key
					continue
				}
				if got := keyOf(t, j, seq); got != key {
					t.Errorf("event %d is sealed under %s, want %s", seq, got, key)
				}
			}
			if _, err := audit(j); err != nil {
				t.Error(err)
			}
		})
	}
}
