package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"
	"batpak/component/bench"
	"batpak/keystore"
)

// benchKind is the kind of the events that the loads append.
const benchKind causal.Kind = 0x1001

// lagBound is how many events a relay may be behind when its load ends. It is what the relay may
// have under way and the appends of a moment, far below what a load appends.
const lagBound = 1 << 16

func enterAppend(r *ring, size int) error {
	_, err := r.node(appendDurable, component.Config{Onward: component.OnwardNone}, size)
	return err
}

// enterAppendSealed appends under keys that exist: one each for the entities of the load.
func enterAppendSealed(r *ring, size int) error {
	n, err := r.node(appendSealed, component.Config{Onward: component.OnwardNone, Seal: keystore.Entity}, size)
	if err != nil {
		return err
	}
	return n.mint()
}

func enterAppendOnward(r *ring, size int) error {
	n, err := r.node(appendOnward, component.Config{}, size)
	if err != nil {
		return err
	}
	entry := &r.entries[len(r.entries)-1]
	measure := entry.measure
	entry.measure = func(l bench.Load) (bench.Row, error) {
		row, err := measure(l)
		if err != nil {
			return row, err
		}
		return row, n.catchUp(r.ctx, l)
	}
	return nil
}

// node is a node of a ring, with a journal and a server of its own.
type node struct {
	*component.Node
	client *component.Client
}

// node starts a node and makes an entry of appends to it. Server, node and load share the process
// and speak over loopback sockets, each on a connection of its own.
func (r *ring) node(name string, cfg component.Config, size int) (*node, error) {
	dir, err := r.tempDir()
	if err != nil {
		return nil, err
	}
	store, err := r.tempDir()
	if err != nil {
		return nil, err
	}
	s, service, err := r.serve(bench.ServerOptions{StoreDir: store})
	if err != nil {
		return nil, err
	}
	nc, err := r.connect(s)
	if err != nil {
		return nil, err
	}
	cfg.Conn, cfg.Dir, cfg.Name = service, dir, "peers"
	cfg.Logger = slog.New(slog.DiscardHandler)
	n, err := component.Open(r.ctx, cfg)
	if err != nil {
		return nil, err
	}
	r.atEnd(n.Close)
	c, err := component.NewClient(nc, component.ClientOptions{Journal: "peers"})
	if err != nil {
		return nil, err
	}
	body, err := codec.Marshal(nil, codec.Msgpack, &codec.Append{Kind: benchKind, Data: msgpackBytes(size)})
	if err != nil {
		return nil, err
	}
	r.ask(name, nc, bench.Requests{Next: bench.Spread(subjects("batpak.peers.append.bench."), body)})
	return &node{Node: n, client: c}, nil
}

// mint appends to every entity of the load once.
func (n *node) mint() error {
	var b codec.Batch
	for _, entity := range subjects("") {
		b.Events = append(b.Events, codec.Append{Scope: "bench", Entity: entity, Kind: benchKind, Data: []byte{0xc0}})
		if len(b.Events) == 512 {
			if _, err := n.client.Batch(context.Background(), b); err != nil {
				return err
			}
			b.Events = b.Events[:0]
		}
	}
	return nil
}

// catchUp says how far the relay is behind when a load ends, and waits until it is not, so that it
// does not work into the next measurement.
func (n *node) catchUp(ctx context.Context, l bench.Load) error {
	began, st := time.Now(), n.Status()
	behind := st.Head - st.Published
	for target := st.Head; st.Published < target; st = n.Status() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	fmt.Fprintf(os.Stderr, "%s, %d in flight: relay %d events behind at the end, caught up after %s\n",
		l.Name, l.Inflight, behind, time.Since(began).Round(time.Millisecond))
	if behind > lagBound {
		return fmt.Errorf("relay: %d events behind, more than %d", behind, lagBound)
	}
	return nil
}
