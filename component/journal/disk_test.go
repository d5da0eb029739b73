package journal_test

import (
	"bytes"
	"hash/fnv"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"batpak/faultfs"
)

const sector = 512

// disk is a real directory that knows what of it is durable. Operations happen on the real files,
// one at a time; only the syncs do not reach the real disk but are noted, which is what makes it
// fast and lets it be crashed: by a kill, after which everything written is still to be read, and
// by a loss of power, after which only what was synced is sure.
type disk struct {
	faultfs.FS
	dir string

	changed *sync.Cond
	mu      sync.Mutex // held during every operation that changes something
	before  func(op faultfs.Op, name string)
	now     map[string]*inode // by name; a folder has no bytes
	names   map[string]*inode // as a power failure would leave them
	fail    string            // the file whose next sync fails
}

type inode struct {
	folder  bool
	written []byte
	synced  []byte
	dirty   map[int]bool // sectors that a sync would write
}

func newDisk(tb testing.TB) *disk {
	tb.Helper()
	dir := tempDir(tb)
	root, err := os.OpenRoot(dir)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { root.Close() })
	d := &disk{FS: faultfs.Dir(root), dir: dir, now: map[string]*inode{}, names: map[string]*inode{}}
	d.changed = sync.NewCond(&d.mu)
	return d
}

