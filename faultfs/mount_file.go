package faultfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync/atomic"
	"syscall"
)

// simFile is an open file or folder of a mount.
type simFile struct {
	m      *Mount
	name   string
	node   *node
	access int // os.O_RDONLY, os.O_WRONLY or os.O_RDWR
	closed atomic.Bool
	pos    int64         // of Read
	list   []fs.DirEntry // of a folder: what ReadDir has yet to give
	listed bool
}

// begin locks the mount for an operation that needs one of the kinds of access.
func (f *simFile) begin(op string, access ...int) error {
	switch {
	case f.closed.Load():
		return &fs.PathError{Op: op, Path: f.name, Err: fs.ErrClosed}
	case len(access) > 0 && f.node.folder():
		return &fs.PathError{Op: op, Path: f.name, Err: syscall.EISDIR}
	case len(access) > 0 && !slices.Contains(access, f.access):
		return &fs.PathError{Op: op, Path: f.name, Err: syscall.EBADF}
	}
	return f.m.begin(op, f.name)
}

func (f *simFile) Stat() (fs.FileInfo, error) {
	if err := f.begin("stat"); err != nil {
		return nil, err
	}
	defer f.m.mu.Unlock()
	return f.node.info(path.Base(f.name)), nil
}

func (f *simFile) Close() error {
	if f.closed.Swap(true) {
		return &fs.PathError{Op: "close", Path: f.name, Err: fs.ErrClosed}
	}
	return nil
}

func (f *simFile) Read(p []byte) (int, error) {
	if err := f.begin("read", os.O_RDONLY, os.O_RDWR); err != nil {
		return 0, err
	}
	defer f.m.mu.Unlock()
	n := f.node.now.readAt(p, f.pos)
	f.pos += int64(n)
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (f *simFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if err := f.begin("readdir"); err != nil {
		return nil, err
	}
	defer f.m.mu.Unlock()
	if !f.listed {
		var err error
		if f.list, err = f.node.list(f.name); err != nil {
			return nil, err
		}
		f.listed = true
	}
	if n <= 0 {
		n = len(f.list)
	} else if len(f.list) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(f.list))
	entries := f.list[:n:n]
	f.list = f.list[n:]
	return entries, nil
}

func (f *simFile) ReadAt(p []byte, off int64) (int, error) {
	return f.readAt(p, off, func(n *node) *content { return &n.now })
}

// readStale is ReadAt of what is on the disk and not of what was written since.
func (f *simFile) readStale(p []byte, off int64) (int, error) {
	return f.readAt(p, off, func(n *node) *content { return &n.disk })
}

