package projection_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"
	"batpak/component/internal/natstest"
	"batpak/component/projection"
	"batpak/keystore"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/vmihailenco/msgpack/v5"
)

// clinic is a node whose payloads are sealed by data subject, and a client of it.
type clinic struct {
	t      testing.TB
	js     jetstream.JetStream
	client *component.Client
	last   uint64 // sequence of what was appended last
}

func openClinic(t testing.TB) *clinic {
	t.Helper()
	srv := natstest.Run(t)
	node, err := component.Open(within(t), component.Config{
		Conn: srv.Connect(), Dir: t.TempDir(), Name: "main", Seal: keystore.Subject, RequireSubject: true,
		SegmentBytes: 4 << 20, ClaimWait: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Close() })
	nc := srv.Connect()
	client, err := component.NewClient(nc, component.ClientOptions{Journal: "main"})
	if err != nil {
		t.Fatal(err)
	}
	return &clinic{t: t, js: srv.JetStream(nc), client: client}
}

// note appends an event about a person, whose key scope is renewed when it was erased.
func (c *clinic) note(person string, n int) {
	c.t.Helper()
	data, err := msgpack.Marshal(n)
	if err != nil {
		c.t.Fatal(err)
	}
	at := causal.Coordinate{Scope: "ward", Entity: fmt.Sprintf("bed-%d", n%3)}
	r, err := c.client.AppendRaw(within(c.t), at, 0x1001, data, component.WithSubject(person), component.Renew(), component.AckStream())
	if err != nil {
		c.t.Fatal(err)
	}
	c.last = r.Seq
}

// shred erases a person and returns what the erasure did.
func (c *clinic) shred(person string) codec.ShredReply {
	c.t.Helper()
	done, err := c.client.Shred(within(c.t), codec.ShredRequest{Subject: person, Reason: "asked to", Actor: "dpo"})
	if err != nil {
		c.t.Fatal(err)
	}
	c.last = done.Receipt.Seq
	return done
}

// open is a Config.Open that asks the node.
func (c *clinic) open(ctx context.Context, sealed []causal.Event) ([]projection.Opened, error) {
	ids := make([]causal.EventID, len(sealed))
	for i := range sealed {
		ids[i] = sealed[i].ID
	}
	var opened []projection.Opened
	for o, err := range c.client.OpenIDs(ctx, ids...) {
		if err != nil {
			return nil, err
		}
		opened = append(opened, projection.Opened{State: o.State, Payload: o.Payload})
	}
	return opened, nil
}

// files is what is known of people. Nothing is made of a shredded event, except that it is counted.
type files struct {
	Events   int            `msgpack:"events"`
	Erasures int            `msgpack:"erasures"`
	People   map[string]int `msgpack:"people"`
	ByKey    map[string]int `msgpack:"by_key"`
}

func noFiles() files { return files{People: map[string]int{}, ByKey: map[string]int{}} }

func file(f *files, e projection.Event) error {
	f.Events++
	if e.State != causal.Opened {
		return nil
	}
	var n int
	if err := msgpack.Unmarshal(e.Payload, &n); err != nil {
		return err
	}
	f.People[e.Subject] += n
	f.ByKey[e.Enc.Key.String()] += n
	return nil
}

func unfile(f *files, e projection.Erasure) error {
	f.Erasures++
	delete(f.People, e.Subject)
	for _, key := range e.Keys {
		delete(f.ByKey, key.String())
	}
	return nil
}

func (c *clinic) project(tweaks ...func(*projection.Config[files])) *projection.Projection[files] {
	c.t.Helper()
	config := projection.Config[files]{JetStream: c.js, Stream: stream, New: noFiles, Fold: file, Erase: unfile, Open: c.open,
		Idle: 10 * time.Millisecond}
	for _, tweak := range tweaks {
		tweak(&config)
	}
	p, err := projection.New(config)
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

// upTo runs a projection until it has folded seq, and returns its state then.
func upTo(t testing.TB, p *projection.Projection[files], seq uint64) files {
	t.Helper()
	stop := start(t, p)
	if err := p.Wait(within(t), seq); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	var f files
	p.View(func(state *files) { f = *state })
	return f
}

// told is a log of what a projection's functions are called for, in order.
type told []string

func (l *told) fold(f *files, e projection.Event) error {
	*l = append(*l, fmt.Sprintf("fold %d %s", e.Seq, e.State))
	return file(f, e)
}

func (l *told) erase(f *files, e projection.Erasure) error {
	*l = append(*l, fmt.Sprintf("erase %d %s", e.Seq, e.Subject))
	return unfile(f, e)
}

func (l *told) hooks(c *projection.Config[files]) { c.Fold, c.Erase = l.fold, l.erase }

// is fails unless the log is what is wanted, and empties it.
func (l *told) is(t testing.TB, want ...string) {
	t.Helper()
	if !slices.Equal(*l, want) {
		t.Errorf("got  %s\nwant %s", strings.Join(*l, ", "), strings.Join(want, ", "))
	}
	*l = nil
}
