package faulttest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"sync"
	"testing"

	"batpak/faultfs"
)

func writesAtOffsets(t *testing.T, fsys faultfs.FS) {
	f := create(t, fsys, "f")
	_, err := f.WriteAt([]byte("later"), 4)
	must(t, err)
	_, err = f.WriteAt([]byte("ab"), 0)
	must(t, err)
	must(t, f.Writeback())
	must(t, f.SyncData())
	must(t, f.Sync())
	info, err := f.Stat()
	must(t, err)
	if info.Size() != 9 || info.Name() != "f" {
		t.Fatalf("stat says %s of %d bytes", info.Name(), info.Size())
	}
	got := make([]byte, 12)
	n, err := f.ReadAt(got, 0)
	wantErr(t, err, io.EOF)
	if string(got[:n]) != "ab\x00\x00later" {
		t.Fatalf("read %q", got[:n])
	}
	wantContents(t, fsys, "f", "ab\x00\x00later")
}

func readsToEOF(t *testing.T, fsys faultfs.FS) {
	f := create(t, fsys, "f")
	buf := make([]byte, 4)
	if n, err := f.ReadAt(buf, 0); n != 0 || !errors.Is(err, io.EOF) {
		t.Fatalf("reading an empty file gave %d bytes, error %v", n, err)
	}
	_, err := f.WriteAt([]byte("12345"), 0)
	must(t, err)
	if n, err := f.ReadAt(buf, 1); n != 4 || err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("reading up to the end gave %d bytes, error %v", n, err)
	}
	if n, err := f.ReadAt(buf, 3); n != 2 || !errors.Is(err, io.EOF) {
		t.Fatalf("reading across the end gave %d bytes, error %v", n, err)
	}
	for _, off := range []int64{5, 6, 1 << 40} {
		if n, err := f.ReadAt(buf, off); n != 0 || !errors.Is(err, io.EOF) {
			t.Fatalf("reading at %d gave %d bytes, error %v", off, n, err)
		}
	}
	got, err := io.ReadAll(f) // by Read, whose position ReadAt and WriteAt leave alone
	must(t, err)
	if string(got) != "12345" {
		t.Fatalf("read %q", got)
	}
	if n, err := f.Read(buf); n != 0 || !errors.Is(err, io.EOF) {
		t.Fatalf("Read at the end gave %d bytes, error %v", n, err)
	}
}

func writesPastTheEnd(t *testing.T, fsys faultfs.FS) {
	f := create(t, fsys, "f")
	_, err := f.WriteAt([]byte("early"), 0)
	must(t, err)
	_, err = f.WriteAt([]byte("late"), 100_000)
	must(t, err)
	wantContents(t, fsys, "f", "early"+string(make([]byte, 100_000-5))+"late")

	// Also where bytes were that have been cut off.
	must(t, f.Truncate(3))
	_, err = f.WriteAt([]byte("x"), 6)
	must(t, err)
	wantContents(t, fsys, "f", "ear\x00\x00\x00x")
}

func refusesNegativeOffsets(t *testing.T, fsys faultfs.FS) {
	f := create(t, fsys, "f")
	_, err := f.WriteAt([]byte("bytes"), 0)
	must(t, err)
	one := make([]byte, 1)
	if n, err := f.ReadAt(one, -1); n != 0 || err == nil || errors.Is(err, io.EOF) {
		t.Fatalf("ReadAt gave %d bytes, error %v", n, err)
	}
	if n, err := f.WriteAt(one, -1); n != 0 || err == nil {
		t.Fatalf("WriteAt took %d bytes, error %v", n, err)
	}
	if f.Truncate(-1) == nil {
		t.Fatal("truncated to less than nothing")
	}
	wantContents(t, fsys, "f", "bytes")
}

func tellsSizes(t *testing.T, fsys faultfs.FS) {
	f := create(t, fsys, "f")
	size := func(want int64) {
		t.Helper()
		info, err := f.Stat()
		must(t, err)
		byName, err := fs.Stat(fsys, "f")
		must(t, err)
		if info.Size() != want || byName.Size() != want {
			t.Fatalf("the size is %d by handle and %d by name, want %d", info.Size(), byName.Size(), want)
		}
		if info.IsDir() || !info.Mode().IsRegular() {
			t.Fatalf("mode is %v", info.Mode())
		}
	}
	size(0)
	_, err := f.WriteAt([]byte("12345"), 10)
	must(t, err)
	size(15)
	_, err = f.WriteAt([]byte("12345"), 0)
	must(t, err)
	size(15)
	must(t, f.Truncate(7))
	size(7)
	must(t, f.Truncate(9000))
	size(9000)
	must(t, f.Allocate(5000, 8000))
	size(13000)
	must(t, f.Allocate(0, 10))
	size(13000)
}

func syncs(t *testing.T, fsys faultfs.FS) {
	f := create(t, fsys, "f")
	for i, do := range []func() error{f.Writeback, f.SyncData, f.Sync} {
		must(t, f.Truncate(0))
		must(t, do()) // of nothing
		_, err := f.WriteAt([]byte{byte('0' + i)}, 2)
		must(t, err)
		must(t, do())
		must(t, do()) // again, with nothing to do
		wantContents(t, fsys, "f", "\x00\x00"+string(rune('0'+i)))
	}
}

func truncates(t *testing.T, fsys faultfs.FS) {
	f := create(t, fsys, "f")
	_, err := f.WriteAt([]byte("12345"), 0)
	must(t, err)
	must(t, f.Truncate(2))
	must(t, f.Truncate(4))
	wantContents(t, fsys, "f", "12\x00\x00")
}

func allocates(t *testing.T, fsys faultfs.FS) {
	f := create(t, fsys, "f")
	_, err := f.WriteAt([]byte("kept"), 0)
	must(t, err)
	must(t, f.Allocate(0, 300_000))
	wantContents(t, fsys, "f", "kept"+string(make([]byte, 300_000-4)))
	must(t, f.Allocate(0, 10)) // inside: never shorter
	must(t, f.Allocate(300_000, 7))
	wantContents(t, fsys, "f", "kept"+string(make([]byte, 300_007-4)))
	wantErr(t, f.Allocate(0, 0), fs.ErrInvalid)
	wantErr(t, f.Allocate(-1, 8), fs.ErrInvalid)
	wantErr(t, f.Allocate(1<<62, 1<<62), fs.ErrInvalid)
}

func concurrentWrites(t *testing.T, fsys faultfs.FS) {
	const writers, size = 8, 1000
	f := create(t, fsys, "f")
	var wg sync.WaitGroup
	errs := make(chan error, writers)
	for i := range writers {
		wg.Go(func() {
			_, err := f.WriteAt(bytes.Repeat([]byte{byte('a' + i)}, size), int64(i*size))
			errs <- errors.Join(err, f.Writeback(), f.SyncData())
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		must(t, err)
	}
	got, err := fs.ReadFile(fsys, "f")
	must(t, err)
	for i, b := range got {
		if b != byte('a'+i/size) {
			t.Fatalf("byte %d is %q", i, b)
		}
	}
}