func (f *simFile) readAt(p []byte, off int64, which func(n *node) *content) (int, error) {
	if err := f.begin("read", os.O_RDONLY, os.O_RDWR); err != nil {
		return 0, err
	}
	defer f.m.mu.Unlock()
	if off < 0 {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: errNegative}
	}
	n := which(f.node).readAt(p, off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

var errNegative = errors.New("negative offset")

// maxSize bounds a simulated file, in bytes: it lives in memory.
const maxSize = 1 << 34

func (f *simFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.begin("write", os.O_WRONLY, os.O_RDWR); err != nil {
		return 0, err
	}
	defer f.m.mu.Unlock()
	switch {
	case off < 0:
		return 0, &fs.PathError{Op: "write", Path: f.name, Err: errNegative}
	case off > maxSize-int64(len(p)):
		return 0, &fs.PathError{Op: "write", Path: f.name, Err: syscall.EFBIG}
	}
	n, m := f.node, f.m
	end := off + int64(len(p))
	if m.model.SizeFirst && len(p) > 0 && m.grows(n, end) {
		m.pending = append(m.pending, unit{file: n, sizes: true, grows: true, size: end})
	}
	n.now.write(p, off, func(i int, b *block, size int64) {
		grown := !m.model.SizeFirst && m.grows(n, size)
		if grown || !b.equal(n.now.block(i)) || !b.equal(n.disk.block(i)) || m.hasPending(n, i) {
			m.pending = append(m.pending, unit{file: n, place: i, block: b, size: size})
		}
		n.now.setBlock(i, b)
	})
	if len(p) > 0 {
		n.now.size = max(n.now.size, end)
	}
	return len(p), nil
}

func (m *Mount) hasPending(n *node, place int) bool {
	return slices.ContainsFunc(m.pending, func(u unit) bool { return u.file == n && !u.sizes && u.place == place })
}

// grows says whether a file becomes longer, or would if the bytes that a failed sync
// took for written were.
func (m *Mount) grows(n *node, size int64) bool {
	return size > n.now.size || size > n.disk.size &&
		!slices.ContainsFunc(m.pending, func(u unit) bool { return u.file == n && u.size >= size })
}

// resize sets a file's size.
func (m *Mount) resize(n *node, size int64) {
	n.now.setSize(size)
	m.pending = append(m.pending, unit{file: n, sizes: true, size: size})
}

func (f *simFile) Truncate(size int64) error {
	if err := f.begin("truncate", os.O_WRONLY, os.O_RDWR); err != nil {
		return err
	}
	defer f.m.mu.Unlock()
	if size < 0 || size > maxSize {
		return &fs.PathError{Op: "truncate", Path: f.name, Err: fs.ErrInvalid}
	}
	if n := f.node; size != n.now.size || size != n.disk.size {
		f.m.resize(n, size)
	}
	return nil
}

func (f *simFile) Allocate(off, n int64) error {
	if err := f.begin("allocate", os.O_WRONLY, os.O_RDWR); err != nil {
		return err
	}
	defer f.m.mu.Unlock()
	switch {
	case off < 0 || n <= 0 || off+n < off:
		return &fs.PathError{Op: "allocate", Path: f.name, Err: fs.ErrInvalid}
	case off+n > maxSize:
		return &fs.PathError{Op: "allocate", Path: f.name, Err: syscall.EFBIG}
	}
	if file := f.node; f.m.grows(file, off+n) {
		file.now.setSize(max(file.now.size, off+n))
		f.m.pending = append(f.m.pending, unit{file: file, sizes: true, grows: true, size: off + n})
	}
	return nil
}

func (f *simFile) SyncData() error { return f.sync("fdatasync") }
func (f *simFile) Sync() error     { return f.sync("fsync") }

// Writeback does the least that it promises: nothing.
func (f *simFile) Writeback() error {
	if err := f.begin("writeback"); err != nil {
		return err
	}
	f.m.mu.Unlock()
	return nil
}

func (f *simFile) sync(op string) error {
	if err := f.begin(op); err != nil {
		return err
	}
	defer f.m.mu.Unlock()
	m := f.m
	// What is pending and no more: what a failed sync took for written is not written now.
	for _, u := range m.pending {
		if u.file == f.node {
			u.apply()
		}
	}
	m.forget(f.node)
	switch {
	case !m.model.FsyncSavesName:
	case m.model.Namespace == Journaled:
		m.save(func(*unit) bool { return true })
	default:
		m.save(m.leading(f.node))
	}
	return nil
}

// leading finds the pending changes of the names that lead to a file, of those of the
// folders on the way too, and what was done to the same names before.
func (m *Mount) leading(file *node) func(u *unit) bool {
	way := map[*node]bool{file: true}
	var on func(n *node) bool
	on = func(n *node) bool {
		for _, child := range n.names {
			if child == file || child.folder() && on(child) {
				way[n] = true
			}
		}
		return way[n]
	}
	on(m.root)
	type key struct {
		folder *node
		name   string
	}
	names, found := map[key]bool{}, map[*entry]bool{}
	for i := len(m.pending) - 1; i >= 0; i-- {
		u := &m.pending[i]
		if slices.ContainsFunc(u.names, func(e entry) bool { return way[e.to] || names[key{e.folder, e.name}] }) {
			found[&u.names[0]] = true
			for _, e := range u.names {
				names[key{e.folder, e.name}] = true
			}
		}
	}
	return func(u *unit) bool { return found[&u.names[0]] }
}

// failSync is a sync that fails and does to the file what the model says.
func (f *simFile) failSync(op string) error {
	if err := f.begin(op); err != nil {
		return err
	}
	defer f.m.mu.Unlock()
	switch f.m.model.FailedSync {
	case KeepClean:
		f.m.forget(f.node)
	case Revert:
		f.m.forget(f.node)
		f.node.now = f.node.disk.clone()
	case Redirty:
	}
	return &fs.PathError{Op: op, Path: f.name, Err: syscall.EIO}
}

// forget drops what is pending of a file.
func (m *Mount) forget(n *node) {
	m.pending = slices.DeleteFunc(m.pending, func(u unit) bool { return u.file == n })
}
