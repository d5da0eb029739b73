package projection_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"testing"

	"batpak/component/internal/natstest"
	"batpak/component/projection"
	"batpak/faultfs"

	"github.com/nats-io/nats.go/jetstream"
)

func TestEveryEventIsFoldedOnceInOrder(t *testing.T) {
	s := setUp(t, 1500)
	p := s.project()
	start(t, p)
	reach(t, p, 1500)
	is(t, p, s.j, 1500)
	s.add(321)
	reach(t, p, 1821)
	is(t, p, s.j, 1821)
}

func TestItWaitsForAStreamThatIsNotThereYet(t *testing.T) {
	srv := natstest.Run(t)
	p := project(t, srv.JetStream(srv.Connect()))
	start(t, p)
	s := &site{t: t, srv: srv, dir: t.TempDir()}
	s.js = srv.JetStream(srv.Connect())
	s.open()
	s.add(5)
	reach(t, p, 5)
	is(t, p, s.j, 5)
}

// stores are the places for a checkpoint. Each call of the function is a new process.
func stores(t *testing.T, srv *natstest.Server) map[string]func() projection.Store {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	kv, err := srv.JetStream(srv.Connect()).CreateKeyValue(within(t), jetstream.KeyValueConfig{Bucket: "checkpoints"})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]func() projection.Store{
		"file":   func() projection.Store { return projection.NewFileStore(faultfs.Dir(root), "ledger") },
		"bucket": func() projection.Store { return projection.NewKVStore(kv, "main.ledger") },
	}
}

func TestItGoesOnExactlyWhereItWas(t *testing.T) {
	s := setUp(t, 0)
	for name, store := range stores(t, s.srv) {
		t.Run(name, func(t *testing.T) {
			for range 8 {
				s.add(1 + rand.IntN(150))
				p := s.project(func(c *projection.Config[ledger]) { c.Store, c.Every = store(), 1+rand.IntN(40) })
				stop := start(t, p)
				reach(t, p, s.j.Visible()-rand.Uint64N(s.j.Visible()))
				if err := stop(); err != nil {
					t.Fatal(err)
				}
				is(t, p, s.j, p.Seq())

				// Another process has it all before it reads a single event.
				again := s.project(func(c *projection.Config[ledger]) {
					c.Store, c.Stream = store(), "NO_SUCH_STREAM"
				})
				start(t, again)
				reach(t, again, p.Seq())
				is(t, again, s.j, p.Seq())
			}
		})
	}
}

// A crash is a Save that does not happen: what was folded since the last one is folded again,
// onto the state as it was then.
func TestCrashedBetweenCheckpointsTheStateIsStillExact(t *testing.T) {
	s := setUp(t, 4000)
	crash := errors.New("crash")
	store := &memory{}
	for round := 1; ; round++ {
		store.tries = 0
		store.fail = func(n int) error {
			if n > 1+round%3 {
				return crash
			}
			return nil
		}
		p := s.project(func(c *projection.Config[ledger]) { c.Store, c.Every = store, 30 })
		ctx, cancel := context.WithCancel(within(t))
		go func() {
			if p.Wait(ctx, 4000) == nil {
				cancel()
			}
		}()
		err := p.Run(ctx)
		cancel()
		if err == nil {
			is(t, p, s.j, 4000)
			if round < 3 {
				t.Errorf("it took %d rounds", round)
			}
			return
		}
		if !errors.Is(err, crash) {
			t.Fatal(err)
		}
		is(t, p, s.j, p.Seq())
	}
}

// After a Save that failed, nobody knows what the store has: nothing may be saved over it
// before it was loaded again.
func TestNothingIsSavedAfterAFailedSave(t *testing.T) {
	s := setUp(t, 100)
	full := errors.New("full")
	store := &memory{fail: func(int) error { return full }}
	p := s.project(func(c *projection.Config[ledger]) { c.Store, c.Every = store, 10 })
	fails(t, p, full)
	if store.tries != 1 {
		t.Errorf("%d saves were tried", store.tries)
	}
	// The same projection may be run again, and begins with what the store has.
	ctx, cancel := context.WithCancel(within(t))
	store.fail = func(int) error { cancel(); return nil }
	if err := p.Run(ctx); err != nil {
		t.Fatal(err)
	}
	is(t, p, s.j, p.Seq())
	if len(store.saves) == 0 || savedSeq(store.saves[len(store.saves)-1]) != p.Seq() {
		t.Errorf("%d saves at %d", len(store.saves), p.Seq())
	}
}

