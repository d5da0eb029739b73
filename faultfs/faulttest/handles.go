package faulttest

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"testing"

	"batpak/faultfs"
)

func open(t *testing.T, fsys faultfs.FS, name string, flag int) faultfs.File {
	t.Helper()
	f, err := fsys.OpenFile(name, flag, 0o600)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// wantRead checks the first bytes that a handle reads at an offset.
func wantRead(t *testing.T, f faultfs.File, off int64, want string) {
	t.Helper()
	got := make([]byte, len(want))
	n, err := f.ReadAt(got, off)
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if string(got[:n]) != want {
		t.Fatalf("read %q at %d, want %q", got[:n], off, want)
	}
}

func readOnlyHandles(t *testing.T, fsys faultfs.FS) {
	write(t, fsys, "f", "bytes")
	f := open(t, fsys, "f", os.O_RDONLY)
	if n, err := f.WriteAt([]byte("x"), 0); err == nil || n != 0 {
		t.Fatalf("wrote %d bytes, error %v", n, err)
	}
	if f.Truncate(1) == nil {
		t.Fatal("truncated")
	}
	if f.Truncate(10) == nil {
		t.Fatal("grown")
	}
	if f.Allocate(0, 1000) == nil {
		t.Fatal("allocated")
	}
	wantContents(t, fsys, "f", "bytes")
	wantRead(t, f, 0, "bytes")
}

func writeOnlyHandles(t *testing.T, fsys faultfs.FS) {
	write(t, fsys, "f", "bytes")
	f := open(t, fsys, "f", os.O_WRONLY)
	one := make([]byte, 1)
	if n, err := f.ReadAt(one, 0); err == nil || errors.Is(err, io.EOF) || n != 0 {
		t.Fatalf("ReadAt gave %d bytes, error %v", n, err)
	}
	if n, err := f.Read(one); err == nil || errors.Is(err, io.EOF) || n != 0 {
		t.Fatalf("Read gave %d bytes, error %v", n, err)
	}
	_, err := f.WriteAt([]byte("BY"), 0)
	must(t, err)
	must(t, f.SyncData())
	wantContents(t, fsys, "f", "BYtes")
}

func handlesOutliveNames(t *testing.T, fsys faultfs.FS) {
	for _, name := range []string{"removed", "replaced", "moved"} {
		write(t, fsys, name, name)
	}
	removed := open(t, fsys, "removed", os.O_RDWR)
	replaced := open(t, fsys, "replaced", os.O_RDWR)
	moved := open(t, fsys, "moved", os.O_RDWR)
	must(t, fsys.Remove("removed"))
	must(t, fsys.Rename("moved", "replaced"))
	wantRead(t, removed, 0, "removed")
	wantRead(t, replaced, 0, "replaced")
	wantRead(t, moved, 0, "moved")

	// What is written through a handle goes to its file, not to the name.
	for _, f := range []faultfs.File{removed, replaced, moved} {
		_, err := f.WriteAt([]byte("M"), 0)
		must(t, err)
		must(t, f.SyncData())
	}
	wantRead(t, removed, 0, "Memoved")
	wantRead(t, replaced, 0, "Meplaced")
	wantContents(t, fsys, "replaced", "Moved")
	write(t, fsys, "removed", "another")
	wantRead(t, removed, 0, "Memoved")
	wantNames(t, fsys, ".", "removed", "replaced")
}

func handlesShareBytes(t *testing.T, fsys faultfs.FS) {
	one := create(t, fsys, "f")
	two := open(t, fsys, "f", os.O_RDWR)
	_, err := one.WriteAt([]byte("bytes"), 0)
	must(t, err)
	wantRead(t, two, 0, "bytes")
	must(t, two.Truncate(2))
	_, err = one.ReadAt(make([]byte, 1), 2)
	wantErr(t, err, io.EOF)
	must(t, one.Close())
	wantRead(t, two, 0, "by")
}

func closedFiles(t *testing.T, fsys faultfs.FS) {
	f := create(t, fsys, "f")
	must(t, f.Close())
	_, err := f.WriteAt([]byte("x"), 0)
	wantErr(t, err, fs.ErrClosed)
	_, err = f.ReadAt(make([]byte, 1), 0)
	wantErr(t, err, fs.ErrClosed)
	_, err = f.Read(make([]byte, 1))
	wantErr(t, err, fs.ErrClosed)
	wantErr(t, f.SyncData(), fs.ErrClosed)
	wantErr(t, f.Writeback(), fs.ErrClosed)
	wantErr(t, f.Sync(), fs.ErrClosed)
	wantErr(t, f.Truncate(0), fs.ErrClosed)
	wantErr(t, f.Allocate(0, 1), fs.ErrClosed)
	wantErr(t, f.Close(), fs.ErrClosed)
}
