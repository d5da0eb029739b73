package main

import (
	"os"

	"github.com/nats-io/nats.go"

	"batpak/component/bench"
	"batpak/faultfs"
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

// enterSyncedEcho is the least that a durable answer can cost: a write and a sync on the goroutine
// that got the request. A sync that follows an idle moment takes longer than one in a row of them,
// which is what enterDisk measures, so their sum with an echo is less than this.
func enterSyncedEcho(r *ring, size int) error {
	s, service, err := r.serve(bench.ServerOptions{})
	if err != nil {
		return err
	}
	client, err := r.connect(s)
	if err != nil {
		return err
	}
	dir, err := r.tempDir()
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	r.atEnd(root.Close)
	f, err := faultfs.Dir(root).OpenFile("log", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	r.atEnd(f.Close)
	const room = 32 << 20
	if _, err := f.WriteAt(make([]byte, room), 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	off, record := int64(0), payload(2*size) // about what an event of such a payload takes
	_, err = service.Subscribe("echo.synced", func(m *nats.Msg) {
		if off+int64(len(record)) > room {
			off = 0
		}
		if _, err := f.WriteAt(record, off); err != nil {
			return // the load reports that it got no answer
		}
		if err := f.SyncData(); err != nil {
			return
		}
		off += int64(len(record))
		m.Respond(m.Data)
	})
	if err != nil {
		return err
	}
	if err := service.Flush(); err != nil {
		return err
	}
	body := payload(size)
	r.ask(echoSynced, client, bench.Requests{Next: bench.Same("echo.synced", body), Check: bench.CheckSame(body)})
	r.entries[len(r.entries)-1].alone = true
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
