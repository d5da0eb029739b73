package relay_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"batpak/component/internal/journaltest"
	"batpak/component/internal/natstest"
	"batpak/component/relay"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// stops waits until the relay has stopped because of want, about message seq.
func stops(t *testing.T, r *relay.Relay, want error, seq uint64) {
	t.Helper()
	select {
	case <-r.Done():
	case <-within(t).Done():
		t.Fatalf("does not stop: %+v", r.State())
	}
	var wrong *relay.StreamError
	if err := r.State().Err; !errors.Is(err, want) || !errors.As(err, &wrong) || wrong.Seq != seq {
		t.Fatalf("stopped with %v, want %q about message %d", err, want, seq)
	}
	if err := r.Wait(context.Background(), 1<<40); !errors.Is(err, relay.ErrStopped) || !errors.Is(err, want) {
		t.Fatalf("wait: %v", err)
	}
}

func TestStreamOfAnotherJournalIsRefused(t *testing.T) {
	_, nc, js, j := setUp(t, 10)
	reach(t, start(t, j, nc), 10)
	other := journaltest.Open(t, t.TempDir(), "main")
	fill(t, other, 10)
	stops(t, start(t, other, nc), relay.ErrForeign, 0)
	sameAsJournal(t, js, j)
}

func TestStreamThatDoesNotFitIsRefused(t *testing.T) {
	subjects := []string{"batpak.main.events.>"}
	for name, tc := range map[string]struct {
		config jetstream.StreamConfig
		want   error
	}{
		"other journal": {jetstream.StreamConfig{Subjects: subjects, Metadata: map[string]string{"batpak.journal": "Main"}}, relay.ErrForeign},
		"more subjects": {jetstream.StreamConfig{Subjects: append([]string{"more"}, subjects...)}, relay.ErrUnfit},
		"no acks":       {jetstream.StreamConfig{Subjects: subjects, NoAck: true}, relay.ErrUnfit},
		"late start":    {jetstream.StreamConfig{Subjects: subjects, FirstSeq: 5}, relay.ErrUnfit},
		"work queue":    {jetstream.StreamConfig{Subjects: subjects, Retention: jetstream.WorkQueuePolicy}, relay.ErrUnfit},
		"transform": {jetstream.StreamConfig{Subjects: subjects,
			SubjectTransform: &jetstream.SubjectTransformConfig{Source: ">", Destination: "x.>"}}, relay.ErrUnfit},
		"sourced": {jetstream.StreamConfig{Subjects: subjects, Sources: []*jetstream.StreamSource{{Name: "other"}}}, relay.ErrUnfit},
	} {
		t.Run(name, func(t *testing.T) {
			_, nc, js, j := setUp(t, 1)
			tc.config.Name = stream
			if _, err := js.CreateStream(within(t), tc.config); err != nil {
				t.Fatal(err)
			}
			stops(t, start(t, j, nc), tc.want, 0)
		})
	}
}

func TestUnmarkedStreamIsTakenOnlyWhenItNeverHadAMessage(t *testing.T) {
	_, nc, js, j := setUp(t, 10)
	s, err := js.CreateStream(within(t), jetstream.StreamConfig{Name: stream, Subjects: []string{"batpak.main.events.>"}, Description: "mine"})
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, j, nc)
	reach(t, r, 10)
	if err := r.Stop(within(t)); err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if info.Config.Description != "mine" || info.Config.Metadata["batpak.lineage"] != j.Lineage().String() {
		t.Errorf("config %+v", info.Config)
	}

	// The same stream with the same messages, without the mark: nobody's.
	config := info.Config
	config.Metadata = nil
	if _, err := js.UpdateStream(within(t), config); err != nil {
		t.Fatal(err)
	}
	stops(t, start(t, j, nc), relay.ErrForeign, 0)
}

