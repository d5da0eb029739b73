package main

import (
	"fmt"
	"os"

	"batpak/component/bench"
	"batpak/faultfs"
)

// entities is how many streams the appends go to, and how many subjects the
// publishes.
const entities = 1024

func subjects(prefix string) []string {
	all := make([]string, entities)
	for i := range all {
		all[i] = fmt.Sprintf("%saccount-%04d", prefix, i)
	}
	return all
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

// syncs is how many times the disk is measured in a round.
const syncs = 500

func enterDisk(r *ring, size int) error {
	dir, err := r.tempDir()
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	r.atEnd(root.Close)
	r.entries = append(r.entries, entry{name: disk, alone: true, measure: func(bench.Load) (bench.Row, error) {
		return bench.Fdatasync(r.ctx, faultfs.Dir(root), syncs, size)
	}})
	return nil
}
