package faulttest

import (
	"io/fs"
	"os"
	"testing"
	"testing/fstest"

	"batpak/faultfs"
)

func readsLikeAnyFS(t *testing.T, fsys faultfs.FS) {
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

func refusesBadNames(t *testing.T, fsys faultfs.FS) {
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

func refusesOddFlags(t *testing.T, fsys faultfs.FS) {
	for _, flag := range []int{os.O_APPEND, os.O_SYNC} {
		_, err := fsys.OpenFile("f", os.O_RDWR|os.O_CREATE|flag, 0o600)
		wantErr(t, err, fs.ErrInvalid)
	}
	wantNames(t, fsys, ".")
}

func createKinds(t *testing.T, fsys faultfs.FS) {
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

func truncatingOpens(t *testing.T, fsys faultfs.FS) {
	const flags = os.O_RDWR | os.O_CREATE | os.O_TRUNC
	must(t, open(t, fsys, "f", flags).Close())
	wantContents(t, fsys, "f", "")
	write(t, fsys, "g", "bytes")
	must(t, open(t, fsys, "g", flags).Close())
	wantContents(t, fsys, "g", "")
	write(t, fsys, "h", "bytes")
	_, err := fsys.OpenFile("h", flags|os.O_EXCL, 0o600)
	wantErr(t, err, fs.ErrExist)
	wantContents(t, fsys, "h", "bytes")
}

func foldersRefuseWriters(t *testing.T, fsys faultfs.FS) {
	must(t, fsys.Mkdir("d", 0o755))
	write(t, fsys, "d/f", "kept")
	for _, flag := range []int{os.O_WRONLY, os.O_RDWR, os.O_RDWR | os.O_CREATE, os.O_WRONLY | os.O_TRUNC} {
		for _, folder := range []string{".", "d"} {
			if f, err := fsys.OpenFile(folder, flag, 0o600); err == nil {
				_ = f.Close()
				t.Fatalf("folder %s was opened with flags %#x", folder, flag)
			}
		}
	}
	wantContents(t, fsys, "d/f", "kept")
}

func listsFolders(t *testing.T, fsys faultfs.FS) {
	for _, name := range []string{"m", "B", "10"} {
		must(t, fsys.Mkdir(name, 0o755))
	}
	for _, name := range []string{"z", "a", "9", "m/inner"} {
		write(t, fsys, name, "some bytes")
	}
	wantNames(t, fsys, ".", "10", "9", "B", "a", "m", "z")
	wantNames(t, fsys, "m", "inner")
	wantNames(t, fsys, "B")
	entries, err := fsys.ReadDir(".")
	must(t, err)
	for _, e := range entries {
		folder := e.Name() == "m" || e.Name() == "B" || e.Name() == "10"
		if e.IsDir() != folder {
			t.Fatalf("%s is listed as %v", e.Name(), e.Type())
		}
	}
	if _, err := fsys.ReadDir("a"); err == nil {
		t.Fatal("a file was listed")
	}
}

func renames(t *testing.T, fsys faultfs.FS) {
	write(t, fsys, "old", "1")
	write(t, fsys, "new", "2")
	must(t, fsys.Mkdir("d", 0o755))
	must(t, fsys.Rename("old", "new"))
	wantContents(t, fsys, "new", "1")
	must(t, fsys.Rename("new", "d/moved"))
	wantContents(t, fsys, "d/moved", "1")
	wantNames(t, fsys, ".", "d")
	wantErr(t, fsys.Rename("missing", "x"), fs.ErrNotExist)
	wantErr(t, fsys.Rename("missing", "missing"), fs.ErrNotExist)
	wantErr(t, fsys.Rename("d/moved", "no/such"), fs.ErrNotExist)
	wantContents(t, fsys, "d/moved", "1")
	must(t, fsys.Mkdir("e", 0o755))
	wantErr(t, fsys.Rename("d/moved", "e"), fs.ErrExist)
	wantErr(t, fsys.Rename("e", "e"), fs.ErrExist)
	must(t, fsys.Rename("d", "f"))
	wantErr(t, fsys.Rename("f", "e"), fs.ErrExist)
	wantContents(t, fsys, "f/moved", "1")
}

func renamesOntoItself(t *testing.T, fsys faultfs.FS) {
	write(t, fsys, "f", "bytes")
	must(t, fsys.Rename("f", "f"))
	wantContents(t, fsys, "f", "bytes")
	wantNames(t, fsys, ".", "f")
}

func removes(t *testing.T, fsys faultfs.FS) {
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
	wantErr(t, fsys.Remove("d/f"), fs.ErrNotExist)
	wantErr(t, fsys.Remove("never"), fs.ErrNotExist)
	wantNames(t, fsys, ".")
}

func syncsFolders(t *testing.T, fsys faultfs.FS) {
	must(t, fsys.Mkdir("d", 0o755))
	write(t, fsys, "f", "")
	must(t, fsys.SyncDir("."))
	must(t, fsys.SyncDir("d"))
	wantErr(t, fsys.SyncDir("missing"), fs.ErrNotExist)
	if fsys.SyncDir("f") == nil {
		t.Fatal("a file was synced as a folder")
	}
}

func locks(t *testing.T, fsys faultfs.FS) {
	held, err := fsys.Lock("LOCK")
	must(t, err)
	_, err = fsys.Lock("LOCK")
	wantErr(t, err, faultfs.ErrLocked)
	other, err := fsys.Lock("OTHER")
	must(t, err)
	must(t, other.Close())
	must(t, held.Close())
	held, err = fsys.Lock("LOCK")
	must(t, err)
	must(t, held.Close())
	wantNames(t, fsys, ".", "LOCK", "OTHER")
}

func lockFiles(t *testing.T, fsys faultfs.FS) {
	held, err := fsys.Lock("LOCK")
	must(t, err)
	must(t, open(t, fsys, "LOCK", os.O_RDWR).Close())
	_, err = fsys.Lock("LOCK") // that handle's end has not released it
	wantErr(t, err, faultfs.ErrLocked)
	must(t, held.Close())
	if held.Close() == nil {
		t.Fatal("a lock was released twice")
	}
	must(t, open(t, fsys, "LOCK", os.O_RDONLY).Close())
	wantNames(t, fsys, ".", "LOCK")

	write(t, fsys, "old", "bytes")
	held, err = fsys.Lock("old")
	must(t, err)
	must(t, held.Close())
	wantContents(t, fsys, "old", "bytes")
	_, err = fsys.Lock("missing/LOCK")
	wantErr(t, err, fs.ErrNotExist)
}

func publishes(t *testing.T, fsys faultfs.FS) {
	must(t, fsys.Mkdir("d", 0o755))
	must(t, faultfs.Publish(fsys, "d/f", []byte("a first, longer text"), 0o600))
	must(t, faultfs.Publish(fsys, "d/f", []byte("second"), 0o600))
	wantContents(t, fsys, "d/f", "second")
	write(t, fsys, "d/f"+faultfs.TempSuffix, "left by a crash")
	must(t, faultfs.Publish(fsys, "d/f", []byte("third"), 0o600))
	wantContents(t, fsys, "d/f", "third")
	wantNames(t, fsys, "d", "f")
	wantErr(t, faultfs.Publish(fsys, "missing/f", nil, 0o600), fs.ErrNotExist)
}
