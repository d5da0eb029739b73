package gates_test

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"batpak/causal"
	"batpak/gates"
)

var stream = causal.Stream{Coordinate: alice}

func newMemory() *memory { return &memory{streams: map[causal.Stream][]gates.Event{}} }

// add appends an event past the gates. The text is its payload.
func (m *memory) add(t testing.TB, s causal.Stream, text string, at causal.BatchPos) {
	t.Helper()
	permit, err := gates.Bypass(&gates.Proposal{Header: causal.Header{Coordinate: s.Coordinate, Lane: s.Lane, Batch: at}, Data: []byte(text)}, "test")
	if err == nil {
		err = m.append(permit)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// rollback takes the last n events of a stream back, as a journal does with a batch it gives up.
// It does not give out their sequences again: the other streams may have later ones.
func (m *memory) rollback(s causal.Stream, n int) {
	events := m.streams[s]
	m.streams[s] = slices.Clone(events[:len(events)-n])
}

// told is a folding gate under test: its state is the payloads in order, and judge is
// called with it.
type told struct {
	folds int // how many events were folded
	state string
	chain *gates.Chain
}

func newTold(t testing.TB) *told {
	w := &told{}
	w.chain = chain(t, gates.Fold("told",
		func(s string, e gates.Event) (string, error) {
			w.folds++
			return s + string(e.Payload), nil
		},
		func(s string, _ *gates.Proposal) *gates.Denial {
			w.state = s
			return nil
		}))
	return w
}

// expect judges a proposal at a place in a batch and checks what judge saw and what it cost.
func (w *told) expect(t *testing.T, v gates.View, at causal.BatchPos, state string, folds int) {
	t.Helper()
	w.folds, w.state = 0, ""
	p := proposal()
	p.Header.Batch = at
	if _, err := w.chain.Judge(p, v); err != nil {
		t.Fatal(err)
	}
	if w.state != state || w.folds != folds {
		t.Errorf("judge saw %q after %d events folded, want %q after %d", w.state, w.folds, state, folds)
	}
}

var alone causal.BatchPos

func TestFoldSeesEachEventOnce(t *testing.T) {
	m, w := newMemory(), newTold(t)
	w.expect(t, m, alone, "", 0)
	m.add(t, stream, "a", alone)
	m.add(t, stream, "b", alone)
	m.add(t, causal.Stream{Coordinate: alice, Lane: 1}, "x", alone)
	w.expect(t, m, alone, "ab", 2)
	w.expect(t, m, alone, "ab", 0)
	m.add(t, stream, "c", alone)
	w.expect(t, m, alone, "abc", 1)
}

func TestFoldForgetsEventsThatWereRolledBack(t *testing.T) {
	for what, after := range map[string]string{"shorter": "", "same version": "X", "longer": "XYZ"} {
		t.Run(what, func(t *testing.T) {
			m, w := newMemory(), newTold(t)
			m.add(t, stream, "a", alone)
			m.add(t, stream, "b", alone)
			w.expect(t, m, alone, "ab", 2)
			m.rollback(stream, 1)
			for _, r := range after {
				m.add(t, stream, string(r), alone)
			}
			w.expect(t, m, alone, "a"+after, 1+len(after)) // from the start
			w.expect(t, m, alone, "a"+after, 0)
		})
	}
}

func TestRefusedBatchDoesNotCostAFoldFromTheStart(t *testing.T) {
	m, w := newMemory(), newTold(t)
	at := func(i uint32) causal.BatchPos { return causal.BatchPos{Index: i, Count: 3} }
	for _, r := range "abcdefgh" {
		m.add(t, stream, string(r), alone)
	}
	// First asked inside a batch: what was appended in other ways is not part of it.
	m.add(t, stream, "1", at(0))
	w.expect(t, m, at(1), "abcdefgh1", 9)
	m.rollback(stream, 1)
	w.expect(t, m, alone, "abcdefgh", 0)

	for range 3 { // a batch whose third event is refused, again and again
		w.expect(t, m, at(0), "abcdefgh", 0)
		m.add(t, stream, "1", at(0))
		w.expect(t, m, at(1), "abcdefgh1", 1)
		m.add(t, stream, "2", at(1))
		w.expect(t, m, at(2), "abcdefgh12", 1)
		m.rollback(stream, 2)
	}
	w.expect(t, m, alone, "abcdefgh", 0)

	// The same when the stream is never the first of its batch.
	state := "abcdefgh"
	for range 3 {
		m.add(t, stream, "i", at(1))
		m.add(t, stream, "j", at(2))
		state += "ij"
		w.expect(t, m, at(1), state, 2)
		m.add(t, stream, "1", at(1))
		w.expect(t, m, at(2), state+"1", 1)
		m.rollback(stream, 1)
	}
}

// TestFoldEqualsFoldingAfresh walks at random through appends, batches that are kept or given up,
// and rollbacks of any depth, and compares what the gate remembers with the events themselves.
func TestFoldEqualsFoldingAfresh(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		m, w := newMemory(), newTold(t)
		streams := []causal.Stream{stream, {Coordinate: causal.Coordinate{Scope: "bank", Entity: "bob"}}}
		judge := func(s causal.Stream, at causal.BatchPos) {
			p := proposal()
			p.Header.Coordinate, p.Header.Batch = s.Coordinate, at
			if _, err := w.chain.Judge(p, m); err != nil {
				t.Fatal(err)
			}
			want := ""
			for _, e := range m.streams[s] {
				want += string(e.Payload)
			}
			if w.state != want {
				t.Fatalf("seed %d: %s: state %q, want %q", seed, s, w.state, want)
			}
		}
		for i := range 60 {
			s := streams[r.IntN(2)]
			switch r.IntN(4) {
			case 0, 1:
				judge(s, alone)
				m.add(t, s, fmt.Sprintf("%d,", i), alone)
			case 2:
				n := uint32(2 + r.IntN(4))
				before := map[causal.Stream]int{}
				for k := range n {
					s, at := streams[r.IntN(2)], causal.BatchPos{Index: k, Count: n}
					judge(s, at)
					m.add(t, s, fmt.Sprintf("%d.%d,", i, k), at)
					before[s]++
				}
				if r.IntN(2) == 0 {
					for s, n := range before {
						m.rollback(s, n)
					}
				}
			case 3:
				m.rollback(s, min(len(m.streams[s]), r.IntN(3)))
			}
		}
	}
}

// broken is a view whose events are what a test wants.
type broken struct {
	*memory
	events func(after uint64) iter.Seq2[gates.Event, error]
}

func (b broken) Events(_ causal.Stream, after uint64) iter.Seq2[gates.Event, error] {
	return b.events(after)
}

func TestFoldDeniesWhatItCannotRead(t *testing.T) {
	m, w := newMemory(), newTold(t)
	for _, r := range "abc" {
		m.add(t, stream, string(r), alone)
	}
	rot := errors.New("rot")
	without := func(i int) iter.Seq2[gates.Event, error] {
		return func(yield func(gates.Event, error) bool) {
			for k, e := range m.streams[stream] {
				if k != i && !yield(e, nil) {
					return
				}
			}
		}
	}
	for what, c := range map[string]struct {
		events iter.Seq2[gates.Event, error]
		is     error
	}{
		"read error":  {func(yield func(gates.Event, error) bool) { yield(gates.Event{}, rot) }, rot},
		"gap":         {without(1), causal.ErrChain},
		"end missing": {without(2), causal.ErrChain},
	} {
		d := denialOf(t, w.chain, proposal(), broken{m, func(uint64) iter.Seq2[gates.Event, error] { return c.events }})
		if d.Code != gates.CodeView || !errors.Is(d, c.is) {
			t.Errorf("%s: %+v", what, d)
		}
	}
	w.expect(t, m, alone, "abc", 3) // nothing of that was remembered
}

func TestFoldErrorDeniesAndIsNotRemembered(t *testing.T) {
	m := newMemory()
	m.add(t, stream, "a", alone)
	bad := errors.New("cannot read payload secret")
	fail := true
	c := chain(t, gates.Fold("f", func(n int, _ gates.Event) (int, error) {
		if fail {
			return 0, bad
		}
		return n + 1, nil
	}, func(n int, _ *gates.Proposal) *gates.Denial {
		if n != 1 {
			return &gates.Denial{Code: fmt.Sprint(n)}
		}
		return nil
	}))
	d := denialOf(t, c, proposal(), m)
	if d.Code != gates.CodeFold || !errors.Is(d, bad) || d.Details["version"] != uint64(1) {
		t.Errorf("%+v", d)
	}
	fail = false
	if _, err := c.Judge(proposal(), m); err != nil {
		t.Error(err)
	}
}

func TestFoldSeesErasedEvents(t *testing.T) {
	m := newMemory()
	m.add(t, stream, "a", alone)
	m.streams[stream][0].Payload, m.streams[stream][0].State = nil, causal.Shredded
	c := chain(t, gates.Fold("f", func(_ causal.PayloadState, e gates.Event) (causal.PayloadState, error) {
		return e.State, nil
	}, func(s causal.PayloadState, _ *gates.Proposal) *gates.Denial {
		return &gates.Denial{Code: s.String()}
	}))
	if d := denialOf(t, c, proposal(), m); d.Code != "shredded" {
		t.Errorf("%+v", d)
	}
}

func TestForgetDropsFoldedStates(t *testing.T) {
	m, w := newMemory(), newTold(t)
	m.add(t, stream, "secret", alone)
	m.add(t, stream, "b", alone)
	w.expect(t, m, alone, "secretb", 2)
	m.streams[stream][0].Payload = nil
	if err := w.chain.Forget(); err != nil {
		t.Fatal(err)
	}
	w.expect(t, m, alone, "b", 2)
	w.expect(t, m, alone, "b", 0)
}

func TestForgetDuringAJudgementIsNotUndoneByIt(t *testing.T) {
	m := newMemory()
	m.add(t, stream, "a", alone)
	var c *gates.Chain
	folds := 0
	c = chain(t, gates.Fold("f", func(n int, _ gates.Event) (int, error) {
		if folds++; folds == 1 {
			return n + 1, c.Forget()
		}
		return n + 1, nil
	}, func(int, *gates.Proposal) *gates.Denial { return nil }))
	for range 3 {
		if _, err := c.Judge(proposal(), m); err != nil {
			t.Fatal(err)
		}
	}
	if folds != 2 {
		t.Errorf("folded %d times: want once before Forget, once after, then remembered", folds)
	}
}

func TestFoldIsSafeForConcurrentUse(t *testing.T) {
	m := newMemory()
	for _, r := range "abcdef" {
		m.add(t, stream, string(r), alone)
	}
	older := &memory{streams: map[causal.Stream][]gates.Event{stream: m.streams[stream][:3]}}
	c := chain(t, gates.Fold("f", func(s string, e gates.Event) (string, error) {
		return s + string(e.Payload), nil
	}, func(s string, _ *gates.Proposal) *gates.Denial {
		return &gates.Denial{Code: s}
	}))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			v, want := m, "abcdef"
			if i%2 == 0 {
				v, want = older, "abc"
			}
			for range 200 {
				if _, err := c.Judge(proposal(), v); err.(*gates.Denial).Code != want {
					t.Errorf("state %q, want %q", err.(*gates.Denial).Code, want)
				}
				if i == 0 {
					c.Forget()
				}
			}
		})
	}
	wg.Wait()
}
