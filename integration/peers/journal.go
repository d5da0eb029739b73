package main

import (
	"context"
	"os"
	"slices"

	"batpak/causal"
	"batpak/component/bench"
	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/keystore"
)

func enterJournal(r *ring, size int) error {
	return r.enterJournal(journalAppend, keystore.None, size)
}

func enterSealedJournal(r *ring, size int) error {
	return r.enterJournal(journalSealed, keystore.Entity, size)
}

func (r *ring) enterJournal(name string, seal keystore.Granularity, size int) error {
	dir, err := r.tempDir()
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	r.atEnd(root.Close)
	j, err := journal.Open(r.ctx, faultfs.Dir(root), journal.Options{Name: "peer", Seal: seal})
	if err != nil {
		return err
	}
	r.atEnd(j.Close)
	value := msgpackBytes(size)
	if err := mintKeys(r.ctx, j, value); err != nil {
		return err
	}
	call := journalCall(j, value)
	r.entries = append(r.entries, entry{name: name, measure: func(l bench.Load) (bench.Row, error) {
		return l.Calls(r.ctx, call)
	}})
	return nil
}

// mintKeys appends to each entity once: a measurement is about streams that exist
// and, when sealed, scopes that have their keys.
func mintKeys(ctx context.Context, j *journal.Journal, value []byte) error {
	for some := range slices.Chunk(streams(), 512) {
		var b journal.Batch
		for _, s := range some {
			b.Events = append(b.Events, journal.Append{Coordinate: s, Kind: 0x1001, Data: value})
		}
		if _, err := j.Append(ctx, &b); err != nil {
			return err
		}
	}
	return nil
}

func streams() []causal.Coordinate {
	all := make([]causal.Coordinate, entities)
	for i, name := range subjects("") {
		all[i] = causal.Coordinate{Scope: "peer", Entity: name}
	}
	return all
}

// journalCall appends one event in each call, durable when it returns, to one
// entity after the other.
func journalCall(j *journal.Journal, value []byte) func(int, uint64) error {
	streams := streams()
	var batches [bench.MaxInflight]*journal.Batch // each worker's, used again
	return func(worker int, n uint64) error {
		b := batches[worker]
		if b == nil {
			b = &journal.Batch{Events: []journal.Append{{Kind: 0x1001, Data: value}}}
			batches[worker] = b
		}
		b.Events[0].Coordinate = streams[(uint64(worker)+n)%entities]
		// Without an end of its own, because the batch is not free before the answer.
		_, err := j.Append(context.Background(), b)
		return err
	}
}
