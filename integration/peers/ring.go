package main

import (
	"context"
	"errors"
	"os"
	"slices"

	"batpak/component/bench"
)

// contestants are all that take part, in the order of the table.
var contestants = []func(*ring, int) error{enterDisk, enterEcho, enterSyncedEcho, enterJetStream,
	enterAppend, enterAppendOnward, enterAppendSealed, enterPebble, enterJournal, enterSealedJournal}

// Names of the contestants.
const (
	disk            = "fdatasync"
	echo            = "echo"
	echoSynced      = "echo, synced" // writes and syncs before it answers: what one durable answer costs at least
	jetStreamAlways = "jetstream always"
	pebbleSync      = "pebble set sync"

	journalAppend = "journal append" // from Go
	journalSealed = "journal append, sealed"
	appendDurable = "append"         // over NATS, onward publishing off
	appendOnward  = "append, onward" // onward publishing at the same time
	appendSealed  = "append, sealed" // under keys that exist
)

// A ring holds the contestants of one run.
type ring struct {
	ctx     context.Context
	dir     string
	entries []entry
	closers []func() error
}

// An entry is one contestant, ready to be measured.
type entry struct {
	name    string
	alone   bool // measured with one in flight only
	measure func(bench.Load) (bench.Row, error)
}

func newRing(ctx context.Context, dir string) *ring { return &ring{ctx: ctx, dir: dir} }

// tempDir makes a directory that goes when the ring closes.
func (r *ring) tempDir() (string, error) {
	dir, err := os.MkdirTemp(r.dir, "peers-")
	if err == nil {
		r.atEnd(func() error { return os.RemoveAll(dir) })
	}
	return dir, err
}

func (r *ring) atEnd(close func() error) { r.closers = append(r.closers, close) }

// close takes down what the contestants set up, the last first.
func (r *ring) close() error {
	var errs []error
	for _, c := range slices.Backward(r.closers) {
		errs = append(errs, c())
	}
	r.closers = nil
	return errors.Join(errs...)
}

// runs are the measurements of one round: each contestant at each level of
// operations in flight.
func (r *ring) runs(c config) []func() (bench.Row, error) {
	var runs []func() (bench.Row, error)
	for _, e := range r.entries {
		for _, inflight := range c.inflight {
			if e.alone && inflight != 1 || c.only != "" && c.only != e.name {
				continue
			}
			load := bench.Load{Name: e.name, Inflight: inflight, Warmup: c.duration / 5, Duration: c.duration}
			runs = append(runs, func() (bench.Row, error) { return e.measure(load) })
		}
	}
	return runs
}

// summary is a row of medians for each run, and the ratios between them.
func summary(all []bench.Series) ([]bench.Row, []bench.Ratio) {
	rows := make([]bench.Row, len(all))
	found := results{}
	for i, series := range all {
		rows[i] = series.Median()
		found[key{rows[i].Name, rows[i].Inflight}] = series
	}
	return rows, found.ratios()
}
