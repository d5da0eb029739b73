package projection_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/projection"
)

func TestAnErasureIsToldOnceInItsPlace(t *testing.T) {
	c := openClinic(t)
	var log told
	var erased projection.Erasure
	opens := map[uint64]causal.PayloadState{} // what the node says of the events while the hook is told
	var all []causal.Event
	p := c.project(log.hooks, func(config *projection.Config[files]) {
		config.Fold = func(f *files, e projection.Event) error {
			all = append(all, e.Event)
			return log.fold(f, e)
		}
		config.Erase = func(f *files, e projection.Erasure) error {
			erased = e
			opened, err := c.open(within(t), all)
			for i, o := range opened {
				opens[all[i].Seq] = o.State
			}
			return errors.Join(err, log.erase(f, e))
		}
	})
	stop := start(t, p)
	c.note("p", 1)
	c.note("q", 2)
	c.note("p", 3)
	if err := p.Wait(within(t), 3); err != nil {
		t.Fatal(err)
	}
	done := c.shred("p")
	c.note("q", 4)
	if err := p.Wait(within(t), c.last); err != nil {
		t.Fatal(err)
	}
	p.View(func(f *files) {
		if len(f.People) != 1 || f.People["q"] != 6 || len(f.ByKey) != 1 {
			t.Errorf("the state is %+v", f)
		}
	})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	log.is(t, "fold 1 opened", "fold 2 opened", "fold 3 opened", "erase 4 p", "fold 4 plain", "fold 5 opened")
	if erased.Reason != "asked to" || erased.Actor != "dpo" || erased.Events != 2 || !slices.Equal(erased.Keys, done.Keys) ||
		erased.Seq != 4 || erased.ID != done.Receipt.ID || erased.Time.Millis != done.Receipt.Time {
		t.Errorf("told of %+v, the node said %+v", erased, done)
	}
	if opens[1] != causal.Shredded || opens[2] != causal.Opened || opens[3] != causal.Shredded {
		t.Errorf("when the hook was told: %v", opens)
	}
	for _, ev := range all {
		if got := erased.Covers(&ev.Header); got != (ev.Subject == "p") {
			t.Errorf("it covers event %d of %s: %v", ev.Seq, ev.Subject, got)
		}
	}
}

func TestAProjectionThatWasStoppedIsToldWhenItReturns(t *testing.T) {
	c := openClinic(t)
	store := &memory{}
	var log told
	stored := func(config *projection.Config[files]) { config.Store = store }
	c.note("p", 1)
	c.note("q", 2)
	f := upTo(t, c.project(log.hooks, stored), 2)
	if f.People["p"] != 1 || !bytes.Contains(store.saves[len(store.saves)-1], []byte("p\x01")) {
		t.Fatalf("before the erasure: %+v", f)
	}
	log = nil
	c.shred("p")
	c.note("p", 4)
	f = upTo(t, c.project(log.hooks, stored), c.last)
	log.is(t, "erase 3 p", "fold 3 plain", "fold 4 plain", "fold 5 opened")
	if want := map[string]int{"p": 4, "q": 2}; !reflect.DeepEqual(f.People, want) || f.Erasures != 1 || len(f.ByKey) != 2 {
		t.Errorf("after it returned: %+v", f)
	}
	// And never again.
	c.note("q", 6)
	upTo(t, c.project(log.hooks, stored), c.last)
	log.is(t, "fold 6 opened")
}

