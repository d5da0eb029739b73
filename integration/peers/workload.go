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

// msgpackBytes is a payload of size bytes that is one MessagePack value: a bin 16
// of three bytes less. There is none of fewer than three or more than 64 KiB.
func msgpackBytes(size int) []byte {
	value := payload(size)
	value[0], value[1], value[2] = 0xc5, byte((size-3)>>8), byte(size-3)
	return value
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
