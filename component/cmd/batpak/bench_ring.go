package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"
	"batpak/component/bench"
	"batpak/faultfs"
	"batpak/keystore"

	"github.com/nats-io/nats.go"
)

// Names of what is measured.
const (
	rowDisk      = "fdatasync"
	rowEcho      = "echo"
	rowJetStream = "jetstream-always"
	rowAppend    = "append"
	rowOnward    = "append+onward"
	rowSealed    = "append sealed"
)

// ring has what is measured in turns.
type ring struct {
	ctx      context.Context
	size     int // of a payload, in bytes
	entries  []entry
	closers  []func() error
	lag      uint64                      // the most events that were durable and not yet published when a load ended
	caughtUp time.Duration               // the longest that it took to publish the rest
	said     []string                    // what was found beside the rows
	bounds   func(results) []bench.Ratio // what rows should keep to by themselves; nil is nothing
}

// entry is one thing that is measured.
type entry struct {
	name    string
	alone   bool // with one in flight only
	measure func(bench.Load) (bench.Row, error)
}

// entities is how many streams the appends go to, and how many subjects the publishes.
const entities = 1024

// benchKind is the kind of the events.
const benchKind causal.Kind = 0x1001

func (r *ring) atEnd(close func() error) { r.closers = append(r.closers, close) }

