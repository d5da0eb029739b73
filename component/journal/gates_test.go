package journal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/gates"
	"batpak/keystore"
)

type (
	proposal = gates.Proposal
	view     = gates.View
	denial   = gates.Denial
)

func gate(name string, judge func(*proposal, view) *denial) gates.Gate { return gates.New(name, judge) }

func chain(tb testing.TB, gs ...gates.Gate) *gates.Chain {
	tb.Helper()
	c, err := gates.NewChain(gs...)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// deny is a gate that refuses the payload number(666).
var deny = gate("deny", func(p *proposal, _ view) *denial {
	if bytes.Equal(p.Data, number(666)) {
		return &denial{Code: "number", Message: "not this one"}
	}
	return nil
})

func amount(data []byte) int64 { return int64(binary.BigEndian.Uint64(data[1:])) }

// balance permits what leaves the sum of the stream's payloads at zero or more. It reads the whole
// stream each time, so it depends on nothing but the view.
func balance(tb testing.TB) gates.Gate {
	return gate("balance", func(p *proposal, v view) *denial {
		stream := p.Header.Stream()
		sum, n := amount(p.Data), uint64(0)
		for ev, err := range v.Events(stream, 0) {
			if err != nil {
				tb.Error(err)
				return &denial{Code: "view"}
			}
			if n++; ev.Version != n {
				tb.Errorf("view gave version %d as number %d", ev.Version, n)
			}
			sum += amount(ev.Payload)
		}
		if head := v.Head(stream); head.Version != n || p.Header.Version != n+1 {
			tb.Errorf("%d events, head at %d, proposal for %d", n, head.Version, p.Header.Version)
		}
		if sum < 0 {
			return &denial{Code: "insufficient_funds", Details: map[string]any{"missing": -sum}}
		}
		return nil
	})
}

func cents(entity string, n int64) journal.Append { return event(entity, uint64(n)) }

func TestADeniedAppendLeavesNothing(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{Name: "gates", SegmentBytes: small, Gates: chain(t, deny)})
	mustAppend(t, j, one(event("e", 1)))
	before := j.Stats()
	for _, b := range []*journal.Batch{
		one(event("e", 666)),
		keyed("k", event("e", 666)),
		{Events: []journal.Append{event("e", 2), event("f", 3), event("e", 666), event("g", 4)}},
	} {
		err := appendErr(j, b)
		var d *denial
		if !errors.As(err, &d) || d.Gate != "deny" || d.Code != "number" {
			t.Errorf("got %v, want the denial", err)
		}
	}
	if after := j.Stats(); after != before {
		t.Errorf("stats went from %v to %v", before, after)
	}
	r := mustAppend(t, j, keyed("k", event("e", 5)))
	if r[0].Seq != 2 || r[0].Version != 2 || r[0].Duplicate {
		t.Errorf("the denied append left something: %+v", r[0])
	}
	if _, err := audit(j); err != nil {
		t.Error(err)
	}
}

