package relay_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"batpak/codec"
	"batpak/component/internal/journaltest"
	"batpak/component/internal/natstest"
	"batpak/component/relay"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestMessageNIsEventN(t *testing.T) {
	_, nc, js, j := setUp(t, 1500)
	r := start(t, j, nc)
	reach(t, r, 1500)
	fill(t, j, 700)
	reach(t, r, 2200)
	sameAsJournal(t, js, j)

	for i, m := range onward(t, js) {
		ev, err := codec.DecodeEnvelope(m.Data())
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("batpak.main.events.%s.%s.%04x", codec.EscapeToken(ev.Scope), codec.EscapeToken(ev.Entity), uint16(ev.Kind))
		if m.Subject() != want {
			t.Fatalf("subject %q, want %q", m.Subject(), want)
		}
		if got := m.Headers().Get("traceparent"); got != ev.Meta["traceparent"] {
			t.Fatalf("message %d has traceparent %q, the event %q", i+1, got, ev.Meta["traceparent"])
		}
	}
}

func TestCreatedStreamIsMarkedAndKeepsItsNumbering(t *testing.T) {
	_, nc, js, j := setUp(t, 3)
	reach(t, start(t, j, nc), 3)
	s, err := js.Stream(within(t), stream)
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	if c.Metadata["batpak.journal"] != "main" || c.Metadata["batpak.lineage"] != j.Lineage().String() {
		t.Errorf("metadata %v", c.Metadata)
	}
	if c.Storage != jetstream.FileStorage || !c.AllowDirect || !c.DenyDelete || !c.DenyPurge || c.Replicas != 1 {
		t.Errorf("config %+v", c)
	}
	if len(c.Subjects) != 1 || c.Subjects[0] != "batpak.main.events.>" {
		t.Errorf("subjects %q", c.Subjects)
	}
}

// A relay that is cut off anywhere, with messages on their way, leaves a stream that the next
// one completes.
func TestKilledAnywhereTheStreamIsStillExact(t *testing.T) {
	srv, _, js, j := setUp(t, 0)
	for kill := range uint64(30) {
		nc := srv.Connect()
		fill(t, j, 150)
		ctx, cancel := context.WithCancel(context.Background())
		r, err := relay.Start(ctx, relay.Config{Journal: j, Conn: nc, MaxPending: 1 + rand.IntN(60)})
		if err != nil {
			t.Fatal(err)
		}
		reach(t, r, 130*kill+1+rand.Uint64N(130))
		if kill%2 == 0 {
			nc.Close() // what is still in the connection's buffer is lost
		}
		cancel()
		<-r.Done()
	}
	reach(t, start(t, j, srv.Connect()), 30*150)
	sameAsJournal(t, js, j)
}

func TestTwoRelaysOfOneJournalDoNotDuplicate(t *testing.T) {
	srv, nc, js, j := setUp(t, 2000)
	a := start(t, j, nc)
	b := start(t, j, srv.Connect())
	reach(t, a, 2000)
	reach(t, b, 2000)
	fill(t, j, 50)
	reach(t, a, 2050)
	reach(t, b, 2050)
	sameAsJournal(t, js, j)
}

func TestDeletedStreamIsFilledAgainFromTheStart(t *testing.T) {
	_, nc, js, j := setUp(t, 500)
	r := start(t, j, nc)
	reach(t, r, 500)
	if err := js.DeleteStream(within(t), stream); err != nil {
		t.Fatal(err)
	}
	fill(t, j, 10)
	reach(t, r, 510)
	sameAsJournal(t, js, j)
}

func TestServerRestartIsSurvived(t *testing.T) {
	srv, nc, js, j := setUp(t, 300)
	r := start(t, j, nc)
	for round := range 3 {
		reach(t, r, 300+uint64(round)*400)
		srv.Stop()
		fill(t, j, 200)
		srv.Start()
		fill(t, j, 200)
	}
	reach(t, r, 300+3*400)
	sameAsJournal(t, js, j)
}

func TestServerMayComeLater(t *testing.T) {
	srv := natstest.Run(t)
	srv.Stop()
	nc := srv.Connect(nats.RetryOnFailedConnect(true))
	j := journaltest.Open(t, t.TempDir(), "main")
	fill(t, j, 20)
	r := start(t, j, nc)
	if got := r.State(); got.Phase != relay.Starting || got.Published != 0 {
		t.Fatalf("state %+v", got)
	}
	srv.Start()
	reach(t, r, 20)
	sameAsJournal(t, srv.JetStream(nc), j)
}

