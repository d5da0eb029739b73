package main

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"batpak/component/bench"
)

// quiet drops what Pebble would print about its tables.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...)) // Pebble relies on not coming back from here
}

func enterPebble(r *ring, size int) error {
	dir, err := r.tempDir()
	if err != nil {
		return err
	}
	db, err := pebble.Open(dir, pebbleOptions())
	if err != nil {
		return fmt.Errorf("pebble: %w", err)
	}
	r.atEnd(db.Close)
	set := pebbleSet(db, size)
	r.entries = append(r.entries, entry{name: pebbleSync, measure: func(l bench.Load) (bench.Row, error) {
		return l.Calls(r.ctx, set)
	}})
	return nil
}

// pebbleOptions are Pebble's defaults, but for a memtable of the size that
// CockroachDB gives it: with the default of 4 MiB it would flush tables several
// times a second, and that is not what is compared.
func pebbleOptions() *pebble.Options {
	return &pebble.Options{Logger: quiet{}, MemTableSize: 64 << 20}
}

// pebbleSet sets one new key of 16 bytes in each call, durable when it returns.
func pebbleSet(db *pebble.DB, size int) func(int, uint64) error {
	value := payload(size)
	var keys atomic.Uint64
	return func(worker int, _ uint64) error {
		var key [16]byte
		binary.BigEndian.PutUint64(key[:], uint64(worker))
		binary.BigEndian.PutUint64(key[8:], keys.Add(1))
		return db.Set(key[:], value, pebble.Sync)
	}
}
