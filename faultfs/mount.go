package faultfs

import (
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"
	"syscall"
	"time"
)

const errNotDir = syscall.ENOTDIR

// Mount is one boot of a simulated disk, an FS. It does what its [Model] allows
// and nothing better: what was not synced is kept by the cache, and only there.
// It never fails by itself; an [Injector] around it makes it fail.
//
// Times of files are zero. It is safe for concurrent use; operations take effect
// one after the other.
type Mount struct {
	mu sync.Mutex // guards what follows; nothing waits while it is held
	state
	locks   map[string]bool
	crashed bool
}

// Snapshot is the disk as it is now, with everything that is not synced still in
// the cache: what the next program finds when this one is killed. [Disk.Crash] of
// it is what is found after a loss of power. The mount goes on.
func (m *Mount) Snapshot() *Disk {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Disk{state: m.clone()}
}

// Kill ends the program but not the machine: operations fail with [ErrCrashed]
// from now on, and the cache stays.
func (m *Mount) Kill() *Disk {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.crashed = true
	return &Disk{state: m.clone()}
}

// Crash is a loss of power: operations fail with [ErrCrashed] from now on, and of
// what was not synced c decides what is left.
func (m *Mount) Crash(c *Choices) *Disk { return m.Kill().Crash(c) }

// Used is the sum of the sizes of all files, in bytes.
func (m *Mount) Used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var used int64
	m.walk(func(_ string, n *node) {
		if !n.folder() {
			used += n.now.size
		}
	})
	return used
}

// begin locks the mount for an operation.
func (m *Mount) begin(op, name string) error {
	m.mu.Lock()
	if m.crashed {
		m.mu.Unlock()
		return &fs.PathError{Op: op, Path: name, Err: ErrCrashed}
	}
	return nil
}

// Open opens a file or a folder for reading.
func (m *Mount) Open(name string) (fs.File, error) {
	return m.open(name, os.O_RDONLY, 0)
}

// OpenFile opens a file.
func (m *Mount) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	if flag&^flagsAllowed != 0 {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	f, err := m.open(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (m *Mount) open(name string, flag int, perm fs.FileMode) (*simFile, error) {
	if err := m.begin("open", name); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	n, err := m.find("open", name)
	missing := err != nil
	if missing && flag&os.O_CREATE != 0 {
		if n, err = m.create(name, perm); err != nil {
			return nil, err
		}
	}
	access := flag & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR)
	switch {
	case err != nil:
		return nil, err
	case !missing && flag&os.O_CREATE != 0 && flag&os.O_EXCL != 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrExist}
	case n.folder() && (access != os.O_RDONLY || flag&(os.O_CREATE|os.O_TRUNC) != 0):
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EISDIR}
	}
	if flag&os.O_TRUNC != 0 && max(n.now.size, n.disk.size) > 0 {
		m.resize(n, 0)
	}
	return &simFile{m: m, name: name, node: n, access: access}, nil
}

// parent is the folder of a name that is to be made or changed.
func (m *Mount) parent(op, name string) (folder *node, base string, err error) {
	if !fs.ValidPath(name) || name == "." {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	dir, base := path.Split(name)
	folder, err = m.find(op, path.Clean("./"+dir))
	if err == nil && !folder.folder() {
		err = &fs.PathError{Op: op, Path: name, Err: errNotDir}
	}
	return folder, base, err
}

func (m *Mount) create(name string, perm fs.FileMode) (*node, error) {
	folder, base, err := m.parent("open", name)
	if err != nil {
		return nil, err
	}
	empty := content{sector: m.model.Sector}
	n := &node{mode: perm.Perm(), now: empty, disk: empty}
	m.rename("create "+name, entry{folder, base, n})
	return n, nil
}

// rename changes names now, and leaves it to the syncs to make that durable. A
// loss of power keeps the changes within one folder together.
func (m *Mount) rename(note string, changes ...entry) {
	for _, e := range changes {
		if e.to == nil {
			delete(e.folder.names, e.name)
		} else {
			e.folder.names[e.name] = e.to
		}
	}
	if m.model.Namespace == Arbitrary && len(changes) == 2 && changes[0].folder != changes[1].folder {
		m.pending = append(m.pending, unit{names: changes[:1], note: note + ", one folder"}, unit{names: changes[1:], note: note + ", the other"})
		return
	}
	m.pending = append(m.pending, unit{names: changes, note: note})
}

// ReadDir lists a folder.
func (m *Mount) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := m.begin("readdir", name); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	n, err := m.find("readdir", name)
	if err != nil {
		return nil, err
	}
	return n.list(name)
}

func (n *node) list(name string) ([]fs.DirEntry, error) {
	if !n.folder() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errNotDir}
	}
	var entries []fs.DirEntry
	for base, child := range n.names {
		entries = append(entries, fs.FileInfoToDirEntry(child.info(base)))
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int {
		if a.Name() < b.Name() {
			return -1
		}
		return 1
	})
	return entries, nil
}

