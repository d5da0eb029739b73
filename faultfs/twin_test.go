package faultfs_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"batpak/faultfs"
)

// twin is a disk with what is open on it.
type twin struct {
	faultfs.FS
	files [3]fs.File
	locks [2]io.Closer
}

func (w *twin) end() {
	for _, f := range w.files {
		if f != nil {
			_ = f.Close()
		}
	}
	for _, l := range w.locks {
		if l != nil {
			_ = l.Close()
		}
	}
}

// class is what a program can tell of an error.
func class(err error) string {
	if err == nil {
		return "nil"
	}
	for _, is := range []error{io.EOF, faultfs.ErrLocked, fs.ErrNotExist, fs.ErrExist, fs.ErrInvalid, fs.ErrClosed, fs.ErrPermission} {
		if errors.Is(err, is) {
			return is.Error()
		}
	}
	return "an error"
}

// classOf is the class of an error of changing names. How the root itself is refused
// is open.
func classOf(err error, names ...string) string {
	if err != nil && slices.Contains(names, ".") {
		return "an error"
	}
	return class(err)
}

var fuzzedNames = []string{"a", "b", "d", "d/a", "d/e", "d/e/a", "a/a", ".", "../a", "/a", "a/", ""}

// operate does one operation, and says what came of it.
func (w *twin) operate(c *faultfs.Choices) string {
	name := func() string { return fuzzedNames[c.Intn(len(fuzzedNames))] }
	slot := c.Intn(len(w.files))
	file, isFile := w.files[slot].(faultfs.File)
	off := int64(c.Intn(24)) - 1
	switch verb := c.Intn(18); verb {
	case 0, 1, 2:
		n := name()
		flag := []int{os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR}[c.Intn(4)] |
			[]int{os.O_CREATE, 0, os.O_CREATE | os.O_EXCL, os.O_CREATE}[c.Intn(4)] | []int{0, 0, os.O_TRUNC, os.O_APPEND}[c.Intn(4)]
		f, err := w.OpenFile(n, flag, 0o600)
		if err == nil {
			w.replace(slot, f)
		}
		return fmt.Sprintf("open %q %#x: %s", n, flag, class(err))
	case 3:
		n := name()
		f, err := w.Open(n)
		if err == nil {
			w.replace(slot, f)
		}
		return fmt.Sprintf("open %q: %s", n, class(err))
	case 4:
		n := name()
		return fmt.Sprintf("mkdir %q: %s", n, classOf(w.Mkdir(n, 0o700), n))
	case 5:
		n := name()
		return fmt.Sprintf("remove %q: %s", n, classOf(w.Remove(n), n))
	case 6, 7:
		n, to := name(), name()
		return fmt.Sprintf("rename %q to %q: %s", n, to, classOf(w.Rename(n, to), n, to))
	case 8:
		n := name()
		return fmt.Sprintf("syncdir %q: %s", n, class(w.SyncDir(n)))
	case 9:
		n, l := name(), c.Intn(len(w.locks))
		if w.locks[l] != nil {
			err := w.locks[l].Close()
			w.locks[l] = nil
			return fmt.Sprintf("unlock: %s", class(err))
		}
		lock, err := w.Lock(n)
		if err == nil {
			w.locks[l] = lock
		}
		return fmt.Sprintf("lock %q: %s", n, class(err))
	case 10:
		n := name()
		entries, err := w.ReadDir(n)
		return fmt.Sprintf("readdir %q: %s, %s", n, entries, class(err))
	case 11:
		if w.files[slot] == nil {
			return ""
		}
		p := make([]byte, 1+c.Intn(9))
		n, err := w.files[slot].Read(p)
		return fmt.Sprintf("read: %q, %s", p[:max(n, 0)], class(err))
	case 12:
		if w.files[slot] == nil {
			return ""
		}
		info, err := w.files[slot].Stat()
		if err != nil {
			return "stat: " + class(err)
		}
		size := info.Size()
		if info.IsDir() {
			size = 0 // of a folder it means nothing
		}
		return fmt.Sprintf("stat: %d, folder %v", size, info.IsDir())
	case 13:
		if w.files[slot] == nil {
			return ""
		}
		return "close: " + class(w.files[slot].Close())
	default:
		if !isFile {
			return ""
		}
		return fileOperation(file, verb, off, c)
	}
}

func fileOperation(file faultfs.File, verb int, off int64, c *faultfs.Choices) string {
	n := 1 + c.Intn(9)
	class := func(err error) string {
		if err != nil && off < 1 && !errors.Is(err, io.EOF) { // which of several reasons is told is open
			return "an error"
		}
		return class(err)
	}
	switch verb {
	case 14, 15:
		p := []byte(strings.Repeat(string(rune('p'+n)), n))
		n, err := file.WriteAt(p, off)
		return fmt.Sprintf("write %q at %d: %d, %s", p, off, n, class(err))
	case 16:
		p := make([]byte, n)
		n, err := file.ReadAt(p, off)
		return fmt.Sprintf("readat %d: %q, %s", off, p[:max(n, 0)], class(err))
	}
	switch n {
	case 1, 2:
		return fmt.Sprintf("truncate %d: %s", off, class(file.Truncate(off)))
	case 3, 4:
		return fmt.Sprintf("allocate %d+%d: %s", off, n, class(file.Allocate(off, int64(n))))
	case 5:
		return "sync: " + class(file.Sync())
	case 6:
		return "syncdata: " + class(file.SyncData())
	case 7:
		return "writeback: " + class(file.Writeback())
	}
	return ""
}

func (w *twin) replace(slot int, f fs.File) {
	if w.files[slot] != nil {
		_ = w.files[slot].Close()
	}
	w.files[slot] = f
}

// A program that runs cannot tell a simulated disk from a real one.
func FuzzMount(f *testing.F) {
	if runtime.GOOS != "linux" {
		f.Skip("other systems give other reasons")
	}
	for seed := range byte(20) {
		b := make([]byte, 200)
		for i := range b {
			b[i] = seed*37 + byte(i)*(2*seed+1)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		dir, err := os.MkdirTemp(memory(), "faultfs")
		must(t, err)
		defer os.RemoveAll(dir)
		root, err := os.OpenRoot(dir)
		must(t, err)
		defer root.Close()
		real, simulated := &twin{FS: faultfs.Dir(root)}, &twin{FS: faultfs.NewDisk(tiny(faultfs.POSIX)).Mount()}
		defer real.end()
		defer simulated.end()
		one, other := faultfs.FromBytes(b), faultfs.FromBytes(b)
		var did []string
		for range min(len(b)/4, 100) {
			want, got := real.operate(one), simulated.operate(other)
			if did = append(did, want); got != want {
				t.Fatalf("%s\nand simulated: %s", strings.Join(did, "\n"), got)
			}
		}
		if want, got := found(t, real), found(t, simulated); got != want {
			t.Fatalf("%s\nleft %q, and simulated %q", strings.Join(did, "\n"), want, got)
		}
	})
}

// memory is a folder in memory, where the system has one, for files that need not last.
func memory() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}