func TestSmallWindowsLoseNothing(t *testing.T) {
	for _, tc := range []struct{ messages, bytes, size int }{
		{1, 0, 10}, {2, 0, 10}, {3, 1, 10}, {0, 500, 10}, {0, 4000, 3000}, {7, 1 << 20, 300_000},
	} {
		t.Run(fmt.Sprintf("%+v", tc), func(t *testing.T) {
			_, nc, js, j := setUp(t, 10)
			journaltest.Fill(t, j, 40, tc.size)
			r := start(t, j, nc, func(c *relay.Config) { c.MaxPending, c.MaxPendingBytes = tc.messages, tc.bytes })
			reach(t, r, 50)
			sameAsJournal(t, js, j)
		})
	}
}

func TestLimitsOfTheStreamDoNotChangeNumbering(t *testing.T) {
	_, nc, js, j := setUp(t, 100)
	config := jetstream.StreamConfig{Name: stream, Subjects: []string{"batpak.main.events.>"}, MaxMsgs: 10}
	s, err := js.CreateStream(within(t), config)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, j, nc)
	reach(t, r, 100)
	if err := r.Stop(within(t)); err != nil {
		t.Fatal(err)
	}
	if got := onward(t, js); len(got) != 10 {
		t.Fatalf("%d messages", len(got))
	}
	if err := s.Purge(within(t)); err != nil { // the stream was not made by a relay, so it allows this
		t.Fatal(err)
	}
	fill(t, j, 5)
	reach(t, start(t, j, nc), 105)
	for i, m := range onward(t, js) {
		meta, err := m.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		ev, err := codec.DecodeEnvelope(m.Data())
		if err != nil || meta.Sequence.Stream != ev.Seq || ev.Seq != uint64(101+i) {
			t.Fatalf("message %d is event %d (%v)", meta.Sequence.Stream, ev.Seq, err)
		}
	}
}

func TestStopPublishesWhatIsCommitted(t *testing.T) {
	_, nc, js, j := setUp(t, 3000)
	r := start(t, j, nc)
	if err := r.Stop(within(t)); err != nil {
		t.Fatal(err)
	}
	sameAsJournal(t, js, j)
	if got := r.State(); got.Phase != relay.Stopped || got.Err != nil || got.Published != 3000 {
		t.Errorf("state %+v", got)
	}
	if err := r.Wait(within(t), 3001); !errors.Is(err, relay.ErrStopped) {
		t.Errorf("wait after stop: %v", err)
	}
}

func TestStopIsBoundedByItsContext(t *testing.T) {
	srv, nc, _, j := setUp(t, 10)
	r := start(t, j, nc)
	reach(t, r, 10)
	srv.Stop()
	fill(t, j, 1)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("stop: %v", err)
	}
	if got := r.State(); got.Phase != relay.Stopped || got.Published != 10 {
		t.Errorf("state %+v", got)
	}
}

// Whatever a listener is told is already in the stream, and what it is told only grows.
func TestWatermarkIsNeverAheadOfTheStream(t *testing.T) {
	srv, nc, _, j := setUp(t, 2000)
	js := srv.JetStream(srv.Connect())
	r := start(t, j, nc)
	type told struct{ seq, has uint64 }
	all := make(chan told, 2000)
	r.OnPublished(func(seq uint64) {
		has := told{seq: seq}
		if s, err := js.Stream(context.Background(), stream); err == nil {
			has.has = s.CachedInfo().State.LastSeq
		}
		all <- has
	})
	for last := uint64(0); last < 2000; {
		select {
		case now := <-all:
			if now.seq > now.has || now.seq <= last {
				t.Fatalf("told %d after %d, the stream has %d", now.seq, last, now.has)
			}
			last = now.seq
		case <-within(t).Done():
			t.Fatalf("stuck at %d", last)
		}
	}
	if got := r.Published(); got != 2000 {
		t.Errorf("published %d", got)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	_, nc, _, j := setUp(t, 1)
	r := start(t, j, nc)
	reach(t, r, 0)
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := r.Wait(ctx, 2); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait: %v", err)
	}
}

func TestClosedConnectionStopsTheRelay(t *testing.T) {
	_, nc, _, j := setUp(t, 5)
	r := start(t, j, nc)
	reach(t, r, 5)
	nc.Close()
	fill(t, j, 1)
	if err := r.Wait(within(t), 6); !errors.Is(err, relay.ErrStopped) || !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("wait: %v", err)
	}
}
