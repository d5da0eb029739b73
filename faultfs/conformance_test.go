package faultfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
)

// testFS is what every FS must pass. newFS makes an empty one.
func testFS(t *testing.T, newFS func(t *testing.T) FS) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, fsys FS)
	}{
		{"ReadsLikeAnyFS", readsLikeAnyFS},
		{"RefusesNamesThatAreNotValid", refusesBadNames},
		{"RefusesFlagsOutsideTheContract", refusesOddFlags},
		{"CreateKinds", createKinds},
		{"WritesAndReadsAtOffsets", writesAtOffsets},
		{"TruncateGrowsWithZeros", truncates},
		{"AllocateGrowsWithZerosAndKeepsBytes", allocates},
		{"RenameReplaces", renames},
		{"RemoveTakesFilesAndEmptyFolders", removes},
		{"SyncDirWantsAFolder", syncsFolders},
		{"LockExcludesThisProcessToo", locks},
		{"ClosedFileRefuses", closedFiles},
		{"ConcurrentWritersKeepTheirRanges", concurrentWrites},
		{"PublishReplacesWholeFiles", publishes},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newFS(t)) })
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v, want %v", err, want)
	}
}

func create(t *testing.T, fsys FS, name string) File {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func write(t *testing.T, fsys FS, name, text string) {
	t.Helper()
	f := create(t, fsys, name)
	_, err := f.WriteAt([]byte(text), 0)
	must(t, err)
	must(t, f.Close())
}

func wantContents(t *testing.T, fsys FS, name, want string) {
	t.Helper()
	got, err := fs.ReadFile(fsys, name)
	must(t, err)
	if string(got) != want {
		t.Fatalf("%s holds %q, want %q", name, got, want)
	}
}

func wantNames(t *testing.T, fsys FS, folder string, want ...string) {
	t.Helper()
	entries, err := fsys.ReadDir(folder)
	must(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Fatalf("folder %s holds %q, want %q", folder, got, want)
	}
}

func readsLikeAnyFS(t *testing.T, fsys FS) {
	must(t, fsys.Mkdir("a", 0o755))
	must(t, fsys.Mkdir("a/b", 0o755))
	write(t, fsys, "top", "some bytes")
	write(t, fsys, "a/b/deep", "other bytes")
	write(t, fsys, "a/empty", "")
	must(t, fstest.TestFS(fsys, "top", "a", "a/b", "a/b/deep", "a/empty"))
	_, err := fsys.Open("missing")
	wantErr(t, err, fs.ErrNotExist)
	_, err = fsys.ReadDir("missing")
	wantErr(t, err, fs.ErrNotExist)
}

func refusesBadNames(t *testing.T, fsys FS) {
	write(t, fsys, "good", "")
	for _, bad := range []string{"", "/abs", "../out", "a/../b", "a//b", "a/", "./a"} {
		_, err := fsys.Open(bad)
		wantErr(t, err, fs.ErrInvalid)
		_, err = fsys.OpenFile(bad, os.O_RDWR|os.O_CREATE, 0o600)
		wantErr(t, err, fs.ErrInvalid)
		_, err = fsys.ReadDir(bad)
		wantErr(t, err, fs.ErrInvalid)
		wantErr(t, fsys.Rename(bad, "good"), fs.ErrInvalid)
		wantErr(t, fsys.Rename("good", bad), fs.ErrInvalid)
		wantErr(t, fsys.Remove(bad), fs.ErrInvalid)
		wantErr(t, fsys.Mkdir(bad, 0o755), fs.ErrInvalid)
		wantErr(t, fsys.SyncDir(bad), fs.ErrInvalid)
		_, err = fsys.Lock(bad)
		wantErr(t, err, fs.ErrInvalid)
	}
}

func refusesOddFlags(t *testing.T, fsys FS) {
	for _, flag := range []int{os.O_APPEND, os.O_SYNC} {
		_, err := fsys.OpenFile("f", os.O_RDWR|os.O_CREATE|flag, 0o600)
		wantErr(t, err, fs.ErrInvalid)
	}
	wantNames(t, fsys, ".")
}

func createKinds(t *testing.T, fsys FS) {
	_, err := fsys.OpenFile("f", os.O_RDWR, 0)
	wantErr(t, err, fs.ErrNotExist)
	write(t, fsys, "f", "bytes")
	_, err = fsys.OpenFile("f", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	wantErr(t, err, fs.ErrExist)
	f, err := fsys.OpenFile("f", os.O_RDWR|os.O_CREATE, 0o600)
	must(t, err)
	must(t, f.Close())
	wantContents(t, fsys, "f", "bytes")
	f, err = fsys.OpenFile("f", os.O_RDWR|os.O_TRUNC, 0)
	must(t, err)
	must(t, f.Close())
	wantContents(t, fsys, "f", "")
	_, err = fsys.OpenFile("no/such/folder", os.O_RDWR|os.O_CREATE, 0o600)
	wantErr(t, err, fs.ErrNotExist)
}

func writesAtOffsets(t *testing.T, fsys FS) {
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

func truncates(t *testing.T, fsys FS) {
	f := create(t, fsys, "f")
	_, err := f.WriteAt([]byte("12345"), 0)
	must(t, err)
	must(t, f.Truncate(2))
	must(t, f.Truncate(4))
	wantContents(t, fsys, "f", "12\x00\x00")
}

func allocates(t *testing.T, fsys FS) {
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

func renames(t *testing.T, fsys FS) {
	write(t, fsys, "old", "1")
	write(t, fsys, "new", "2")
	must(t, fsys.Mkdir("d", 0o755))
	must(t, fsys.Rename("old", "new"))
	wantContents(t, fsys, "new", "1")
	must(t, fsys.Rename("new", "d/moved"))
	wantContents(t, fsys, "d/moved", "1")
	wantNames(t, fsys, ".", "d")
	wantErr(t, fsys.Rename("missing", "x"), fs.ErrNotExist)
}

func removes(t *testing.T, fsys FS) {
	must(t, fsys.Mkdir("d", 0o755))
	wantErr(t, fsys.Mkdir("d", 0o755), fs.ErrExist)
	wantErr(t, fsys.Mkdir("no/parent", 0o755), fs.ErrNotExist)
	write(t, fsys, "d/f", "")
	if fsys.Remove("d") == nil {
		t.Fatal("a folder that is not empty was removed")
	}
	must(t, fsys.Remove("d/f"))
	must(t, fsys.Remove("d"))
	wantErr(t, fsys.Remove("d"), fs.ErrNotExist)
	wantNames(t, fsys, ".")
}

func syncsFolders(t *testing.T, fsys FS) {
	must(t, fsys.Mkdir("d", 0o755))
	write(t, fsys, "f", "")
	must(t, fsys.SyncDir("."))
	must(t, fsys.SyncDir("d"))
	wantErr(t, fsys.SyncDir("missing"), fs.ErrNotExist)
	if fsys.SyncDir("f") == nil {
		t.Fatal("a file was synced as a folder")
	}
}

func locks(t *testing.T, fsys FS) {
	held, err := fsys.Lock("LOCK")
	must(t, err)
	_, err = fsys.Lock("LOCK")
	wantErr(t, err, ErrLocked)
	other, err := fsys.Lock("OTHER")
	must(t, err)
	must(t, other.Close())
	must(t, held.Close())
	held, err = fsys.Lock("LOCK")
	must(t, err)
	must(t, held.Close())
	wantNames(t, fsys, ".", "LOCK", "OTHER")
}

func closedFiles(t *testing.T, fsys FS) {
	f := create(t, fsys, "f")
	must(t, f.Close())
	_, err := f.WriteAt([]byte("x"), 0)
	wantErr(t, err, fs.ErrClosed)
	_, err = f.ReadAt(make([]byte, 1), 0)
	wantErr(t, err, fs.ErrClosed)
	wantErr(t, f.SyncData(), fs.ErrClosed)
	wantErr(t, f.Writeback(), fs.ErrClosed)
	wantErr(t, f.Sync(), fs.ErrClosed)
	wantErr(t, f.Truncate(0), fs.ErrClosed)
	wantErr(t, f.Allocate(0, 1), fs.ErrClosed)
	wantErr(t, f.Close(), fs.ErrClosed)
}

func concurrentWrites(t *testing.T, fsys FS) {
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

func publishes(t *testing.T, fsys FS) {
	must(t, fsys.Mkdir("d", 0o755))
	must(t, Publish(fsys, "d/f", []byte("a first, longer text"), 0o600))
	must(t, Publish(fsys, "d/f", []byte("second"), 0o600))
	wantContents(t, fsys, "d/f", "second")
	write(t, fsys, "d/f"+TempSuffix, "left by a crash")
	must(t, Publish(fsys, "d/f", []byte("third"), 0o600))
	wantContents(t, fsys, "d/f", "third")
	wantNames(t, fsys, "d", "f")
	wantErr(t, Publish(fsys, "missing/f", nil, 0o600), fs.ErrNotExist)
}
