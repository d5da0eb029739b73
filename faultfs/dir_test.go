package faultfs

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

func newDir(t testing.TB) FS {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return Dir(root)
}

func TestDirConforms(t *testing.T) {
	testFS(t, func(t *testing.T) FS { return newDir(t) })
}

func TestSubConforms(t *testing.T) {
	testFS(t, func(t *testing.T) FS {
		s := Sub(Sub(newDir(t), "one"), "two")
		must(t, Sub(s.(sub).fsys, ".").Mkdir(".", 0o755))
		must(t, s.Mkdir(".", 0o755))
		return s
	})
}

func TestInjectorWithoutRulesConforms(t *testing.T) {
	testFS(t, func(t *testing.T) FS { return Inject(newDir(t)) })
}

func TestSubOfAnInvalidFolderRefusesEverything(t *testing.T) {
	fsys := newDir(t)
	must(t, fsys.Mkdir("a", 0o755))
	for _, bad := range []string{"", "..", "a/../..", "a/..", "/"} {
		_, err := Sub(fsys, bad).ReadDir(".")
		wantErr(t, err, fs.ErrInvalid)
		wantErr(t, Sub(fsys, bad).Mkdir("b", 0o755), fs.ErrInvalid)
	}
}

func TestNoSymbolicLinkLeadsOut(t *testing.T) {
	outside := t.TempDir()
	must(t, os.WriteFile(outside+"/secret", []byte("secret"), 0o600))
	folder := t.TempDir()
	must(t, os.Symlink(outside, folder+"/link"))
	root, err := os.OpenRoot(folder)
	must(t, err)
	defer root.Close()
	fsys := Dir(root)
	if _, err := fsys.Open("link/secret"); err == nil {
		t.Fatal("a link led out of the folder")
	}
	if err := Publish(fsys, "link/secret", nil, 0o600); err == nil {
		t.Fatal("a file was published outside the folder")
	}
}

func TestPublishSetsPermissionsEvenOverALeftover(t *testing.T) {
	fsys := newDir(t)
	f, err := fsys.OpenFile("f"+TempSuffix, os.O_RDWR|os.O_CREATE, 0o644)
	must(t, err)
	must(t, f.Close())
	must(t, Publish(fsys, "f", []byte("private"), 0o600))
	info, err := fs.Stat(fsys, "f")
	must(t, err)
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Fatalf("mode is %v, want 0600", info.Mode())
	}
}

// The lock is held by a second process, which is this test binary again.
func TestLockExcludesOtherProcesses(t *testing.T) {
	if folder := os.Getenv("FAULTFS_TEST_LOCK"); folder != "" {
		root, err := os.OpenRoot(folder)
		must(t, err)
		defer root.Close()
		_, err = Dir(root).Lock("LOCK")
		wantErr(t, err, ErrLocked)
		return
	}
	folder := t.TempDir()
	root, err := os.OpenRoot(folder)
	must(t, err)
	defer root.Close()
	held, err := Dir(root).Lock("LOCK")
	must(t, err)
	defer held.Close()
	child := exec.Command(os.Args[0], "-test.run=^TestLockExcludesOtherProcesses$")
	child.Env = append(os.Environ(), "FAULTFS_TEST_LOCK="+folder)
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("the other process took the lock: %v\n%s", err, out)
	}
}

func TestAllocateReportsAFullDiskUpFront(t *testing.T) {
	f := create(t, newDir(t), "f")
	err := f.Allocate(0, 1<<50) // more than any disk of a test machine has
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EFBIG) {
		t.Fatalf("error is %v, want ENOSPC or EFBIG", err)
	}
}

func TestFillingWithZerosReservesAndKeepsBytes(t *testing.T) {
	fsys := newDir(t)
	f := create(t, fsys, "f")
	_, err := f.WriteAt([]byte("kept"), 0)
	must(t, err)
	must(t, fillZeros(f.(*osFile).File, 600_000))
	must(t, fillZeros(f.(*osFile).File, 5)) // never shorter
	wantContents(t, fsys, "f", "kept"+string(make([]byte, 600_000-4)))
}
