package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"
	"batpak/component/bench"
	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/keystore"

	"github.com/nats-io/nats.go"
)

// Names of what is measured of keys, beside those of the ring.
const (
	rowNewStream = "append, new entity"
	rowNewKey    = "append sealed, new key"
	rowFew       = "new key, of 1,000"
	rowMany      = "new key, of many"
	rowShred     = "shred, of many"
)

// fewKeys is how many keys there are when there are few.
const fewKeys = 1000

// enterKeys sets up what keys cost in a temporary directory.
func (b *benching) enterKeys(r *ring) error {
	home, err := r.home(b.dir)
	if err != nil {
		return err
	}
	if err := r.enterDisk(home); err != nil {
		return err
	}
	r.enterFresh(rowAppend, home, keyed{seal: keystore.None, filled: entities})
	r.enterFresh(rowNewStream, home, keyed{seal: keystore.None, filled: entities, grows: true})
	r.enterFresh(rowSealed, home, keyed{seal: keystore.Entity, filled: entities})
	r.enterFresh(rowNewKey, home, keyed{seal: keystore.Entity, filled: entities, grows: true})
	r.enterFresh(rowFew, home, keyed{seal: keystore.Subject, filled: fewKeys, grows: true})
	return r.enterMany(home, keyed{seal: keystore.Subject, filled: uint64(b.keys), grows: true})
}

// keyed is a journal with as many key scopes as it is filled with, and the appends to it. Scopes are
// numbered. Where keys are of entities each scope is a stream too; where they are of data subjects
// there are few streams, so that what the keys cost can be told from what the streams do.
type keyed struct {
	seal   keystore.Granularity
	filled uint64
	grows  bool // each append is in a scope that is new, else the scopes are those that it is filled with
}

// enterFresh measures each load at a node that was just made, so that none finds what another one has left.
func (r *ring) enterFresh(name, home string, k keyed) {
	r.entries = append(r.entries, entry{name: name, measure: func(l bench.Load) (row bench.Row, err error) {
		once := &ring{ctx: r.ctx, size: r.size}
		defer func() {
			if e := once.close(); err == nil {
				err = e
			}
		}()
		if err := once.enterKeyed(name, filepath.Join(home, "fresh"), k); err != nil {
			return row, err
		}
		return once.entries[0].measure(l)
	}})
}

// enterKeyed makes and fills a node, which is gone at the end.
func (r *ring) enterKeyed(name, dir string, k keyed) error {
	r.atEnd(func() error { return os.RemoveAll(dir) })
	l, err := r.keyedNode(dir, k)
	if err != nil {
		return err
	}
	r.atEnd(l.close)
	if err := r.fill(l.node, k); err != nil {
		return err
	}
	conn, err := r.connect(l.nats.ClientURL())
	if err != nil {
		return err
	}
	r.askKeyed(name, conn, k)
	return nil
}

// enterMany measures appends and erasures at a node with very many keys, and before that how its keyset opens.
func (r *ring) enterMany(home string, k keyed) error {
	dir := filepath.Join(home, "many")
	l, err := r.keyedNode(dir, k)
	if err != nil {
		return err
	}
	if err := errors.Join(r.fill(l.node, k), l.close()); err != nil {
		return err
	}
	if err := r.openKeys(filepath.Join(dir, "keys"), k); err != nil {
		return err
	}
	if l, err = r.keyedNode(dir, k); err != nil {
		return err
	}
	r.atEnd(l.close)
	conn, err := r.connect(l.nats.ClientURL())
	if err != nil {
		return err
	}
	r.askKeyed(rowMany, conn, k)
	erased := uint64(0)
	var body []byte
	r.ask(rowShred, conn, bench.Requests{Next: func(int, uint64) (string, []byte) {
		body, _ = codec.Marshal(body[:0], codec.Msgpack, &codec.ShredRequest{Subject: subjectOf(erased), Reason: "bench"})
		erased++ // one of the first keys each time, until there is none
		return component.DefaultPrefix + ".bench.shred", body
	}})
	r.entries[len(r.entries)-1].alone = true
	return nil
}

// openKeys opens the keyset of a node that is not running, and notes how long that takes, and how much it keeps in memory.
func (r *ring) openKeys(dir string, k keyed) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	began := time.Now()
	keys, err := keystore.Load(r.ctx, faultfs.Dir(root), k.seal, keystore.Options{})
	if err != nil {
		return err
	}
	took, count := time.Since(began), keys.Len()
	with := inUse()
	err = keys.Close()
	keys = nil
	r.said = append(r.said, fmt.Sprintf("keyset: %s keys opened in %s, %.0f bytes of memory for each",
		grouped(uint64(count)), brief(took), float64(with-inUse())/float64(count)))
	return err
}

// inUse is how many bytes of memory are in use.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func (r *ring) keyedNode(dir string, k keyed) (*local, error) {
	return openLocal(r.ctx, "127.0.0.1:0", component.Config{
		Dir: dir, Name: "bench", Seal: k.seal, Onward: component.OnwardNone, ClaimWait: time.Millisecond,
		MaxPayload: component.DefaultMaxPayload, Logger: slog.New(slog.DiscardHandler),
	})
}

// fill appends one event in each of the scopes.
func (r *ring) fill(node *component.Node, k keyed) error {
	data := packed(r.size)
	for n := uint64(0); n < k.filled; {
		batch := &journal.Batch{}
		for ; n < k.filled && len(batch.Events) < codec.MaxBatch; n++ {
			e := journal.Append{Coordinate: causal.Coordinate{Scope: "bench", Entity: k.entityOf(n)}, Kind: benchKind, Data: data}
			if k.seal == keystore.Subject {
				e.Subject = subjectOf(n)
			}
			batch.Events = append(batch.Events, e)
		}
		if _, err := node.Journal().Append(r.ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// askKeyed enters appends, each built anew, so that those in new scopes cost the generator no more than others.
func (r *ring) askKeyed(name string, nc *nats.Conn, k keyed) {
	data := packed(r.size)
	var grown atomic.Uint64
	r.entries = append(r.entries, entry{name: name, measure: func(l bench.Load) (bench.Row, error) {
		bodies := make([][]byte, l.Inflight)
		next := func(slot int, n uint64) (string, []byte) {
			scope := (uint64(slot) + n) % k.filled
			if k.grows {
				scope = k.filled + grown.Add(1)
			}
			body := codec.Append{Kind: benchKind, Data: data}
			if k.seal == keystore.Subject {
				body.Subject = subjectOf(scope)
			}
			// An error would leave a body that the node refuses, and so be counted.
			bodies[slot], _ = codec.Marshal(bodies[slot][:0], codec.Msgpack, &body)
			return component.DefaultPrefix + ".bench.append.bench." + k.entityOf(scope), bodies[slot]
		}
		return l.Requests(r.ctx, bench.Requests{Conns: []*nats.Conn{nc}, Next: next})
	}})
}

// entityOf is the entity of a scope's events.
func (k *keyed) entityOf(scope uint64) string {
	if k.seal == keystore.Subject {
		scope %= entities
	}
	return "account-" + strconv.FormatUint(scope, 10)
}

func subjectOf(scope uint64) string { return "person-" + strconv.FormatUint(scope, 10) }
