package integration

import (
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// natsServer is a nats-server with JetStream in the test's process, for programs that serve on
// servers elsewhere. It is shut down when the test ends.
type natsServer struct {
	t    testing.TB
	opts server.Options
	srv  *server.Server
	url  string // stays over stop and start
}

func runServer(t testing.TB) *natsServer {
	t.Helper()
	s := &natsServer{t: t, opts: server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
	}}
	s.start()
	u, err := url.Parse(s.srv.ClientURL())
	if err == nil {
		s.opts.Port, err = strconv.Atoi(u.Port())
	}
	if err != nil {
		t.Fatal(err)
	}
	s.url = s.srv.ClientURL()
	t.Cleanup(s.stop)
	return s
}

// start brings the server up, with the files that it has.
func (s *natsServer) start() {
	s.t.Helper()
	opts := s.opts
	srv, err := server.NewServer(&opts)
	if err != nil {
		s.t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(patience) {
		s.t.Fatal("the nats-server takes no connections")
	}
	s.srv = srv
}

// stop takes the server down. Its files stay.
func (s *natsServer) stop() {
	s.srv.Shutdown()
	s.srv.WaitForShutdown()
}

// forget removes everything that JetStream has, while the server is down.
func (s *natsServer) forget() {
	s.t.Helper()
	if err := os.RemoveAll(filepath.Join(s.opts.StoreDir, "jetstream")); err != nil {
		s.t.Fatal(err)
	}
}