// Two hundred withdrawals of one unit race for a hundred units, in a stream that is sealed and in
// one that is not: exactly a hundred get one, whatever the gates saw staged.
func TestABalanceCannotBeRaced(t *testing.T) {
	t.Parallel()
	for _, seal := range []keystore.Granularity{keystore.None, keystore.Entity} {
		t.Run(seal.String(), func(t *testing.T) {
			t.Parallel()
			d := newDisk(t)
			o := journal.Options{Name: "gates", Seal: seal, SegmentBytes: small, Gates: chain(t, balance(t))}
			j := openFS(t, d, o)
			mustAppend(t, j, one(cents("account", 100)))
			var taken, denied atomic.Int64
			var wg sync.WaitGroup
			for range 200 {
				wg.Go(func() {
					err := appendErr(j, one(cents("account", -1)))
					var no *denial
					switch {
					case err == nil:
						taken.Add(1)
					case errors.As(err, &no) && no.Code == "insufficient_funds":
						denied.Add(1)
					default:
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if taken.Load() != 100 || denied.Load() != 100 {
				t.Errorf("%d taken, %d denied", taken.Load(), denied.Load())
			}
			events, err := audit(j)
			if err != nil {
				t.Fatal(err)
			}
			sum := int64(0)
			for i := range events {
				data, _, err := j.Payload(&events[i])
				if err != nil {
					t.Fatal(err)
				}
				if sum += amount(data); sum < 0 {
					t.Fatalf("balance %d after event %d", sum, i+1)
				}
				if g := events[i].Gates; len(g) != 1 || g[0] != "balance" {
					t.Fatalf("event %d has gates %q", i+1, g)
				}
			}
			if sum != 0 {
				t.Errorf("the balance is %d", sum)
			}
		})
	}
}

// Earlier events of the same batch count.
func TestAGateSeesTheEarlierEventsOfTheBatch(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{Name: "gates", Seal: keystore.Entity, SegmentBytes: small, Gates: chain(t, balance(t))})
	batch := func(ns ...int64) *journal.Batch {
		b := &journal.Batch{}
		for _, n := range ns {
			b.Events = append(b.Events, cents("account", n))
		}
		return b
	}
	if err := appendErr(j, batch(10, -6, -5)); err == nil {
		t.Error("overdrawn within a batch")
	}
	if j.Visible() != 0 {
		t.Error("the batch left something")
	}
	mustAppend(t, j, batch(10, -6, -4))
	if err := appendErr(j, batch(-1)); err == nil {
		t.Error("overdrawn")
	}
}

func TestABypassIsRecorded(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{Name: "gates", SegmentBytes: small, Gates: chain(t, deny)})
	a := event("e", 666)
	a.Bypass = "migration of 2024"
	r := mustAppend(t, j, one(a))
	ev, err := j.Get(r[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if reason, ok := ev.Bypassed(); !ok || reason != a.Bypass {
		t.Errorf("bypass is %q, %t", reason, ok)
	}
	for _, reason := range []string{"bell \a", string(bytes.Repeat([]byte{'r'}, gates.MaxReason+1)), "\xff"} {
		a.Bypass = reason
		if err := appendErr(j, one(a)); !errors.Is(err, journal.ErrInvalid) {
			t.Errorf("reason %.10q got %v", reason, err)
		}
	}
	if j.Visible() != 1 {
		t.Error("a bad bypass appended something")
	}
}

func TestAGateThatPanicsDenies(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{Name: "gates", SegmentBytes: small,
		Gates: chain(t, gate("defect", func(p *proposal, _ view) *denial {
			if p.Header.Entity == "bad" {
				panic("defect")
			}
			return nil
		}))})
	err := appendErr(j, one(event("bad", 1)))
	var d *denial
	if !errors.As(err, &d) || d.Code != gates.CodeDefect || d.Gate != "defect" {
		t.Fatalf("got %v", err)
	}
	mustAppend(t, j, one(event("good", 1)))
	if j.Visible() != 1 {
		t.Errorf("visible %d", j.Visible())
	}
}

// A folding gate keeps a state. What it folded of a group that was then not written is gone for it.
func TestAFoldingGateGoesBackWithTheJournal(t *testing.T) {
	t.Parallel()
	in := faultfs.Inject(newDisk(t))
	fold := gates.Fold("fold", func(sum int64, e gates.Event) (int64, error) { return sum + amount(e.Payload), nil },
		func(sum int64, p *proposal) *denial {
			if sum+amount(p.Data) < 0 {
				return &denial{Code: "insufficient_funds"}
			}
			return nil
		})
	j := openFS(t, in, journal.Options{Name: "gates", Seal: keystore.Entity, Keys: unreserved, SegmentBytes: small, Gates: chain(t, fold)})
	in.Add(keysetWrite)
	if err := appendErr(j, one(cents("account", 100))); !errors.Is(err, journal.ErrStorage) {
		t.Fatal(err)
	}
	if err := appendErr(j, one(cents("account", -1))); err == nil {
		t.Error("spent what was never appended")
	}
	mustAppend(t, j, one(cents("account", 1)))
	mustAppend(t, j, one(cents("account", -1)))
	if err := appendErr(j, one(cents("account", -1))); err == nil {
		t.Error("overdrawn")
	}
}

// After its done was called a batch is the caller's again, although the sequencer may not have
// heard yet that the group is durable. A gate that looks at the event then sees its payload.
func TestAPayloadMayBeReusedAfterDone(t *testing.T) {
	t.Parallel()
	for _, seal := range []keystore.Granularity{keystore.None, keystore.Entity} {
		t.Run(seal.String(), func(t *testing.T) {
			t.Parallel()
			reused, looking := make(chan struct{}), make(chan struct{})
			var seen []uint64
			in := faultfs.Inject(newDisk(t))
			j := openFS(t, in, journal.Options{Name: "gates", Seal: seal, SegmentBytes: small,
				Gates: chain(t, gate("look", func(p *proposal, v view) *denial {
					if amount(p.Data) != 2 {
						return nil
					}
					close(looking)
					<-reused
					for ev, err := range v.Events(p.Header.Stream(), 0) {
						if err != nil {
							t.Error(err)
						}
						seen = append(seen, uint64(amount(ev.Payload)))
					}
					return nil
				}))})
			arrived, release := hold(in, faultfs.OpSyncData, firstSegment)
			first := event("e", 1)
			if err := j.Submit(one(first), func([]codec.Receipt, error) {
				copy(first.Data, number(777))
				close(reused)
			}); err != nil {
				t.Fatal(err)
			}
			arrived()
			second := make(chan error, 1)
			if err := j.Submit(one(event("e", 2)), func(_ []codec.Receipt, err error) { second <- err }); err != nil {
				t.Fatal(err)
			}
			<-looking
			release()
			if err := <-second; err != nil {
				t.Fatal(err)
			}
			if len(seen) != 1 || seen[0] != 1 {
				t.Errorf("the gate saw payloads %v, want 1", seen)
			}
		})
	}
}

// What Head and Events show to a gate is one state: staged events included, of any stream.
func TestAGateSeesOtherStreams(t *testing.T) {
	t.Parallel()
	var saw []string
	j := openFS(t, newDisk(t), journal.Options{Name: "gates", SegmentBytes: small,
		Gates: chain(t, gate("look", func(p *proposal, v view) *denial {
			n := 0
			for range v.Events(stream("other"), 1) {
				n++
			}
			saw = append(saw, fmt.Sprintf("%d/%d", v.Head(stream("other")).Version, n))
			return nil
		}))})
	mustAppend(t, j, one(event("other", 1)))
	mustAppend(t, j, &journal.Batch{Events: []journal.Append{event("e", 1), event("other", 2), event("e", 3), event("other", 4), event("e", 5)}})
	if got := fmt.Sprint(saw); got != "[0/0 1/0 1/0 2/1 2/1 3/2]" {
		t.Errorf("saw %s", got)
	}
	if names := j.GateNames(); len(names) != 1 || names[0] != "look" {
		t.Errorf("gates are %q", names)
	}
	if h := j.Head(causal.Stream{Coordinate: at("other"), Lane: 1}); h != (causal.Head{}) {
		t.Errorf("head of an empty lane is %v", h)
	}
}