func TestAnErasureIsToldAgainWhenTheJournalIsReadAgain(t *testing.T) {
	c := openClinic(t)
	c.note("p", 1)
	c.shred("p")
	c.shred("p")
	c.note("p", 4)
	for name, tc := range map[string]struct {
		open func(context.Context, []causal.Event) ([]projection.Opened, error)
		want [2]string
	}{
		"opened": {c.open, [2]string{"shredded", "opened"}},
		"sealed": {nil, [2]string{"key_missing", "key_missing"}},
	} {
		var log told
		f := upTo(t, c.project(log.hooks, func(config *projection.Config[files]) { config.Open = tc.open }), c.last)
		log.is(t, "fold 1 "+tc.want[0], "erase 2 p", "fold 2 plain", "erase 3 p", "fold 3 plain", "fold 4 plain", "fold 5 "+tc.want[1])
		if f.Erasures != 2 || f.Events != 5 {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// Between opening and folding, an erasure is too late to make an event shredded, and not too late
// to be told.
func TestAnErasureBetweenOpeningAndFoldingIsToldAfter(t *testing.T) {
	c := openClinic(t)
	c.note("p", 1)
	var log told
	f := upTo(t, c.project(log.hooks, func(config *projection.Config[files]) {
		config.Open = func(ctx context.Context, sealed []causal.Event) ([]projection.Opened, error) {
			opened, err := c.open(ctx, sealed)
			c.shred("p")
			return opened, err
		}
	}), 2)
	log.is(t, "fold 1 opened", "erase 2 p", "fold 2 plain")
	if len(f.People) != 0 || len(f.ByKey) != 0 || f.Erasures != 1 {
		t.Errorf("the state: %+v", f)
	}
}

// A crash between the hook and the checkpoint: outside of the state it is told again, in the state
// it counts once.
func TestAnErasureThatWasNotSavedIsToldAgain(t *testing.T) {
	c := openClinic(t)
	c.note("p", 1)
	c.shred("p")
	crash := errors.New("crash")
	store := &memory{fail: func(int) error { return crash }}
	var log told
	stored := func(config *projection.Config[files]) { config.Store = store }
	if err := c.project(log.hooks, stored).Run(within(t)); !errors.Is(err, crash) {
		t.Fatal(err)
	}
	store.fail = nil
	f := upTo(t, c.project(log.hooks, stored), c.last)
	once := []string{"fold 1 shredded", "erase 2 p", "fold 2 plain"}
	log.is(t, append(once, once...)...)
	if f.Erasures != 1 || f.Events != 2 {
		t.Errorf("the state: %+v", f)
	}
}

// Nothing but the erasure makes this projection save before it ends.
func TestTheCheckpointFromBeforeAnErasureIsReplacedSoon(t *testing.T) {
	c := openClinic(t)
	saved := make(chan struct{}, 10)
	store := &memory{fail: func(int) error { saved <- struct{}{}; return nil }}
	p := c.project(func(config *projection.Config[files]) {
		config.Store, config.Idle, config.Every = store, time.Hour, 1<<30
	})
	stop := start(t, p)
	c.note("p", 1)
	if err := p.Wait(within(t), 1); err != nil {
		t.Fatal(err)
	}
	c.shred("p")
	select {
	case <-saved:
	case <-within(t).Done():
		t.Fatal("nothing is saved")
	}
	for n := 3; n <= 4; n++ {
		c.note("q", n)
		if err := p.Wait(within(t), c.last); err != nil {
			t.Fatal(err)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	var at []uint64
	for _, b := range store.saves {
		at = append(at, savedSeq(b))
	}
	if !slices.Equal(at, []uint64{2, 4}) || bytes.Contains(store.saves[0], []byte("\xa1p")) {
		t.Errorf("checkpoints at %d: %q", at, store.saves)
	}
}

// Nothing is saved of what was folded since the last checkpoint: the hook may have changed it.
func TestAHookThatRefusesEndsRun(t *testing.T) {
	refuse := errors.New("refused")
	for name, hook := range map[string]func(*files, projection.Erasure) error{
		"error": func(f *files, _ projection.Erasure) error { f.Events = 1 << 40; return refuse },
		"panic": func(f *files, _ projection.Erasure) error { f.Events = 1 << 40; panic(refuse.Error()) },
	} {
		c := openClinic(t)
		store := &memory{}
		stored := func(config *projection.Config[files]) { config.Store = store }
		c.note("p", 1)
		upTo(t, c.project(stored), 1)
		saves := len(store.saves)
		p := c.project(stored, func(config *projection.Config[files]) { config.Erase, config.Idle = hook, time.Hour })
		ended := make(chan error, 1)
		go func() { ended <- p.Run(within(t)) }()
		c.note("q", 2)
		if err := p.Wait(within(t), 2); err != nil {
			t.Fatal(err)
		}
		c.shred("p")
		err := <-ended
		var at *projection.EventError
		if !errors.As(err, &at) || at.Doing != "erase" || at.Seq != 3 || at.ID.IsZero() || (name == "error") != errors.Is(err, refuse) {
			t.Fatalf("%s: %v", name, err)
		}
		if p.Seq() != 2 || len(store.saves) != saves {
			t.Errorf("%s: folded %d, saved %d times", name, p.Seq(), len(store.saves)-saves)
		}
		// Mended, it is told and goes on.
		var log told
		f := upTo(t, c.project(stored, log.hooks), 3)
		log.is(t, "fold 2 opened", "erase 3 p", "fold 3 plain")
		if f.Events != 3 || f.Erasures != 1 || f.People["q"] != 2 || len(f.People) != 1 {
			t.Errorf("%s: the state: %+v", name, f)
		}
	}
}

// The event of an erasure that does not say what was erased is refused, hook or no hook.
func TestAnErasureThatCannotBeReadIsRefused(t *testing.T) {
	body := func(e codec.Erasure) []byte {
		t.Helper()
		b, err := codec.Marshal(nil, codec.Msgpack, &e)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	kind := causal.Kind(0x1001)
	good := body(codec.Erasure{Subject: "p", Reason: "r", Keys: []causal.KeyID{{1}}, Events: 1})
	for name, tc := range map[string]struct {
		data  []byte
		scope string
		enc   *causal.Enc
		want  error
	}{
		"good":                  {good, causal.SystemScope, nil, nil},
		"of two":                {body(codec.Erasure{Subject: "p", Kind: &kind, Reason: "r", Keys: []causal.KeyID{}}), causal.SystemScope, nil, codec.ErrMalformed},
		"of nothing":            {[]byte{0x80}, causal.SystemScope, nil, codec.ErrMalformed},
		"no map":                {[]byte{0xa2, 'h', 'i'}, causal.SystemScope, nil, codec.ErrMalformed},
		"sealed":                {good, causal.SystemScope, &causal.Enc{Key: causal.KeyID{1}}, codec.ErrMalformed},
		"not the journal's own": {[]byte{0x80}, "s", nil, nil},
	} {
		for _, hook := range []func(*ledger, projection.Erasure) error{nil, func(*ledger, projection.Erasure) error { return nil }} {
			js, publish := byHand(t)
			ch := newChain()
			publish(ch.next("a", nil))
			publish(ch.event(causal.Coordinate{Scope: tc.scope, Entity: "erasures"}, tc.data, func(h *causal.Header) {
				h.Kind, h.Enc = causal.KindShred, tc.enc
			}))
			store := &memory{}
			p := project(t, js, withStore(store), func(c *projection.Config[ledger]) { c.Erase = hook })
			if tc.want == nil {
				stop := start(t, p)
				reach(t, p, 2)
				if err := stop(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			err := fails(t, p, tc.want)
			var at *projection.EventError
			if !errors.As(err, &at) || at.Doing != "check" || at.Seq != 2 || at.ID.IsZero() {
				t.Errorf("%s: %v", name, err)
			}
			if p.Seq() != 1 || len(store.saves) != 1 || savedSeq(store.saves[0]) != 1 {
				t.Errorf("%s: folded %d, %d saves", name, p.Seq(), len(store.saves))
			}
		}
	}
}

func TestWhoOpensPayloadsAndHasNoHookIsWarnedOnce(t *testing.T) {
	c := openClinic(t)
	c.note("p", 1)
	c.note("q", 2)
	c.shred("p")
	c.shred("q")
	for name, tc := range map[string]struct {
		tweak func(*projection.Config[files])
		want  int
	}{
		"no hook":      {func(config *projection.Config[files]) { config.Erase = nil }, 1},
		"a hook":       {func(*projection.Config[files]) {}, 0},
		"never opened": {func(config *projection.Config[files]) { config.Erase, config.Open = nil, nil }, 0},
	} {
		var out bytes.Buffer
		f := upTo(t, c.project(tc.tweak, func(config *projection.Config[files]) {
			config.Logger = slog.New(slog.NewTextHandler(&out, nil))
		}), c.last)
		if got := strings.Count(out.String(), "level=WARN"); got != tc.want || f.Events != 4 {
			t.Errorf("%s: %d warnings, %d events: %s", name, got, f.Events, out.String())
		}
	}
}

// Whenever a projection reads, and however often it is stopped: with every erasure behind it, its
// state is the one of a projection that never had the payloads of those who were erased.
func TestNothingOfTheErasedIsLeftInTheState(t *testing.T) {
	c := openClinic(t)
	store := &memory{}
	want := map[string]int{} // what was said of people and not erased
	people := []string{"p", "q", "r", "s"}
	following := c.project() // all the time, and so it folds in clear
	start(t, following)
	resumed := func() files {
		return upTo(t, c.project(func(config *projection.Config[files]) {
			config.Store, config.Every = store, 1+rand.IntN(10)
		}), c.last)
	}
	erasures := 0
	for n := range 120 {
		person := people[rand.IntN(len(people))]
		if _, known := want[person]; known && rand.IntN(6) == 0 {
			if rand.IntN(2) == 0 { // otherwise it may not have folded what is erased now
				if err := following.Wait(within(t), c.last); err != nil {
					t.Fatal(err)
				}
			}
			c.shred(person)
			delete(want, person)
			erasures++
		} else {
			c.note(person, n)
			want[person] += n
		}
		if rand.IntN(20) == 0 {
			if f := resumed(); !reflect.DeepEqual(f.People, want) {
				t.Fatalf("at %d the one that resumes has %v, want %v", c.last, f.People, want)
			}
		}
	}
	if err := following.Wait(within(t), c.last); err != nil {
		t.Fatal(err)
	}
	never := upTo(t, c.project(), c.last)
	again := resumed()
	if !reflect.DeepEqual(never.People, want) || never.Erasures != erasures {
		t.Fatalf("the one that reads only now has %+v, want %v and %d erasures", never, want, erasures)
	}
	following.View(func(f *files) {
		if !reflect.DeepEqual(*f, never) {
			t.Errorf("the one that followed has %+v, want %+v", *f, never)
		}
	})
	if !reflect.DeepEqual(again, never) {
		t.Errorf("the one that resumed has %+v, want %+v", again, never)
	}
}
