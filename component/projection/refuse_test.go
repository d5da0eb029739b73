package projection_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/internal/journaltest"
	"batpak/component/projection"
)

// folded runs a projection to the end of the stream and returns the store with its checkpoint.
func folded(t *testing.T, s *site) *memory {
	t.Helper()
	store := &memory{}
	p := s.project(func(c *projection.Config[ledger]) { c.Store = store })
	stop := start(t, p)
	reach(t, p, s.j.Visible())
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	return store
}

func withStore(store projection.Store) func(*projection.Config[ledger]) {
	return func(c *projection.Config[ledger]) { c.Store = store }
}

func TestARewrittenLogIsNoticed(t *testing.T) {
	s := setUp(t, 20)
	old := journaltest.Backup(t, s.dir)
	s.add(5)
	store := folded(t, s)
	running := s.project()
	ended := make(chan error, 1)
	go func() { ended <- running.Run(within(t)) }()
	reach(t, running, 25)

	// The journal comes back from a backup and goes on differently.
	s.unplug()
	s.j = journaltest.Open(t, old, "main")
	s.relay(s.j)
	s.add(10)
	fails(t, s.project(withStore(store)), projection.ErrRewritten)
	if err := <-ended; !errors.Is(err, projection.ErrRewritten) {
		t.Errorf("the one that was running: %v", err)
	}
	is(t, s.project(), s.j, 0) // and the new log can be read by a new one
}

func TestAnotherLineageIsNoticed(t *testing.T) {
	s := setUp(t, 20)
	store := folded(t, s)
	s.unplug()
	mine := s.j.Lineage()
	s.j = journaltest.Open(t, t.TempDir(), "main")
	s.relay(s.j)
	s.add(30)
	fails(t, s.project(withStore(store)), projection.ErrLineage)
	fails(t, s.project(func(c *projection.Config[ledger]) { c.Lineage = mine }), projection.ErrLineage)
}

func TestEventsThatTheStreamHasDroppedAreAGap(t *testing.T) {
	s := setUp(t, 10)
	store := folded(t, s)
	keep := func(n int64) {
		t.Helper()
		st, err := s.js.Stream(within(t), stream)
		if err != nil {
			t.Fatal(err)
		}
		config := st.CachedInfo().Config
		config.MaxMsgs = n
		if _, err := s.js.UpdateStream(within(t), config); err != nil {
			t.Fatal(err)
		}
	}
	s.add(10)
	keep(10) // 11 to 20: just what is needed, the checkpoint's own event is gone
	p := s.project(withStore(&memory{saves: store.saves}))
	stop := start(t, p)
	reach(t, p, 20)
	is(t, p, s.j, 20)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	keep(9)
	fails(t, s.project(withStore(store)), projection.ErrGap)
	fails(t, s.project(), projection.ErrGap)
}

func TestAHoleInTheStreamIsAGap(t *testing.T) {
	js, publish := byHand(t)
	c := newChain()
	for range 5 {
		publish(c.next("a", nil))
	}
	st, err := js.Stream(within(t), stream)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.DeleteMsg(within(t), 3); err != nil {
		t.Fatal(err)
	}
	p := project(t, js)
	fails(t, p, projection.ErrGap)
	if got := p.Seq(); got != 2 {
		t.Errorf("folded %d", got)
	}
}

// Whatever is done to a stream, the events before it are folded and saved, and the one that
// shows it is named.
func TestATamperedStreamIsRefused(t *testing.T) {
	type write = func(subject string, data []byte)
	for name, tc := range map[string]struct {
		tamper func(c *chain, publish write) // after 3 good events of a and 1 of b; sequence 5 comes next
		want   error
		at     uint64
	}{
		"payload": {func(c *chain, publish write) {
			subject, b := c.next("a", nil)
			b[len(b)-1] ^= 1
			publish(subject, b)
			publish(c.next("a", nil))
		}, causal.ErrChain, 6},
		"header": {func(c *chain, publish write) {
			publish(c.next("a", func(h *causal.Header) { h.Prev[0] ^= 1 }))
		}, causal.ErrChain, 5},
		"removed": {func(c *chain, publish write) {
			c.next("a", nil)
			c.seq--
			publish(c.next("a", nil))
		}, causal.ErrChain, 5},
		"begins late": {func(c *chain, publish write) {
			publish(c.next("new", func(h *causal.Header) { h.Version, h.Prev = 2, causal.Hash{1} }))
		}, causal.ErrChain, 5},
		"begins again": {func(c *chain, publish write) {
			publish(c.next("a", func(h *causal.Header) { h.Version, h.Prev = 1, causal.Hash{} }))
		}, causal.ErrChain, 5},
		"number": {func(c *chain, publish write) {
			c.seq++
			publish(c.next("a", nil))
		}, projection.ErrMisfit, 5},
		"subject": {func(c *chain, publish write) {
			_, b := c.next("a", nil)
			publish("batpak.main.events.s.b.1002", b)
		}, projection.ErrMisfit, 5},
		"kind in the subject": {func(c *chain, publish write) {
			_, b := c.next("a", nil)
			publish("batpak.main.events.s.a.1003", b)
		}, projection.ErrMisfit, 5},
		"lineage": {func(c *chain, publish write) {
			publish(c.next("a", func(h *causal.Header) { h.Lineage = causal.NewLineage() }))
		}, projection.ErrLineage, 5},
		"garbage": {func(c *chain, publish write) {
			publish("batpak.main.events.s.a.1002", []byte("garbage"))
		}, codec.ErrMalformed, 5},
		"trailing": {func(c *chain, publish write) {
			subject, b := c.next("a", nil)
			publish(subject, append(b, 0))
		}, codec.ErrMalformed, 5},
		"half a batch": {func(c *chain, publish write) {
			publish(c.next("a", func(h *causal.Header) { h.Batch = causal.BatchPos{Index: 0, Count: 3} }))
			publish(c.next("a", func(h *causal.Header) { h.Batch = causal.BatchPos{Index: 1, Count: 3} }))
			publish(c.next("a", nil))
		}, projection.ErrMisfit, 7},
		"middle of a batch": {func(c *chain, publish write) {
			publish(c.next("a", func(h *causal.Header) { h.Batch = causal.BatchPos{Index: 1, Count: 3} }))
		}, projection.ErrMisfit, 5},
	} {
		t.Run(name, func(t *testing.T) {
			js, publish := byHand(t)
			c := newChain()
			for _, entity := range []string{"a", "a", "b", "a"} {
				publish(c.next(entity, nil))
			}
			tc.tamper(c, publish)
			store := &memory{}
			p := project(t, js, withStore(store))
			err := fails(t, p, tc.want)
			var at *projection.EventError
			if !errors.As(err, &at) || at.Doing != "check" || at.Seq != tc.at {
				t.Errorf("%v, want it at %d", err, tc.at)
			}
			want := tc.at - 1
			if name == "half a batch" {
				want = 4
			}
			if p.Seq() != want || len(store.saves) == 0 || savedSeq(store.saves[len(store.saves)-1]) != want {
				t.Errorf("folded %d, %d saves, want %d", p.Seq(), len(store.saves), want)
			}
		})
	}
}

