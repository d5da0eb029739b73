package relay_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"batpak/component/internal/journaltest"
	"batpak/component/internal/natstest"
	"batpak/component/journal"
	"batpak/component/relay"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const patience = 30 * time.Second

// within gives a test's waiting an end.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// start starts a relay that is taken down with the test.
func start(t testing.TB, j relay.Source, nc *nats.Conn, tweaks ...func(*relay.Config)) *relay.Relay {
	t.Helper()
	c := relay.Config{Journal: j, Conn: nc}
	for _, tweak := range tweaks {
		tweak(&c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r, err := relay.Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); <-r.Done() })
	return r
}

// reach waits until everything up to seq is published.
func reach(t testing.TB, r *relay.Relay, seq uint64) {
	t.Helper()
	if err := r.Wait(within(t), seq); err != nil {
		t.Fatalf("%v; state %+v", err, r.State())
	}
}

const stream = "BATPAK_MAIN"

// onward returns the messages that the stream has.
func onward(t testing.TB, js jetstream.JetStream) []jetstream.Msg {
	t.Helper()
	ctx := within(t)
	s, err := js.Stream(ctx, stream)
	if err != nil {
		t.Fatal(err)
	}
	var all []jetstream.Msg
	left := s.CachedInfo().State.Msgs
	if left == 0 {
		return nil
	}
	cons, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	it, err := cons.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer it.Stop()
	for ; left > 0; left-- {
		m, err := it.Next(jetstream.NextMaxWait(patience))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// sameAsJournal fails unless the stream has exactly the journal's events, message N being event
// N byte for byte.
func sameAsJournal(t testing.TB, js jetstream.JetStream, j relay.Source) {
	t.Helper()
	messages := onward(t, js)
	if uint64(len(messages)) != j.Visible() {
		t.Fatalf("the stream has %d messages, the journal %d events", len(messages), j.Visible())
	}
	for after := uint64(0); after < j.Visible(); {
		last, err := j.Scan(context.Background(), after, 1<<20, func(seq uint64, envelope []byte) error {
			m := messages[seq-1]
			meta, err := m.Metadata()
			if err != nil {
				return err
			}
			if meta.Sequence.Stream != seq || !bytes.Equal(m.Data(), envelope) {
				return fmt.Errorf("message %d is not event %d", meta.Sequence.Stream, seq)
			}
			if got := m.Headers().Get("Nats-Expected-Last-Sequence"); got != fmt.Sprint(seq-1) {
				return fmt.Errorf("message %d expected %q before it", seq, got)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		after = last
	}
}

// setUp gives a test a server, a connection and a journal with n events.
func setUp(t testing.TB, n int) (*natstest.Server, *nats.Conn, jetstream.JetStream, *journal.Journal) {
	t.Helper()
	srv := natstest.Run(t)
	nc := srv.Connect()
	j := journaltest.Open(t, t.TempDir(), "main")
	fill(t, j, n)
	return srv, nc, srv.JetStream(nc), j
}

func fill(t testing.TB, j *journal.Journal, n int) {
	t.Helper()
	journaltest.Fill(t, j, n, 64)
}

func envelope(t testing.TB, j *journal.Journal, seq uint64) []byte {
	t.Helper()
	ev, err := j.GetSeq(seq)
	if err != nil {
		t.Fatal(err)
	}
	return ev.Envelope
}

// notices has a token after a relay logged trouble.
type notices chan struct{}

func (n notices) logger() *slog.Logger { return slog.New(slog.NewTextHandler(n, nil)) }

func (n notices) Write(b []byte) (int, error) {
	select {
	case n <- struct{}{}:
	default:
	}
	return len(b), nil
}
