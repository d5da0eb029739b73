package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// volume is a place for a journal whose room can be taken away.
type volume interface {
	// dir is where the journal is.
	dir() string
	// fill leaves room for about so many bytes more, until room is made. The program is the one that
	// runs there; each that is started needs a fill of its own.
	fill(p *program, leave int64)
	// makeRoom takes back what fill did. The program may have ended.
	makeRoom(p *program)
}

// limitedFiles is a directory anywhere: what has no room is the program, whose files may not grow
// past a limit. See disk_test.go.
type limitedFiles struct{ path string }

func (v limitedFiles) dir() string { return v.path }

// fill takes away the room for another segment; the one that is open has what it has.
func (v limitedFiles) fill(p *program, _ int64) { p.limitFiles(64<<10 - 1) }

func (v limitedFiles) makeRoom(p *program) {
	select {
	case <-p.exited: // with its limit
	default:
		p.limitFiles(unlimited)
	}
}

// fileSystem is a file system of its own, in a file.
type fileSystem struct {
	t       testing.TB
	root    *os.File // its only name: the kernel unmounts it when all files in it are closed
	ballast *os.File // takes what room there is to be none of
}

const fileSystemSize = 4 << 30 // bytes; the file is sparse

// mountFileSystem makes a file system and mounts it, or says why that cannot be done here, which
// takes privileges. It is gone when the test ends, and with the test process, however that ends.
func mountFileSystem(t testing.TB) (*fileSystem, error) {
	t.Helper()
	dir := t.TempDir()
	image, at := filepath.Join(dir, "image"), filepath.Join(dir, "mounted")
	if err := os.Mkdir(at, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, fileSystemSize); err != nil {
		return nil, err
	}
	for _, command := range [][]string{
		// No blocks that only root may use: the program may be root.
		{"mkfs.ext4", "-q", "-F", "-m", "0", "-J", "size=8", "-N", "65536", image},
		{"mount", "-o", "loop", image, at},
	} {
		if said, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w %s", command[0], err, said)
		}
	}
	// From here on it has no name but the open folder, so there is nothing that must be undone.
	root, err := os.Open(at)
	if uerr := unix.Unmount(at, unix.MNT_DETACH); err != nil || uerr != nil {
		t.Fatalf("open what is mounted: %v, take its name away: %v", err, uerr)
	}
	v := &fileSystem{t: t, root: root}
	t.Cleanup(func() { root.Close() })
	if v.ballast, err = os.Create(v.path("ballast")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.ballast.Close() })
	return v, nil
}

// path is a path in the file system that other processes find, too, while this one runs.
func (v *fileSystem) path(name string) string {
	return fmt.Sprintf("/proc/%d/fd/%d/%s", os.Getpid(), v.root.Fd(), name)
}

func (v *fileSystem) dir() string { return v.path("journal") }

// free is how many bytes are free.
func (v *fileSystem) free() int64 {
	v.t.Helper()
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(v.root.Fd()), &s); err != nil {
		v.t.Fatal(err)
	}
	return int64(s.Bavail) * s.Bsize
}

func (v *fileSystem) fill(_ *program, leave int64) {
	v.t.Helper()
	info, err := v.ballast.Stat()
	if err != nil {
		v.t.Fatal(err)
	}
	// The program writes at the same time, and the file system needs some for itself: when it does not
	// go at once, then in ever smaller pieces.
	end := info.Size()
	for piece := v.free() - leave; piece >= 4096; piece = min(piece, v.free()-leave) {
		piece &^= 4095
		switch err := unix.Fallocate(int(v.ballast.Fd()), 0, end, piece); err {
		case nil:
			end += piece
		case unix.EINTR:
		case unix.ENOSPC:
			piece /= 2
		default:
			v.t.Fatalf("take the room away: %v", err)
		}
	}
}

func (v *fileSystem) makeRoom(*program) {
	v.t.Helper()
	if err := v.ballast.Truncate(0); err != nil {
		v.t.Fatal(err)
	}
}
