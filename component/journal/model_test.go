package journal_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/keystore"
)

// model is what a journal should be, in the simplest form.
type model struct {
	events []causal.Hash
	heads  map[causal.Stream]causal.Head
	keys   map[string]ackedBatch // by scope and key
	all    []ackedBatch
}

func (m *model) add(b *journal.Batch, receipts []codec.Receipt) error {
	for i, r := range receipts {
		a := &b.Events[i]
		s := causal.Stream{Coordinate: a.Coordinate, Lane: a.Lane}
		head := m.heads[s]
		if r.Seq != uint64(len(m.events))+1 || r.Version != head.Version+1 || r.Prev != head.Hash || r.Duplicate {
			return fmt.Errorf("receipt %+v after %d events and head %v", r, len(m.events), head)
		}
		m.events = append(m.events, r.Hash)
		m.heads[s] = causal.Head{Seq: r.Seq, Version: r.Version, Hash: r.Hash}
	}
	if b.Key != "" {
		m.keys[b.Events[0].Scope+"\x00"+b.Key] = ackedBatch{b, receipts}
	}
	m.all = append(m.all, ackedBatch{b, receipts})
	return nil
}

// A journal does what a list of events would do, whatever is done to it in whatever order, and
// however it is closed, killed or robbed of its power in between.
func TestAJournalBehavesLikeAListOfEvents(t *testing.T) {
	t.Parallel()
	for _, seal := range []keystore.Granularity{keystore.None, keystore.Kind, keystore.Event} {
		t.Run(seal.String(), func(t *testing.T) {
			t.Parallel()
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			steps := 0
			for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end) && !t.Failed(); seed++ {
				steps += runModel(t, seal, seed)
			}
			t.Logf("%d steps", steps)
		})
	}
}

func runModel(t *testing.T, seal keystore.Granularity, seed uint64) (steps int) {
	r := rand.New(rand.NewPCG(seed, 7))
	o := journal.Options{Name: "model", Seal: seal, SegmentBytes: small}
	m := model{heads: map[causal.Stream]causal.Head{}, keys: map[string]ackedBatch{}}
	d := newDisk(t)
	j := openFS(t, d, o)
	fail := func(what string, err error) bool {
		if err != nil {
			t.Errorf("seed %d, step %d: %s: %v", seed, steps, what, err)
		}
		return err != nil
	}
	random := func() journal.Append {
		a := large(fmt.Sprintf("e%d", r.IntN(5)), 3+r.IntN(10)*r.IntN(200))
		a.Scope = fmt.Sprintf("s%d", r.IntN(2))
		a.Lane = uint32(r.IntN(8) / 6)
		a.Kind = causal.Kind(0x1001 + r.IntN(3))
		return a
	}
	check := func() bool {
		events, err := audit(j)
		if err == nil && len(events) != len(m.events) {
			err = fmt.Errorf("%d events, want %d", len(events), len(m.events))
		}
		for i := 0; err == nil && i < len(events); i++ {
			if events[i].Hash != m.events[i] {
				err = fmt.Errorf("event %d is another one", i+1)
			}
		}
		if err == nil {
			err = holds(j, events, m.all)
		}
		for s, h := range m.heads {
			if err == nil && j.Head(s) != h {
				err = fmt.Errorf("head of %s is %v, want %v", s, j.Head(s), h)
			}
		}
		return !fail("contents", err)
	}
	keys := 0
	for ; steps < 120; steps++ {
		switch what := r.IntN(20); {
		case what < 12: // append
			b := &journal.Batch{}
			for range 1 + r.IntN(3)*r.IntN(4) {
				b.Events = append(b.Events, random())
			}
			if r.IntN(3) == 0 {
				keys++
				b.Key = fmt.Sprintf("k%d", keys)
			}
			a := &b.Events[r.IntN(len(b.Events))]
			head := m.heads[causal.Stream{Coordinate: a.Coordinate, Lane: a.Lane}]
			wrong := r.IntN(4) == 0
			if r.IntN(2) == 0 {
				a.Expect = ptr(head.Version)
				if wrong {
					*a.Expect += 1 + r.Uint64N(3)
				}
			} else {
				wrong = false
			}
			got, err := j.Append(t.Context(), b)
			if wrong {
				if !errors.Is(err, journal.ErrConflict) {
					fail("a wrong expectation", fmt.Errorf("got %v", err))
					return steps
				}
				continue
			}
			if fail("append", err) || fail("append", m.add(b, got)) {
				return steps
			}
		case what < 15: // retry some key
			for _, p := range m.keys {
				if fail("retry", retries(j, []ackedBatch{p})) {
					return steps
				}
				other := *p.batch
				other.Events = append(other.Events[:len(other.Events):len(other.Events)], random())
				if _, err := j.Append(t.Context(), &other); !errors.Is(err, journal.ErrConflict) {
					fail("a key with other content", fmt.Errorf("got %v", err))
					return steps
				}
				break
			}
		case what == 15: // close and open
			if fail("close", j.Close()) {
				return steps
			}
			j = openFS(t, d, o)
			if !check() {
				return steps
			}
		case what == 16: // close, lose the caches, open
			if fail("close", j.Close()) {
				return steps
			}
			for name := range d.killed().files {
				if isCache(name) && r.IntN(2) == 0 && fail("remove", d.Remove(name)) {
					return steps
				}
			}
			j = openFS(t, d, o)
			if !check() {
				return steps
			}
		default: // crash
			d.mu.Lock()
			im := d.killed()
			if r.IntN(2) == 0 {
				im = d.lost(func() bool { return r.IntN(2) == 0 })
			}
			d.mu.Unlock()
			j.Close()
			d = im.boot(t)
			j = openFS(t, d, o)
			if !check() {
				return steps
			}
		}
	}
	check()
	j.Close()
	return steps
}
