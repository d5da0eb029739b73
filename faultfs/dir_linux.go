package faultfs

import (
	"errors"
	"io/fs"
	"sync"

	"golang.org/x/sys/unix"
)

// dataSync carries one fdatasync to the descriptor and its error back. It is
// pooled, with its closure, so that SyncData allocates nothing.
type dataSync struct {
	call func(fd uintptr)
	err  error
}

var dataSyncs = sync.Pool{New: func() any {
	s := new(dataSync)
	s.call = func(fd uintptr) {
		s.err = untilDone(func() error { return unix.Fdatasync(int(fd)) })
	}
	return s
}}

func (f *osFile) SyncData() error { return f.fdatasync() }

// Writeback is not sync_file_range, which leaves out the map of the blocks: that
// is what the sync at the end would have to wait for.
func (f *osFile) Writeback() error { return f.fdatasync() }

func (f *osFile) fdatasync() error {
	s := dataSyncs.Get().(*dataSync)
	err := f.raw.Control(s.call)
	if err == nil {
		err = s.err
	} else {
		err = fs.ErrClosed // the only reason for which there is no descriptor
	}
	dataSyncs.Put(s)
	if err != nil {
		return &fs.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
	}
	return nil
}

func (f *osFile) reserve(off, n int64) error {
	return control(f.raw, func(fd uintptr) error {
		return untilDone(func() error { return unix.Fallocate(int(fd), 0, off, n) })
	})
}

// untilDone repeats a call that a signal interrupted before it did anything.
func untilDone(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
