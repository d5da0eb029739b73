package faultfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Dir is the folder that root has open, on the real disk.
//
// Operations go through [os.Root], so no name and no symbolic link leads out of
// the folder. The root stays the caller's, and must be open for as long as the
// FS is used.
//
// On Linux SyncData and Writeback are fdatasync, Allocate is fallocate, and Lock is flock. Other
// systems do what their kernels offer: SyncData and Writeback are fsync (on
// Darwin with F_FULLFSYNC), Allocate writes zeros, and on Windows SyncDir does nothing,
// because there a folder cannot be synced. Where there is no whole-file lock
// that also excludes this same process, Lock fails with errors.ErrUnsupported.
func Dir(root *os.Root) FS { return dir{root} }

type dir struct{ root *os.Root }

const flagsAllowed = os.O_RDONLY | os.O_WRONLY | os.O_RDWR | os.O_CREATE | os.O_EXCL | os.O_TRUNC

// local turns a name into the system's form, or refuses it.
func local(op, name string) (string, error) {
	if fs.ValidPath(name) {
		if l, err := filepath.Localize(name); err == nil {
			return l, nil
		}
	}
	return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
}

func (d dir) open(op, name string, flag int, perm fs.FileMode) (*osFile, error) {
	l, err := local(op, name)
	if err != nil {
		return nil, err
	}
	f, err := d.root.OpenFile(l, flag, perm)
	if err != nil {
		return nil, err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, errors.Join(&fs.PathError{Op: op, Path: name, Err: err}, f.Close())
	}
	return &osFile{File: f, raw: raw}, nil
}

func (d dir) Open(name string) (fs.File, error) {
	f, err := d.open("open", name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (d dir) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	if flag&^flagsAllowed != 0 {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	f, err := d.open("open", name, flag, perm)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (d dir) ReadDir(name string) ([]fs.DirEntry, error) {
	return fs.ReadDir(d.root.FS(), name)
}

func (d dir) Rename(oldname, newname string) error {
	from, err := local("rename", oldname)
	if err != nil {
		return err
	}
	to, err := local("rename", newname)
	if err != nil {
		return err
	}
	return d.root.Rename(from, to)
}

func (d dir) Remove(name string) error {
	l, err := local("remove", name)
	if err != nil {
		return err
	}
	return d.root.Remove(l)
}

func (d dir) Mkdir(name string, perm fs.FileMode) error {
	l, err := local("mkdir", name)
	if err != nil {
		return err
	}
	return d.root.Mkdir(l, perm)
}

func (d dir) SyncDir(name string) error {
	f, err := d.open("syncdir", name, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	// A file here is a mistake of the caller, who would believe that names
	// are durable when they are not.
	if info, err := f.Stat(); err != nil {
		return err
	} else if !info.IsDir() {
		return &fs.PathError{Op: "syncdir", Path: name, Err: syscall.ENOTDIR}
	}
	return syncFolder(f.File)
}

func (d dir) Lock(name string) (io.Closer, error) {
	f, err := d.open("lock", name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := control(f.raw, lockFile); err != nil {
		_ = f.Close() // the lock was not taken: nothing hangs on this close
		return nil, &fs.PathError{Op: "lock", Path: name, Err: err}
	}
	return (*lock)(f), nil
}

// lock is the open file that holds the lock.
type lock osFile

// Close releases the lock explicitly before it closes the file: a child that
// was forked and has not reached its exec yet shares the open file, and would
// keep the lock for that moment.
func (l *lock) Close() error {
	unlockErr := control(l.raw, unlockFile)
	if err := l.File.Close(); err != nil {
		return err
	}
	if unlockErr != nil {
		return &fs.PathError{Op: "unlock", Path: l.Name(), Err: unlockErr}
	}
	return nil
}

// osFile is a file on the real disk. What it inherits from os.File is what File
// asks for; Allocate, SyncData and Writeback depend on the system.
type osFile struct {
	*os.File
	raw syscall.RawConn // asked for once: SyncData is on the hot path
}

func (f *osFile) Allocate(off, n int64) error {
	if off < 0 || n <= 0 || off+n < off {
		return &fs.PathError{Op: "allocate", Path: f.Name(), Err: fs.ErrInvalid}
	}
	err := f.reserve(off, n)
	if errors.Is(err, errors.ErrUnsupported) {
		err = fillZeros(f.File, off+n)
	}
	if err != nil {
		return &fs.PathError{Op: "allocate", Path: f.Name(), Err: err}
	}
	return nil
}

// fillZeros writes zeros from the end of the file up to size, which is how
// blocks are had where the system has no call to reserve them.
func fillZeros(f *os.File, size int64) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	zeros := make([]byte, min(max(size-info.Size(), 0), 256<<10))
	for at := info.Size(); at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(size-at, int64(len(zeros)))], at); err != nil {
			return err
		}
	}
	return nil
}

// control runs a system call on the descriptor, which cannot be closed and
// given to another file meanwhile.
func control(raw syscall.RawConn, call func(fd uintptr) error) error {
	var err error
	if raw.Control(func(fd uintptr) { err = call(fd) }) != nil {
		return fs.ErrClosed // the only reason for which there is no descriptor
	}
	return err
}
