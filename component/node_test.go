package component_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"batpak/causal"
	"batpak/component"
	"batpak/component/internal/natstest"
	"batpak/keystore"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const kind = causal.Kind(0x1001)

// bed is a node, and a client, on a server of their own.
type bed struct {
	server *natstest.Server
	cfg    component.Config
	node   *component.Node
	nc     *nats.Conn // the client's
	client *component.Client
}

// serve starts a node for the journal "main".
func serve(t *testing.T, tweaks ...func(*component.Config)) *bed {
	t.Helper()
	t.Parallel()
	return serveOn(t, func(*server.Options) {}, tweaks...)
}

// serveAlone is serve for a test that no other runs beside.
func serveAlone(t testing.TB, tweaks ...func(*component.Config)) *bed {
	t.Helper()
	return serveOn(t, func(*server.Options) {}, tweaks...)
}

// serveOn is serveAlone with other options of the server.
func serveOn(t testing.TB, options func(*server.Options), tweaks ...func(*component.Config)) *bed {
	t.Helper()
	b := &bed{server: natstest.Run(t, options)}
	b.cfg = component.Config{
		Conn: b.server.Connect(), Dir: t.TempDir(), Name: "main", SegmentBytes: 4 << 20,
		ClaimWait: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	}
	for _, tweak := range tweaks {
		tweak(&b.cfg)
	}
	b.open(t)
	b.nc = b.server.Connect()
	b.client = client(t, b.nc)
	return b
}

// open starts the node, at first and after it was closed.
func (b *bed) open(t testing.TB) {
	t.Helper()
	node, err := component.Open(context.Background(), b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	b.node = node
	t.Cleanup(func() { node.Close() })
}

func client(t testing.TB, nc *nats.Conn) *component.Client {
	t.Helper()
	c, err := component.NewClient(nc, component.ClientOptions{Journal: "main"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func noOnward(c *component.Config) { c.Onward = component.OnwardNone }

func sealed(c *component.Config) { c.Seal = keystore.Entity }

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func at(scope, entity string) causal.Coordinate {
	return causal.Coordinate{Scope: scope, Entity: entity}
}
