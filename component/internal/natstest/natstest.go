// Package natstest runs a real nats-server with JetStream inside a test: on a port of its own,
// with its files in the test's folder, and with a way to take it down and bring it back.
package natstest

import (
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// patience is how long a server may take to answer before the test fails.
const patience = 20 * time.Second

// Server is a running nats-server. It is shut down when the test ends.
type Server struct {
	t    testing.TB
	opts server.Options
	srv  *server.Server
}

// Run starts a server and returns when it accepts connections. Each tweak may change its
// options first.
func Run(t testing.TB, tweaks ...func(*server.Options)) *Server {
	t.Helper()
	s := &Server{t: t, opts: server.Options{
		Host:      "127.0.0.1",
		Port:      server.RANDOM_PORT,
		JetStream: true,
		StoreDir:  t.TempDir(),
		NoLog:     true,
		NoSigs:    true,
	}}
	for _, tweak := range tweaks {
		tweak(&s.opts)
	}
	s.Start()
	t.Cleanup(s.Stop)
	return s
}

// Start brings a stopped server back, at the same address and with the same files.
func (s *Server) Start() {
	s.t.Helper()
	opts := s.opts
	srv, err := server.NewServer(&opts)
	if err != nil {
		s.t.Fatalf("natstest: %v", err)
	}
	srv.Start()
	if !srv.ReadyForConnections(patience) {
		s.t.Fatal("natstest: the server does not accept connections")
	}
	s.srv = srv
	if s.opts.Port == server.RANDOM_PORT {
		u, err := url.Parse(srv.ClientURL())
		if err == nil {
			s.opts.Port, err = strconv.Atoi(u.Port())
		}
		if err != nil {
			s.t.Fatalf("natstest: %v", err)
		}
	}
}

// Stop takes the server down and returns when it is gone. Its files stay.
func (s *Server) Stop() {
	if s.srv != nil {
		s.srv.Shutdown()
		s.srv.WaitForShutdown()
		s.srv = nil
	}
}

// URL is where clients connect; it stays the same over Stop and Start.
func (s *Server) URL() string {
	return "nats://127.0.0.1:" + strconv.Itoa(s.opts.Port)
}

// Connect returns a connection that never gives up reconnecting, and quickly tries again. It
// is closed when the test ends.
func (s *Server) Connect(opts ...nats.Option) *nats.Conn {
	s.t.Helper()
	base := []nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond), nats.ReconnectJitter(0, 0)}
	nc, err := nats.Connect(s.URL(), append(base, opts...)...)
	if err != nil {
		s.t.Fatalf("natstest: connect: %v", err)
	}
	s.t.Cleanup(nc.Close)
	return nc
}

// JetStream returns the JetStream face of a connection.
func (s *Server) JetStream(nc *nats.Conn) jetstream.JetStream {
	s.t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		s.t.Fatalf("natstest: jetstream: %v", err)
	}
	return js
}

// Reload gives the running server other options, as a changed configuration file would.
func (s *Server) Reload(tweaks ...func(*server.Options)) {
	s.t.Helper()
	for _, tweak := range tweaks {
		tweak(&s.opts)
	}
	opts := s.opts
	if err := s.srv.ReloadOptions(&opts); err != nil {
		s.t.Fatalf("natstest: reload: %v", err)
	}
}