// tempDir is a folder in memory where the system has such a thing: nothing here depends on the
// real disk's syncs.
func tempDir(tb testing.TB) string {
	tb.Helper()
	if info, err := os.Stat("/dev/shm"); err != nil || !info.IsDir() {
		return tb.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "journal")
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// atEach calls f before every operation that changes something, alone.
func (d *disk) atEach(f func(op faultfs.Op, name string)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before = f
}

func (d *disk) begin(op faultfs.Op, name string) func() {
	d.mu.Lock()
	if d.before != nil {
		d.before(op, name)
	}
	return func() {
		d.changed.Broadcast()
		d.mu.Unlock()
	}
}

func (d *disk) OpenFile(name string, flag int, perm fs.FileMode) (faultfs.File, error) {
	if flag&os.O_CREATE != 0 {
		defer d.begin(faultfs.OpCreate, name)()
	} else {
		d.mu.Lock()
		defer d.mu.Unlock()
	}
	f, err := d.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	n := d.now[name]
	if n == nil {
		n = &inode{dirty: map[int]bool{}}
		d.now[name] = n
	}
	if flag&os.O_TRUNC != 0 {
		n.written = nil
	}
	return &diskFile{File: f, disk: d, name: name, inode: n}, nil
}

func (d *disk) Rename(oldname, newname string) error {
	defer d.begin(faultfs.OpRename, newname)()
	if err := d.FS.Rename(oldname, newname); err != nil {
		return err
	}
	d.now[newname] = d.now[oldname]
	delete(d.now, oldname)
	return nil
}

func (d *disk) Remove(name string) error {
	defer d.begin(faultfs.OpRemove, name)()
	if err := d.FS.Remove(name); err != nil {
		return err
	}
	delete(d.now, name)
	return nil
}

func (d *disk) Mkdir(name string, perm fs.FileMode) error {
	defer d.begin(faultfs.OpMkdir, name)()
	if err := d.FS.Mkdir(name, perm); err != nil {
		return err
	}
	d.now[name] = &inode{folder: true}
	return nil
}

func (d *disk) SyncDir(name string) error {
	defer d.begin(faultfs.OpSyncDir, name)()
	maps.DeleteFunc(d.names, func(n string, _ *inode) bool { return path.Dir(n) == name })
	for n, i := range d.now {
		if path.Dir(n) == name {
			d.names[n] = i
		}
	}
	return nil
}

func (d *disk) Lock(name string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.now[name] == nil {
		d.now[name] = &inode{dirty: map[int]bool{}}
	}
	return d.FS.Lock(name)
}

type diskFile struct {
	faultfs.File
	disk  *disk
	name  string
	inode *inode
}

func (f *diskFile) WriteAt(p []byte, off int64) (int, error) {
	defer f.disk.begin(faultfs.OpWrite, f.name)()
	f.inode.resize(max(len(f.inode.written), int(off)+len(p)))
	copy(f.inode.written[off:], p)
	for s := int(off) / sector; s*sector < int(off)+len(p); s++ {
		f.inode.dirty[s] = true
	}
	return f.File.WriteAt(p, off)
}

func (f *diskFile) Truncate(size int64) error {
	defer f.disk.begin(faultfs.OpTruncate, f.name)()
	f.inode.resize(int(size))
	return f.File.Truncate(size)
}

func (f *diskFile) Allocate(off, n int64) error {
	defer f.disk.begin(faultfs.OpAllocate, f.name)()
	f.inode.resize(max(len(f.inode.written), int(off+n)))
	return f.File.Allocate(off, n)
}

func (f *diskFile) SyncData() error { return f.sync(faultfs.OpSyncData) }
func (f *diskFile) Sync() error     { return f.sync(faultfs.OpSync) }

// Writeback promises nothing, and so makes nothing durable here.
func (f *diskFile) Writeback() error { return nil }

func (f *diskFile) sync(op faultfs.Op) error {
	defer f.disk.begin(op, f.name)()
	n := f.inode
	failed := f.disk.fail == f.name
	if failed {
		f.disk.fail = ""
	} else {
		n.synced = append(n.synced[:min(len(n.synced), len(n.written))], make([]byte, max(0, len(n.written)-len(n.synced)))...)
		for s := range n.dirty {
			if off := s * sector; off < len(n.written) {
				copy(n.synced[off:], n.written[off:min(off+sector, len(n.written))])
			}
		}
	}
	clear(n.dirty)
	if failed {
		return &fs.PathError{Op: op.String(), Path: f.name, Err: syscall.EIO}
	}
	return nil
}

// waitFor waits until the disk is as it should be.
func (d *disk) waitFor(ok func() bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for !ok() {
		d.changed.Wait()
	}
}

// failSync makes the next sync of a file fail the way Linux does it: the pages that could not be
// written count as clean from then on, and a second sync says yes.
func (d *disk) failSync(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = name
}

func (n *inode) resize(size int) {
	if size <= len(n.written) {
		n.written = n.written[:size]
		return
	}
	n.written = append(n.written, make([]byte, size-len(n.written))...)
}

// image is what a crash left: the bytes of every file, and which folders there are.
type image struct {
	files   map[string][]byte
	folders []string
	now     map[string]*inode // for a kill: what a loss of power would still take
	names   map[string]*inode
}

// killed is what is there after the process ended, whatever it was doing. Called from atEach, or
// when nothing runs.
func (d *disk) killed() image {
	im := image{files: map[string][]byte{}, now: map[string]*inode{}, names: map[string]*inode{}}
	twins := map[*inode]*inode{}
	twin := func(n *inode) *inode {
		if twins[n] == nil {
			twins[n] = &inode{folder: n.folder, written: bytes.Clone(n.written), synced: bytes.Clone(n.synced), dirty: maps.Clone(n.dirty)}
		}
		return twins[n]
	}
	for name, n := range d.now {
		im.now[name] = twin(n)
		im.add(name, n, n.written)
	}
	for name, n := range d.names {
		im.names[name] = twin(n)
	}
	return im
}

// lost is what is there after the power failed: the names that were synced, and of the bytes that
// were not synced whatever keep says, sector by sector.
func (d *disk) lost(keep func() bool) image {
	im := image{files: map[string][]byte{}}
	for _, name := range slices.Sorted(maps.Keys(d.names)) {
		n := d.names[name]
		b := bytes.Clone(n.synced)
		for off := 0; off < len(b); off += sector {
			end := min(off+sector, len(b), len(n.written))
			if end > off && !bytes.Equal(b[off:end], n.written[off:end]) && keep() {
				copy(b[off:end], n.written[off:end])
			}
		}
		im.add(name, n, b)
	}
	return im
}

func nothing() bool { return false }

func coin(seed uint64) func() bool {
	r := rand.New(rand.NewPCG(seed, 1))
	return func() bool { return r.IntN(2) == 0 }
}

func (im *image) add(name string, n *inode, b []byte) {
	if n.folder {
		im.folders = append(im.folders, name)
	} else {
		im.files[name] = bytes.Clone(b)
	}
}

// digest tells images apart.
func (im *image) digest() uint64 {
	h := fnv.New64a()
	for _, name := range slices.Sorted(maps.Keys(im.files)) {
		io.WriteString(h, name)
		h.Write(im.files[name])
	}
	return h.Sum64()
}

// boot is a new disk with the image on it, once. What a kill left unsynced is unsynced there too.
func (im *image) boot(tb testing.TB) *disk {
	tb.Helper()
	d := newDisk(tb)
	slices.Sort(im.folders)
	for _, name := range im.folders {
		if err := os.Mkdir(filepath.Join(d.dir, name), 0o700); err != nil {
			tb.Fatal(err)
		}
		d.now[name] = &inode{folder: true}
	}
	for name, b := range im.files {
		if err := os.WriteFile(filepath.Join(d.dir, name), b, 0o600); err != nil {
			tb.Fatal(err)
		}
		d.now[name] = &inode{written: bytes.Clone(b), synced: bytes.Clone(b), dirty: map[int]bool{}}
	}
	if im.now == nil {
		maps.Copy(d.names, d.now)
	} else {
		d.now, d.names = im.now, im.names
	}
	return d
}

// isCache says whether a file is one that costs time only when it is lost.
func isCache(name string) bool {
	return name == "checkpoint" || name == "history" || strings.HasSuffix(name, ".idx")
}

// copyDir copies the files of a directory as they are now.
func copyDir(tb testing.TB, from string) string {
	tb.Helper()
	to := tempDir(tb)
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		tb.Fatal(err)
	}
	return to
}

// noSync is a disk whose syncs do nothing, for tests where nothing crashes.
type noSync struct{ faultfs.FS }

func (noSync) SyncDir(string) error { return nil }

func (n noSync) OpenFile(name string, flag int, perm fs.FileMode) (faultfs.File, error) {
	f, err := n.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return noSyncFile{f}, nil
}

type noSyncFile struct{ faultfs.File }

func (noSyncFile) Sync() error      { return nil }
func (noSyncFile) SyncData() error  { return nil }
func (noSyncFile) Writeback() error { return nil }
