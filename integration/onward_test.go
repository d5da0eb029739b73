package integration

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestOnwardStreamIsWholeAgainAfterDowntime takes away from a node, while clients append, its
// server, then the onward stream, then everything that the server's JetStream has.
func TestOnwardStreamIsWholeAgainAfterDowntime(t *testing.T) {
	srv := runServer(t)
	p := serve(t, "--dir", newDir(t), "--url", srv.url)
	quick := []nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond), nats.ReconnectJitter(0, 0)}

	const appenders = 4
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	progress := make(chan struct{})
	ended := make(chan error, appenders)
	for i := range appenders {
		c := client{connectTo(t, srv.url, quick...)}
		go func() { ended <- appendThrough(ctx, c, fmt.Sprintf("a%d", i), progress) }()
	}
	further := func(n int) {
		t.Helper()
		for range n {
			select {
			case <-progress:
			case err := <-ended:
				t.Fatalf("an appender ended: %v", err)
			}
		}
	}
	further(200)
	srv.stop()
	srv.start()
	further(200)

	js, err := jetstream.New(connectTo(t, srv.url, quick...))
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(within(t), "BATPAK_MAIN"); err != nil {
		t.Fatal(err)
	}
	further(200)

	srv.stop()
	srv.forget()
	srv.start()
	further(200)
	cancel()
	for range appenders {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}

	c := client{connectTo(t, srv.url)}
	last, err := c.append(within(t), "shop", "last", fields{{"kind", 0x1001}, {"data", nil}})
	if err != nil {
		t.Fatal(err)
	}
	events := readAll(t, c)
	if uint64(len(events)) != last.seq {
		t.Fatalf("%d events, the last one is %d", len(events), last.seq)
	}
	keys := map[string]uint64{}
	for _, e := range events {
		if before, twice := keys[e.key]; twice {
			t.Fatalf("events %d and %d have the key %q", before, e.seq, e.key)
		}
		keys[e.key] = e.seq
	}
	// The stream may have to be made first: nothing tells when it was, but its message can be asked for.
	for wait := within(t); ; {
		if err = c.onwardEqualsJournal(wait, events); err == nil || !errors.Is(err, jetstream.ErrStreamNotFound) {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if published := c.status(t).num("published"); published != last.seq {
		t.Errorf("published is %d of %d", published, last.seq)
	}
	t.Logf("%d events", len(events))
	p.stop()
}

// appendThrough appends until ctx ends, each event with a key and as often as it takes to get an
// answer. It sends to progress for each.
func appendThrough(ctx context.Context, c client, name string, progress chan<- struct{}) error {
	for i := 0; ; i++ {
		body := fields{{"kind", 0x1001}, {"data", i}, {"key", fmt.Sprintf("%s-%d", name, i)}}
		for {
			try, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
			_, err := c.append(try, "shop", name, body)
			var refused *refusal
			if err != nil && !errors.As(err, &refused) {
				<-try.Done() // nobody is there: not again before the time is up
			}
			cancel()
			switch {
			case ctx.Err() != nil:
				return nil
			case refused != nil:
				return err
			}
			if err == nil {
				break
			}
		}
		select {
		case progress <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
	}
}

func connectTo(t testing.TB, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}