// A stream that was forgotten is taken as it comes; one that is remembered is not.
func TestForgottenStreamsAreTakenAsTheyCome(t *testing.T) {
	js, publish := byHand(t)
	c := newChain()
	for i := range 30 {
		publish(c.next(fmt.Sprintf("e%d", i%5), nil))
	}
	p := project(t, js, func(c *projection.Config[ledger]) { c.Streams = 3 })
	start(t, p)
	reach(t, p, 30)
	publish(c.next("e0", func(h *causal.Header) { h.Prev = causal.Hash{1} })) // nobody remembers
	reach(t, p, 31)
	publish(c.next("e0", func(h *causal.Header) { h.Prev = causal.Hash{1} }))
	if err := p.Wait(within(t), 32); !errors.Is(err, causal.ErrChain) {
		t.Errorf("%v", err)
	}
}

func TestSealedPayloadsAreOpenedWhereThatIsAsked(t *testing.T) {
	js, publish := byHand(t)
	c := newChain()
	for i := range 600 {
		publish(c.next("a", func(h *causal.Header) {
			if i%2 == 1 {
				h.Enc = &causal.Enc{Key: causal.KeyID{1}}
			}
		}))
	}
	check := func(sealed causal.PayloadState, payload string) func(*ledger, projection.Event) error {
		return func(l *ledger, e projection.Event) error {
			if e.Enc == nil && (e.State != causal.Plain || string(e.Payload) != "\xa2hi") {
				return fmt.Errorf("plain: %v %q", e.State, e.Payload)
			}
			if e.Enc != nil && (e.State != sealed || string(e.Payload) != payload) {
				return fmt.Errorf("sealed: %v %q", e.State, e.Payload)
			}
			return book(l, e)
		}
	}
	open := func(state causal.PayloadState) func(context.Context, []causal.Event) ([]projection.Opened, error) {
		return func(_ context.Context, sealed []causal.Event) ([]projection.Opened, error) {
			var all []projection.Opened
			for _, ev := range sealed {
				if ev.Enc == nil || len(sealed) > 256 {
					return nil, errors.New("asked for what is not sealed, or for too much")
				}
				all = append(all, projection.Opened{State: state, Payload: []byte("clear")})
			}
			return all, nil
		}
	}
	for name, tweak := range map[string]func(*projection.Config[ledger]){
		"not asked": func(c *projection.Config[ledger]) { c.Fold = check(causal.KeyMissing, "") },
		"opened": func(c *projection.Config[ledger]) {
			c.Fold, c.Open = check(causal.Opened, "clear"), open(causal.Opened)
		},
		"shredded": func(c *projection.Config[ledger]) {
			c.Fold, c.Open = check(causal.Shredded, ""), open(causal.Shredded)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := project(t, js, tweak)
			start(t, p)
			reach(t, p, 600)
		})
	}
	down := errors.New("down")
	p := project(t, js, func(c *projection.Config[ledger]) {
		c.Open = func(context.Context, []causal.Event) ([]projection.Opened, error) { return nil, down }
	})
	fails(t, p, down)
	p = project(t, js, func(c *projection.Config[ledger]) {
		c.Open = func(context.Context, []causal.Event) ([]projection.Opened, error) { return nil, nil }
	})
	var at *projection.EventError
	if err := p.Run(within(t)); !errors.As(err, &at) || at.Doing != "open" {
		t.Errorf("too few payloads: %v", err)
	}
}