// publish publishes raw messages into the onward stream, as some other writer would.
func publish(t *testing.T, js jetstream.JetStream, data ...[]byte) {
	t.Helper()
	for _, d := range data {
		if _, err := js.Publish(within(t), "batpak.main.events.x.y.1001", d); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOtherWriterIsNoticedByARunningRelay(t *testing.T) {
	_, nc, js, j := setUp(t, 10)
	r := start(t, j, nc)
	reach(t, r, 10)
	publish(t, js, []byte("not an event"))
	fill(t, j, 1)
	stops(t, r, relay.ErrOtherWriter, 11)
	if got := r.Published(); got != 10 {
		t.Errorf("published %d", got)
	}
}

// A foreign message takes the number of an event in the middle of a pipeline. What follows it
// is what the journal has, so the last message alone does not give it away.
func TestOtherWriterIsNoticedBehindGoodMessages(t *testing.T) {
	_, nc, js, j := setUp(t, 10)
	r := start(t, j, nc)
	reach(t, r, 10)
	if err := r.Stop(within(t)); err != nil {
		t.Fatal(err)
	}
	publish(t, js, []byte("not an event"))
	fill(t, j, 500)
	for seq := uint64(12); seq <= 500; seq++ {
		publish(t, js, envelope(t, j, seq))
	}
	stops(t, start(t, j, nc), relay.ErrOtherWriter, 11)
}

func TestStreamAheadOfTheJournalStopsTheRelay(t *testing.T) {
	srv := natstest.Run(t)
	nc := srv.Connect()
	dir := t.TempDir()
	j := journaltest.Open(t, dir, "main")
	fill(t, j, 10)
	old := journaltest.Open(t, journaltest.Backup(t, dir), "main")
	fill(t, j, 3)
	r := start(t, j, nc)
	reach(t, r, 13)
	if err := r.Stop(within(t)); err != nil {
		t.Fatal(err)
	}
	stops(t, start(t, old, nc), relay.ErrAhead, 13)

	// Once the old journal has gone on by itself, it is not ahead: it is another history.
	fill(t, old, 5)
	stops(t, start(t, old, nc), relay.ErrOtherWriter, 11)
	sameAsJournal(t, srv.JetStream(nc), j)
}

// Messages that get nowhere, here because the server does not allow them, are tried again and
// not believed to be published.
func TestMissingAcknowledgementsAreNoticedAndTriedAgain(t *testing.T) {
	users := func(deny ...string) []*server.User {
		return []*server.User{{Username: "relay", Password: "relay", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{">"}, Deny: deny},
		}}}
	}
	srv := natstest.Run(t, func(o *server.Options) { o.Users = users("batpak.*.events.>") })
	nc := srv.Connect(nats.UserInfo("relay", "relay"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	j := journaltest.Open(t, t.TempDir(), "main")
	fill(t, j, 100)
	noticed := make(notices, 1)
	r := start(t, j, nc, func(c *relay.Config) { c.AckWait, c.Logger = 20*time.Millisecond, noticed.logger() })
	reach(t, r, 0)
	for range 3 {
		select {
		case <-noticed:
		case <-within(t).Done():
			t.Fatal("missing acknowledgements are not noticed")
		}
	}
	if got := r.Published(); got != 0 {
		t.Fatalf("published %d", got)
	}
	srv.Reload(func(o *server.Options) { o.Users = users("nothing") })
	reach(t, r, 100)
	sameAsJournal(t, srv.JetStream(nc), j)
}

func TestConfigIsChecked(t *testing.T) {
	nc := natstest.Run(t).Connect()
	j := journaltest.Open(t, t.TempDir(), "main")
	for name, c := range map[string]relay.Config{
		"no journal":  {Conn: nc},
		"no conn":     {Journal: j},
		"prefix":      {Journal: j, Conn: nc, Prefix: "a..b"},
		"wildcard":    {Journal: j, Conn: nc, Prefix: "a.*"},
		"stream name": {Journal: j, Conn: nc, Stream: "a.b"},
		"negative":    {Journal: j, Conn: nc, MaxPending: -1},
	} {
		if _, err := relay.Start(context.Background(), c); !errors.Is(err, relay.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := fmt.Sprint(relay.Starting, relay.Running, relay.Retrying, relay.Stopped); got != "starting running retrying stopped" {
		t.Error(got)
	}
}
