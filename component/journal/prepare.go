package journal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"syscall"

	"batpak/causal"
	"batpak/faultfs"
)

// zeroChunk is how many zeros are written, and waited for, at a time while a segment is prepared:
// little enough that a commit's sync is not held up behind it.
const zeroChunk = 512 << 10

var zeros [zeroChunk]byte

// prepareSegment makes a file of size bytes whose blocks are all written, so that a later sync
// of data in it has no metadata to wait for. The zeros are durable with the header's sync, in
// publishSegment. On error nothing is left behind. Closing stop makes it give up early.
func prepareSegment(fsys faultfs.FS, size int64, stop <-chan struct{}) (f faultfs.File, err error) {
	if err := remove(fsys, segmentNext); err != nil {
		return nil, fmt.Errorf("journal: prepare segment: %w", err)
	}
	f, err = fsys.OpenFile(segmentNext, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("journal: prepare segment: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
			remove(fsys, segmentNext)
			f = nil
		}
	}()
	if err := f.Allocate(0, size); err != nil {
		return f, fmt.Errorf("journal: prepare segment: allocate %d bytes: %w", size, err)
	}
	if err := zeroRange(f, 0, size, stop); err != nil {
		return f, fmt.Errorf("journal: prepare segment: %w", err)
	}
	return f, nil
}

// zeroRange writes zeros from off up to end, chunk by chunk. They are durable after the next sync
// of the file, which finds most of its work done.
func zeroRange(f faultfs.File, off, end int64, stop <-chan struct{}) error {
	for off < end {
		select {
		case <-stop:
			return ErrClosed
		default:
		}
		n := min(int64(zeroChunk), end-off)
		if _, err := f.WriteAt(zeros[:n], off); err != nil {
			return fmt.Errorf("write zeros at %d: %w", off, err)
		}
		if err := f.Writeback(); err != nil {
			return fmt.Errorf("write back zeros at %d: %w", off, err)
		}
		off += n
	}
	return nil
}

// publishSegment turns a prepared file into the segment whose first event will be first. The
// header and the zeros are durable before the name is, and the name before any frame is written. The error is
// ErrStorage when the folder has no room for the name; there is no such segment then.
func publishSegment(fsys faultfs.FS, f faultfs.File, size int64, first uint64, lineage causal.Lineage) (*segment, error) {
	s := &segment{
		name: segmentName(first), file: f, first: first, size: size, end: segmentStart,
		index: newMemIndex(),
	}
	rand.Read(s.salt[:])
	s.crc = crc32.Checksum(s.salt[:], castagnoli)
	if _, err := f.WriteAt(s.appendHeader(nil, lineage), 0); err != nil {
		return nil, fmt.Errorf("journal: %s: write header: %w", s.name, err)
	}
	if err := f.SyncData(); err != nil {
		return nil, fmt.Errorf("journal: %s: sync header: %w", s.name, err)
	}
	if err := fsys.Rename(segmentNext, s.name); err != nil {
		err = fmt.Errorf("journal: %s: publish: %w", s.name, err)
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			err = fmt.Errorf("%w: %w", ErrStorage, err)
		}
		return nil, err
	}
	if err := fsys.SyncDir(segmentDir); err != nil {
		return nil, fmt.Errorf("journal: %s: sync folder: %w", s.name, err)
	}
	return s, nil
}

// preparer keeps one prepared segment ahead of need. Its goroutine is started by want and ends
// by itself when the file is ready or has failed; stop ends it early.
type preparer struct {
	fsys faultfs.FS
	size int64
	stop chan struct{}
	done chan prepared // has one result for each want; nil when nothing was asked for
}

type prepared struct {
	file faultfs.File
	err  error
}

// want starts preparing a segment, if none is ready or under way.
func (p *preparer) want() {
	if p.done != nil {
		return
	}
	done := make(chan prepared, 1)
	p.done = done
	go func() {
		f, err := prepareSegment(p.fsys, p.size, p.stop)
		done <- prepared{f, err}
	}()
}

// take waits for the prepared segment. A failure from ahead of need says nothing about now: the
// disk may have room again.
func (p *preparer) take() (faultfs.File, error) {
	ahead := p.done != nil
	p.want()
	r := <-p.done
	p.done = nil
	if r.err != nil && ahead {
		return p.take()
	}
	return r.file, r.err
}

// close gives up what is prepared.
func (p *preparer) close() {
	close(p.stop)
	if p.done == nil {
		return
	}
	if r := <-p.done; r.err == nil {
		r.file.Close()
		remove(p.fsys, segmentNext)
	}
	p.done = nil
}