// Rename renames a file or a folder.
func (m *Mount) Rename(oldname, newname string) error {
	fails := func(err error) error { return &os.LinkError{Op: "rename", Old: oldname, New: newname, Err: err} }
	if err := m.begin("rename", oldname); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if !fs.ValidPath(newname) { // before anything is looked for
		return fails(fs.ErrInvalid)
	}
	from, fromBase, err := m.parent("rename", oldname)
	if err != nil {
		return err
	}
	to, toBase, err := m.parent("rename", newname)
	if err != nil {
		return err
	}
	n, replaced := from.names[fromBase], to.names[toBase]
	switch {
	case n == nil:
		return fails(fs.ErrNotExist)
	case replaced != nil && replaced.folder():
		return fails(fs.ErrExist)
	case n == replaced:
		return nil
	case n.holds(to):
		return fails(syscall.EINVAL) // into itself
	case replaced != nil && n.folder():
		return fails(errNotDir)
	}
	m.rename("rename "+oldname+" -> "+newname, entry{from, fromBase, nil}, entry{to, toBase, n})
	return nil
}

// holds says whether a folder is another one or has it somewhere inside.
func (n *node) holds(folder *node) bool {
	if n == folder {
		return true
	}
	for _, child := range n.names {
		if child.folder() && child.holds(folder) {
			return true
		}
	}
	return false
}

// Remove removes a file or an empty folder.
func (m *Mount) Remove(name string) error {
	if err := m.begin("remove", name); err != nil {
		return err
	}
	defer m.mu.Unlock()
	folder, base, err := m.parent("remove", name)
	if err != nil {
		return err
	}
	switch n := folder.names[base]; {
	case n == nil:
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	case n.folder() && len(n.names) > 0:
		return &fs.PathError{Op: "remove", Path: name, Err: syscall.ENOTEMPTY}
	}
	m.rename("remove "+name, entry{folder, base, nil})
	return nil
}

// Mkdir makes a folder.
func (m *Mount) Mkdir(name string, perm fs.FileMode) error {
	if err := m.begin("mkdir", name); err != nil {
		return err
	}
	defer m.mu.Unlock()
	folder, base, err := m.parent("mkdir", name)
	if name == "." || err == nil && folder.names[base] != nil {
		return &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrExist}
	}
	if err != nil {
		return err
	}
	n := &node{mode: fs.ModeDir | perm.Perm(), names: map[string]*node{}, saved: map[string]*node{}}
	m.rename("mkdir "+name, entry{folder, base, n})
	return nil
}

// SyncDir makes a folder's names durable.
func (m *Mount) SyncDir(name string) error {
	if err := m.begin("syncdir", name); err != nil {
		return err
	}
	defer m.mu.Unlock()
	n, err := m.find("syncdir", name)
	if err == nil && !n.folder() {
		err = &fs.PathError{Op: "syncdir", Path: name, Err: errNotDir}
	}
	if err != nil {
		return err
	}
	m.save(func(u *unit) bool { return m.model.Namespace == Journaled || u.names[0].folder == n })
	return nil
}

// save makes changes of names durable, and forgets what became of files that no
// name leads to any more.
func (m *Mount) save(which func(u *unit) bool) {
	m.pending = slices.DeleteFunc(m.pending, func(u unit) bool {
		if u.file != nil || !which(&u) {
			return false
		}
		u.apply()
		return true
	})
	reached := map[*node]bool{}
	var reach func(n *node)
	reach = func(n *node) {
		if n == nil || reached[n] {
			return
		}
		reached[n] = true
		for _, child := range n.names {
			reach(child)
		}
		for _, child := range n.saved {
			reach(child)
		}
	}
	reach(m.root)
	for _, u := range m.pending {
		for _, e := range u.names {
			reach(e.to)
		}
	}
	m.pending = slices.DeleteFunc(m.pending, func(u unit) bool { return u.file != nil && !reached[u.file] })
}

// Lock takes a lock.
func (m *Mount) Lock(name string) (io.Closer, error) {
	f, err := m.open(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locks[name] {
		return nil, &fs.PathError{Op: "lock", Path: name, Err: ErrLocked}
	}
	m.locks[name] = true
	return &simLock{m: m, name: f.name}, nil
}

type simLock struct {
	m    *Mount
	name string
	once sync.Once
}

func (l *simLock) Close() error {
	err := error(&fs.PathError{Op: "unlock", Path: l.name, Err: fs.ErrClosed})
	l.once.Do(func() {
		l.m.mu.Lock()
		defer l.m.mu.Unlock()
		delete(l.m.locks, l.name)
		err = nil
	})
	return err
}

func (n *node) info(base string) fs.FileInfo { return simInfo{base, n.now.size, n.mode} }

type simInfo struct {
	name string
	size int64
	mode fs.FileMode
}

func (i simInfo) Name() string       { return i.name }
func (i simInfo) Size() int64        { return i.size }
func (i simInfo) Mode() fs.FileMode  { return i.mode }
func (i simInfo) ModTime() time.Time { return time.Time{} }
func (i simInfo) IsDir() bool        { return i.mode.IsDir() }
func (i simInfo) Sys() any           { return nil }
