package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ServerOptions say what a server should be able to do. The zero value is a
// server without JetStream.
type ServerOptions struct {
	StoreDir   string // where JetStream keeps its files; empty: no JetStream
	SyncAlways bool   // sync each write before it is acknowledged, sync_interval: always
}

// A Server is a nats-server in this process, on a loopback port of its own.
type Server struct{ ns *server.Server }

const startTimeout = 10 * time.Second

// StartServer starts a server; the caller closes it.
func StartServer(o ServerOptions) (*Server, error) {
	ns, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT,
		JetStream: o.StoreDir != "", StoreDir: o.StoreDir, SyncAlways: o.SyncAlways,
		NoLog: true, NoSigs: true,
	})
	if err != nil {
		return nil, fmt.Errorf("bench: nats-server: %w", err)
	}
	ns.Start()
	s := &Server{ns}
	if !ns.ReadyForConnections(startTimeout) {
		s.Close()
		return nil, fmt.Errorf("bench: nats-server: not ready after %s", startTimeout)
	}
	return s, nil
}

// URL is where clients reach the server.
func (s *Server) URL() string { return s.ns.ClientURL() }

// Close stops the server and waits until it has stopped.
func (s *Server) Close() {
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
}

// Connect opens n connections to a server; the caller closes them. When one
// fails, none stays open.
func Connect(url string, n int, options ...nats.Option) ([]*nats.Conn, error) {
	conns := make([]*nats.Conn, 0, n)
	for range n {
		nc, err := nats.Connect(url, options...)
		if err != nil {
			Disconnect(conns)
			return nil, fmt.Errorf("bench: connect to %s: %w", url, err)
		}
		conns = append(conns, nc)
	}
	return conns, nil
}

// Disconnect closes the connections.
func Disconnect(conns []*nats.Conn) {
	for _, nc := range conns {
		nc.Close()
	}
}

// Echo answers requests with their own bytes. It is the least that a NATS
// service can do, and so the bound for any other.
type Echo struct{ sub *nats.Subscription }

// StartEcho starts to answer on a subject of its own, until Stop or until the
// connection closes.
func StartEcho(nc *nats.Conn) (*Echo, error) {
	// A reply that cannot be sent is seen by whoever waits for it.
	sub, err := nc.Subscribe(nc.NewInbox(), func(m *nats.Msg) { _ = m.Respond(m.Data) })
	if err == nil {
		err = nc.Flush() // the server knows of it before the first request comes
	}
	if err != nil {
		return nil, fmt.Errorf("bench: echo: %w", err)
	}
	return &Echo{sub}, nil
}

// Subject is where it answers.
func (e *Echo) Subject() string { return e.sub.Subject }

// Stop ends it.
func (e *Echo) Stop() error {
	if err := e.sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("bench: echo: %w", err)
	}
	return nil
}

// NewStream makes a JetStream stream with one replica, on disk, that takes every
// message published to the subject. It fails when the name is taken.
func NewStream(ctx context.Context, nc *nats.Conn, name, subject string) error {
	js, err := jetstream.New(nc)
	if err == nil {
		_, err = js.CreateStream(ctx, jetstream.StreamConfig{
			Name: name, Subjects: []string{subject},
			Storage: jetstream.FileStorage, Replicas: 1,
		})
	}
	if err != nil {
		return fmt.Errorf("bench: stream %s: %w", name, err)
	}
	return nil
}