// close takes down what was set up, the last first.
func (r *ring) close() error {
	var errs []error
	for _, c := range slices.Backward(r.closers) {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// enterAll sets up everything in a temporary directory.
func (b *benching) enterAll(r *ring) error {
	home, err := r.home(b.dir)
	if err != nil {
		return err
	}
	for _, enter := range []func(home string) error{
		r.enterDisk, r.enterEcho, r.enterJetStream,
		func(home string) error { return r.enterNode(rowAppend, home, keystore.None, component.OnwardNone) },
		func(home string) error { return r.enterNode(rowOnward, home, keystore.None, component.OnwardJetStream) },
		func(home string) error {
			return r.enterNode(rowSealed, home, keystore.Entity, component.OnwardNone)
		},
	} {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		if err := enter(home); err != nil {
			return err
		}
	}
	return nil
}

// home makes a temporary directory, which is removed at the end.
func (r *ring) home(dir string) (string, error) {
	home, err := os.MkdirTemp(dir, "batpak-bench-")
	if err == nil {
		r.atEnd(func() error { return os.RemoveAll(home) })
	}
	return home, err
}

// enterThere connects to the node that the flags name.
func (b *benching) enterThere(r *ring) error {
	nc, client, err := b.client()
	if err != nil {
		return err
	}
	r.atEnd(func() error { nc.Close(); return nil })
	if _, err := client.Status(r.ctx); err != nil {
		return err
	}
	return r.enterAppends(rowAppend, nc, b.prefix+"."+b.journal)
}

func (r *ring) enterDisk(home string) error {
	root, err := os.OpenRoot(home)
	if err != nil {
		return err
	}
	r.atEnd(root.Close)
	fsys := faultfs.Dir(root)
	r.entries = append(r.entries, entry{name: rowDisk, alone: true, measure: func(l bench.Load) (bench.Row, error) {
		row, err := bench.Fdatasync(r.ctx, fsys, diskSyncs, r.size)
		row.Name = l.Name
		return row, err
	}})
	return nil
}

// diskSyncs is how many syncs are measured.
const diskSyncs = 2000

func (r *ring) enterEcho(string) error {
	s, service, err := r.server(bench.ServerOptions{})
	if err != nil {
		return err
	}
	client, err := r.connect(s.URL())
	if err != nil {
		return err
	}
	e, err := bench.StartEcho(service)
	if err != nil {
		return err
	}
	body := payload(r.size)
	r.ask(rowEcho, client, bench.Requests{Next: bench.Same(e.Subject(), body), Check: bench.CheckSame(body)})
	return nil
}

func (r *ring) enterJetStream(home string) error {
	_, nc, err := r.server(bench.ServerOptions{StoreDir: filepath.Join(home, "jetstream-always"), SyncAlways: true})
	if err != nil {
		return err
	}
	if err := bench.NewStream(r.ctx, nc, "BENCH", "bench.*"); err != nil {
		return err
	}
	subjects := make([]string, entities)
	for i := range subjects {
		subjects[i] = fmt.Sprintf("bench.account-%04d", i)
	}
	r.ask(rowJetStream, nc, bench.Requests{Next: bench.Spread(subjects, payload(r.size)), Check: bench.CheckPubAck})
	return nil
}

// enterNode sets up a node as serve does, with a server of its own.
func (r *ring) enterNode(name, home string, seal keystore.Granularity, onward component.Onward) error {
	l, err := openLocal(r.ctx, "127.0.0.1:0", component.Config{
		Dir: filepath.Join(home, name), Name: "bench", Seal: seal, Onward: onward,
		MaxPayload: component.DefaultMaxPayload, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	r.atEnd(l.close)
	client, err := r.connect(l.nats.ClientURL())
	if err != nil {
		return err
	}
	if err := r.enterAppends(name, client, component.DefaultPrefix+".bench"); err != nil {
		return err
	}
	e := &r.entries[len(r.entries)-1]
	measure := e.measure
	if onward == component.OnwardJetStream {
		// What a load leaves to be published must not go on in the next measurement.
		e.measure = func(load bench.Load) (bench.Row, error) {
			row, err := measure(load)
			if err == nil {
				err = r.catchUp(l.node)
			}
			return row, err
		}
	}
	if seal != keystore.None {
		// All keys exist before anything is measured.
		_, err = measure(bench.Load{Name: name, Inflight: 64, Count: 2 * entities})
	}
	return err
}

// catchUp waits until everything is published, and remembers how much that was.
func (r *ring) catchUp(node *component.Node) error {
	st := node.Status()
	began := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for now := st; now.Published < st.Durable; now = node.Status() {
		select {
		case <-tick.C:
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
	}
	r.lag = max(r.lag, st.Durable-st.Published)
	r.caughtUp = max(r.caughtUp, time.Since(began))
	return nil
}

// server starts a server, with one connection to it.
func (r *ring) server(o bench.ServerOptions) (*bench.Server, *nats.Conn, error) {
	s, err := bench.StartServer(o)
	if err != nil {
		return nil, nil, err
	}
	r.atEnd(func() error { s.Close(); return nil })
	nc, err := r.connect(s.URL())
	return s, nc, err
}

func (r *ring) connect(url string) (*nats.Conn, error) {
	conns, err := bench.Connect(url, 1)
	if err != nil {
		return nil, err
	}
	r.atEnd(func() error { bench.Disconnect(conns); return nil })
	return conns[0], nil
}

// enterAppends measures appends at the node that has the subjects behind base.
func (r *ring) enterAppends(name string, nc *nats.Conn, base string) error {
	body, err := codec.Marshal(nil, codec.Msgpack, &codec.Append{Kind: benchKind, Data: packed(r.size)})
	if err != nil {
		return err
	}
	subjects := make([]string, entities)
	for i := range subjects {
		subjects[i] = fmt.Sprintf("%s.append.bench.account-%04d", base, i)
	}
	r.ask(name, nc, bench.Requests{Next: bench.Spread(subjects, body)})
	return nil
}

// ask enters requests on one connection: more of them cost the generator more and answer no faster.
func (r *ring) ask(name string, nc *nats.Conn, requests bench.Requests) {
	requests.Conns = []*nats.Conn{nc}
	r.entries = append(r.entries, entry{name: name, measure: func(l bench.Load) (bench.Row, error) {
		return l.Requests(r.ctx, requests)
	}})
}

// runs are the measurements of one round.
func (r *ring) runs(inflight []int, duration time.Duration) []func() (bench.Row, error) {
	var runs []func() (bench.Row, error)
	for _, e := range r.entries {
		levels := inflight
		if e.alone {
			levels = []int{1}
		}
		for _, n := range levels {
			load := bench.Load{Name: e.name, Inflight: n, Warmup: duration / 5, Duration: duration}
			runs = append(runs, func() (bench.Row, error) { return e.measure(load) })
		}
	}
	return runs
}

// payload is bytes that do not compress to nothing.
func payload(size int) []byte {
	body := make([]byte, size)
	x := uint32(1)
	for i := range body {
		x = x*1664525 + 1013904223
		body[i] = byte(x >> 24)
	}
	return body
}

// packed is one MessagePack value of exactly size bytes.
func packed(size int) []byte {
	switch body := payload(size); {
	case size == 1:
		return []byte{0xc0} // nil
	case size <= 2+0xff:
		body[0], body[1] = 0xc4, byte(size-2) // bin 8
		return body
	case size <= 3+0xffff:
		body[0], body[1], body[2] = 0xc5, byte((size-3)>>8), byte(size-3) // bin 16
		return body
	default:
		n := size - 5
		body[0], body[1], body[2], body[3], body[4] = 0xc6, byte(n>>24), byte(n>>16), byte(n>>8), byte(n) // bin 32
		return body
	}
}
