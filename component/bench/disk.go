package bench

import (
	"context"
	"fmt"
	"os"

	"batpak/faultfs"
)

// Fdatasync measures the disk alone: count times, one after the other, it writes
// size bytes and syncs the data. The bytes go one after another onto blocks that
// were allocated and filled with zeros before, as in a log that preallocates.
// The file, of count times size bytes, is called "fdatasync" and removed again.
func Fdatasync(ctx context.Context, fsys faultfs.FS, count uint64, size int) (row Row, err error) {
	const name = "fdatasync"
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return Row{}, fmt.Errorf("bench: %w", err)
	}
	defer func() {
		if e := f.Close(); err == nil && e != nil {
			err = fmt.Errorf("bench: %w", e)
		}
		if e := fsys.Remove(name); err == nil && e != nil {
			err = fmt.Errorf("bench: %w", e)
		}
	}()
	if err := fill(f, int64(count)*int64(size)); err != nil {
		return Row{}, fmt.Errorf("bench: %w", err)
	}
	bytes := make([]byte, size)
	for i := range bytes {
		bytes[i] = byte(i) | 1
	}
	row, err = Load{Name: name, Inflight: 1, Count: count}.Calls(ctx, func(_ int, n uint64) error {
		if _, err := f.WriteAt(bytes, int64(n)*int64(size)); err != nil {
			return err
		}
		return f.SyncData()
	})
	if err == nil {
		err = row.Err // a disk that fails is not a slow disk
	}
	return row, err
}

// fill makes the file n bytes long, all zeros that are on the disk: an allocated
// block that was never written costs its first write a change of metadata.
func fill(f faultfs.File, n int64) error {
	if err := f.Allocate(0, n); err != nil {
		return err
	}
	zeros := make([]byte, min(n, 1<<20))
	for at := int64(0); at < n; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(n-at, int64(len(zeros)))], at); err != nil {
			return err
		}
	}
	return f.Sync()
}
