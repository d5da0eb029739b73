package faultfs_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"batpak/faultfs"
	"batpak/faultfs/faulttest"
)

func TestDirConforms(t *testing.T) {
	faulttest.Conformance(t, func(t *testing.T) faultfs.FS { return newDir(t) })
}

func TestSubConforms(t *testing.T) {
	faulttest.Conformance(t, func(t *testing.T) faultfs.FS {
		one := faultfs.Sub(newDir(t), "one")
		s := faultfs.Sub(one, "two")
		must(t, faultfs.Sub(one, ".").Mkdir(".", 0o755))
		must(t, s.Mkdir(".", 0o755))
		return s
	})
}

func TestInjectorWithoutRulesConforms(t *testing.T) {
	faulttest.Conformance(t, func(t *testing.T) faultfs.FS { return faultfs.Inject(newDir(t)) })
}

func TestSubOfAnInvalidFolderRefusesEverything(t *testing.T) {
	fsys := newDir(t)
	must(t, fsys.Mkdir("a", 0o755))
	for _, bad := range []string{"", "..", "a/../..", "a/..", "/"} {
		_, err := faultfs.Sub(fsys, bad).ReadDir(".")
		wantErr(t, err, fs.ErrInvalid)
		wantErr(t, faultfs.Sub(fsys, bad).Mkdir("b", 0o755), fs.ErrInvalid)
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
	fsys := faultfs.Dir(root)
	if _, err := fsys.Open("link/secret"); err == nil {
		t.Fatal("a link led out of the folder")
	}
	if err := faultfs.Publish(fsys, "link/secret", nil, 0o600); err == nil {
		t.Fatal("a file was published outside the folder")
	}
}

func TestPublishSetsPermissionsEvenOverALeftover(t *testing.T) {
	fsys := newDir(t)
	f, err := fsys.OpenFile("f"+faultfs.TempSuffix, os.O_RDWR|os.O_CREATE, 0o644)
	must(t, err)
	must(t, f.Close())
	must(t, faultfs.Publish(fsys, "f", []byte("private"), 0o600))
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
		_, err = faultfs.Dir(root).Lock("LOCK")
		wantErr(t, err, faultfs.ErrLocked)
		return
	}
	folder := t.TempDir()
	root, err := os.OpenRoot(folder)
	must(t, err)
	defer root.Close()
	held, err := faultfs.Dir(root).Lock("LOCK")
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
