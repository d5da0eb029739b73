package keystore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"batpak/faultfs"
)

// snapshotTries is how often a keyset is read that a store may be writing. A reading goes wrong only when it
// meets the store in the middle of a write.
const snapshotTries = 16

// Snapshot is a keyset file with what the keyset in the root of fsys has, for a backup. A store may be using
// the keyset meanwhile, and whatever it had flushed before the call is in the snapshot: who backs up a log
// too takes the log first, so that every ciphertext in it finds its key.
//
// Nothing is left in it of keys that were destroyed, nor behind the records that count, and the master key is
// wrapped as it was. It says that nothing of the log was seen, so that whoever loads it beside a log is told
// by that of every erasure. The caller wipes the bytes: unless the keyset is wrapped, they are the keys.
//
// The errors are ErrNotExist, ErrDamaged, ErrFormat for a keyset of format 1, that of ctx and that of the disk.
func Snapshot(ctx context.Context, fsys faultfs.FS) ([]byte, Stats, error) {
	f, err := fsys.OpenFile(fileName, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, Stats{}, fmt.Errorf("keystore: snapshot %s: %w: %w", fileName, ErrNotExist, err)
	}
	if err != nil {
		return nil, Stats{}, fmt.Errorf("keystore: snapshot %s: %w", fileName, err)
	}
	defer f.Close()
	var first []byte
	for try := 1; ; try++ {
		b, tail, stats, err := snapshot(ctx, f)
		switch {
		case err == nil && try < snapshotTries && (tail && len(b) > len(first) || len(b) < len(first)):
			// What lies behind the records is ignored. It is read once more before: it may be whole by now, or a
			// reading went wrong by itself.
			if len(b) < len(first) {
				clear(b)
				continue
			}
			clear(first)
			first = b
			continue
		case err == nil:
			clear(first)
			return b, stats, nil
		}
		clear(b)
		if try >= snapshotTries || !errors.Is(err, ErrDamaged) {
			clear(first)
			return nil, Stats{}, err
		}
	}
}

// snapshot also says whether there was something behind the records that it ignores.
func snapshot(ctx context.Context, f faultfs.File) (b []byte, tail bool, stats Stats, err error) {
	if b, err = readWhole(ctx, f); err != nil {
		return b, false, stats, fmt.Errorf("keystore: snapshot %s: %w", fileName, err)
	}
	r := reader{file: bytesFile(b)}
	if err := r.readHead(Unspecified); err != nil {
		return b, false, stats, err
	}
	if r.old != nil {
		clear(r.old)
		return b, false, stats, fmt.Errorf("keystore: snapshot %s: %w: it is 1, and is converted when it is loaded", fileName, ErrFormat)
	}
	if err := r.readRecords(); err != nil {
		return b, false, stats, err
	}
	end := recordOffset(r.placed)
	tail = len(b) > int(end)
	clear(b[end:])
	b = b[:end]
	for n := range r.keys.n {
		if e := r.keys.at(n); e.state == dead && e.record != noRecord {
			clear(b[recordOffset(uint64(e.record))+sealedAt:][:sealedSize])
		}
	}
	clear(b[pageSize:recordStart])
	for number := range uint64(statePages) {
		st := state{number: number, count: r.placed, wiped: r.placed}
		copy(b[st.offset():], st.encode(r.head.file))
	}
	return b, tail, r.keys.stats(r.head), nil
}

// readWhole reads a keyset that may be growing. The records come before the states, from the first one on: a
// key that is found wiped was destroyed by a record behind it, and a state that is read after a record counts
// it when the record of its destruction is durable.
func readWhole(ctx context.Context, f faultfs.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, max(info.Size(), recordStart))
	n, err := f.ReadAt(b[:recordStart], 0)
	if n < recordStart {
		if err == io.EOF {
			err = nil // whoever reads it says what is missing
		}
		return b[:n], err
	}
	const piece = chunkRecords * recordSize
	at := recordStart
	for {
		if len(b) < at+piece {
			grown := make([]byte, max(at+piece, len(b)))
			copy(grown, b)
			clear(b)
			b = grown
		}
		n, err := f.ReadAt(b[at:at+piece], int64(at))
		at += n
		if n < piece {
			if err != nil && err != io.EOF {
				return b, err
			}
			break
		}
		if err := ctx.Err(); err != nil {
			return b, err
		}
	}
	clear(b[at:])
	b = b[:at]
	if _, err := f.ReadAt(b[pageSize:recordStart], pageSize); err != nil && err != io.EOF {
		return b, err
	}
	return b, nil
}

// bytesFile is a file that is in memory, for reading alone.
type bytesFile []byte

func (b bytesFile) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (b bytesFile) Stat() (fs.FileInfo, error) { return b, nil }
func (b bytesFile) Name() string               { return fileName }
func (b bytesFile) Size() int64                { return int64(len(b)) }
func (b bytesFile) Mode() fs.FileMode          { return perm }
func (b bytesFile) ModTime() time.Time         { return time.Time{} }
func (b bytesFile) IsDir() bool                { return false }
func (b bytesFile) Sys() any                   { return nil }
