package main

import (
	"github.com/nats-io/nats.go"

	"batpak/component/bench"
)

// serve starts a server and gives a connection to it.
func (r *ring) serve(o bench.ServerOptions) (*bench.Server, *nats.Conn, error) {
	s, err := bench.StartServer(o)
	if err != nil {
		return nil, nil, err
	}
	r.atEnd(func() error { s.Close(); return nil })
	nc, err := r.connect(s)
	return s, nc, err
}

func (r *ring) connect(s *bench.Server) (*nats.Conn, error) {
	conns, err := bench.Connect(s.URL(), 1)
	if err != nil {
		return nil, err
	}
	r.atEnd(func() error { bench.Disconnect(conns); return nil })
	return conns[0], nil
}

// ask makes an entry of requests on one connection: more of them cost the
// generator more and answer no faster.
func (r *ring) ask(name string, nc *nats.Conn, requests bench.Requests) {
	requests.Conns = []*nats.Conn{nc}
	r.entries = append(r.entries, entry{name: name, measure: func(l bench.Load) (bench.Row, error) {
		return l.Requests(r.ctx, requests)
	}})
}

func enterEcho(r *ring, size int) error {
	s, service, err := r.serve(bench.ServerOptions{})
	if err != nil {
		return err
	}
	client, err := r.connect(s)
	if err != nil {
		return err
	}
	e, err := bench.StartEcho(service)
	if err != nil {
		return err
	}
	body := payload(size)
	r.ask(echo, client, bench.Requests{Next: bench.Same(e.Subject(), body), Check: bench.CheckSame(body)})
	return nil
}

func enterJetStream(r *ring, size int) error {
	dir, err := r.tempDir()
	if err != nil {
		return err
	}
	_, nc, err := r.serve(bench.ServerOptions{StoreDir: dir, SyncAlways: true})
	if err != nil {
		return err
	}
	if err := bench.NewStream(r.ctx, nc, "PEER", "peer.*"); err != nil {
		return err
	}
	r.ask(jetStreamAlways, nc, bench.Requests{
		Next: bench.Spread(subjects("peer."), payload(size)), Check: bench.CheckPubAck,
	})
	return nil
}