func TestABatchIsNeverSeenInPart(t *testing.T) {
	s := setUp(t, 0)
	store := &memory{}
	p := s.project(func(c *projection.Config[ledger]) { c.Store, c.Every = store, 1 })
	stop := start(t, p)
	looked := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); <-looked })
	go func() {
		defer close(looked)
		for ctx.Err() == nil {
			p.View(func(l *ledger) {
				if l.Events%100 != 0 {
					t.Errorf("%d events are seen", l.Events)
				}
			})
		}
	}()
	s.add(3000) // in batches of 100
	reach(t, p, 3000)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for _, b := range store.saves {
		if seq := savedSeq(b); seq%100 != 0 {
			t.Errorf("a checkpoint at %d", seq)
		}
	}
	if len(store.saves) < 2 {
		t.Errorf("%d checkpoints", len(store.saves))
	}
}

func TestAnIdleProjectionSavesWhatItHas(t *testing.T) {
	s := setUp(t, 3)
	saved := make(chan struct{})
	store := &memory{fail: func(int) error { close(saved); return nil }}
	p := s.project(func(c *projection.Config[ledger]) { c.Store = store })
	stop := start(t, p)
	select {
	case <-saved:
	case <-within(t).Done():
		t.Fatal("nothing is saved")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if len(store.saves) != 1 || savedSeq(store.saves[0]) != 3 {
		t.Errorf("%d checkpoints", len(store.saves))
	}
}

func TestAnotherVersionBeginsAnew(t *testing.T) {
	s := setUp(t, 40)
	store := &memory{}
	p := s.project(func(c *projection.Config[ledger]) { c.Store, c.Version = store, 7 })
	stop := start(t, p)
	reach(t, p, 40)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s.add(2)
	p = s.project(func(c *projection.Config[ledger]) { c.Store, c.Version = store, 8 })
	start(t, p)
	reach(t, p, 42)
	is(t, p, s.j, 42)
}

func TestServerRestartAndStreamRefillAreSurvived(t *testing.T) {
	s := setUp(t, 50)
	p := s.project()
	start(t, p)
	reach(t, p, 50)

	s.srv.Stop()
	s.srv.Start()
	s.add(50)
	reach(t, p, 100)

	if err := s.js.DeleteStream(within(t), stream); err != nil {
		t.Fatal(err)
	}
	s.add(50)
	reach(t, p, 150)
	is(t, p, s.j, 150)
}

func TestFoldErrorNamesTheEventAndKeepsTheCheckpoint(t *testing.T) {
	s := setUp(t, 100)
	refuse := errors.New("refused")
	for name, fold := range map[string]func(*ledger, projection.Event) error{
		"error": func(l *ledger, e projection.Event) error {
			if e.Seq == 61 {
				l.Events = 1 << 40
				return refuse
			}
			return book(l, e)
		},
		"panic": func(l *ledger, e projection.Event) error {
			if e.Seq == 61 {
				panic(refuse.Error())
			}
			return book(l, e)
		},
	} {
		store := &memory{}
		p := s.project(func(c *projection.Config[ledger]) { c.Store, c.Every, c.Fold = store, 1, fold })
		err := p.Run(within(t))
		var at *projection.EventError
		if !errors.As(err, &at) || at.Doing != "fold" || at.Seq != 61 || (name == "error") != errors.Is(err, refuse) {
			t.Fatalf("%s: %v", name, err)
		}
		if err := p.Wait(within(t), 100); !errors.As(err, &at) {
			t.Errorf("%s: wait: %v", name, err)
		}
		// Mended, it goes on from what was saved before.
		p = s.project(func(c *projection.Config[ledger]) { c.Store = store })
		stop := start(t, p)
		reach(t, p, 100)
		is(t, p, s.j, 100)
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}

func TestOneRunAtATime(t *testing.T) {
	s := setUp(t, 1)
	p := s.project()
	start(t, p)
	reach(t, p, 1)
	if err := p.Run(within(t)); !errors.Is(err, projection.ErrRunning) {
		t.Errorf("second run: %v", err)
	}
}

func TestWaitEndsWithItsContextAndWithRun(t *testing.T) {
	s := setUp(t, 1)
	p := s.project()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Wait(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("wait before run: %v", err)
	}
	stop := start(t, p)
	reach(t, p, 1)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(within(t), 2); !errors.Is(err, context.Canceled) {
		t.Errorf("wait after run: %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	srv := natstest.Run(t)
	js := srv.JetStream(srv.Connect())
	for name, c := range map[string]projection.Config[ledger]{
		"no JetStream": {Stream: stream, Fold: book},
		"no stream":    {JetStream: js, Fold: book},
		"no fold":      {JetStream: js, Stream: stream},
		"negative":     {JetStream: js, Stream: stream, Fold: book, Every: -1},
	} {
		if _, err := projection.New(c); !errors.Is(err, projection.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
