package faultfs

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Disk is a simulated disk at rest: the bytes and names that are durable, and
// what the system still had in its cache when the last program on it ended. It
// lives in memory.
//
// [Disk.Mount] boots from a copy, so a disk is not changed by what is done to it
// there, and can be booted from again. A Disk is safe for concurrent use.
//
// Flip and Truncate are for a disk that rots: what they leave of the file is
// durable.
type Disk struct {
	mu sync.Mutex // guards all: copying marks what is shared
	state
}

// NewDisk is an empty disk that behaves as m says.
func NewDisk(m Model) *Disk {
	root := &node{names: map[string]*node{}, saved: map[string]*node{}, mode: fs.ModeDir | 0o700}
	return &Disk{state: state{model: m.withDefaults(), root: root}}
}

// Mount boots from a copy of the disk.
func (d *Disk) Mount() *Mount {
	return &Mount{state: d.copy(), locks: map[string]bool{}}
}

func (d *Disk) copy() state {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.clone()
}

// Crash is the disk after the power failed: of what was not synced, c decides
// what is left.
func (d *Disk) Crash(c *Choices) *Disk {
	after := &Disk{state: d.copy()}
	after.settle(c)
	return after
}

// Unsynced is how many units a loss of power may keep or lose; see [Model].
func (d *Disk) Unsynced() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.pending)
}

// Flip changes the bits of mask in one byte of a file, as rot does. It is on the
// disk and not in the cache alone.
func (d *Disk) Flip(name string, off int64, mask byte) error {
	return d.corrupt("flip", name, func(c *content) bool {
		var b [1]byte
		if off < 0 || c.readAt(b[:], off) == 0 {
			return false
		}
		b[0] ^= mask
		c.write(b[:], off, func(i int, b *block, _ int64) { c.setBlock(i, b) })
		return true
	})
}

// Truncate cuts a file to size bytes, as a file system that lost its end does.
func (d *Disk) Truncate(name string, size int64) error {
	return d.corrupt("truncate", name, func(c *content) bool {
		if size < 0 || size > c.size {
			return false
		}
		c.setSize(size)
		return true
	})
}

func (d *Disk) corrupt(op, name string, do func(c *content) bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.find(op, name)
	if err != nil {
		return err
	}
	if n.folder() || !do(&n.now) {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	n.disk = n.now.clone()
	d.pending = slices.DeleteFunc(d.pending, func(u unit) bool { return u.file == n })
	return nil
}

// Digest is a short form of the first part of the [Disk.Image], what a program
// finds: names, and the sizes and bytes of files. It costs little.
func (d *Disk) Digest() [2]uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	var sum digest
	d.walk(func(name string, n *node) {
		at := digestOf([]byte(name))
		if !n.folder() {
			at = at.add(n.now.digest())
		}
		sum = sum.add(at.at(2))
	})
	return sum
}

// state is what a disk and a mount are made of.
type state struct {
	model   Model
	root    *node
	pending []unit // what is not durable, oldest first
}

// node is a file or a folder. What is read comes from now and names; disk and
// saved are what a loss of power leaves when it keeps nothing that is pending.
type node struct {
	mode      fs.FileMode
	now, disk content
	names     map[string]*node // of a folder
	saved     map[string]*node
}

func (n *node) folder() bool { return n.names != nil }

// unit is something that a loss of power keeps or loses: a block of a file, its
// size, or names.
type unit struct {
	file  *node
	sizes bool   // it sets the file's size, and no block
	grows bool   // the size is a least one
	place int    // of the block
	block *block // the sector's new bytes
	size  int64  // with a block: that the file has at least

	names []entry
	note  string // names only: what is to be read in an Image
}

// entry is a name in a folder that leads to a node, or to none.
type entry struct {
	folder *node
	name   string
	to     *node
}

// apply makes the unit durable.
func (u unit) apply() {
	for _, e := range u.names {
		if e.to == nil {
			delete(e.folder.saved, e.name)
		} else {
			e.folder.saved[e.name] = e.to
		}
	}
	switch {
	case u.file == nil:
	case u.sizes && u.grows:
		u.file.disk.setSize(max(u.file.disk.size, u.size))
	case u.sizes:
		u.file.disk.setSize(u.size)
	default:
		c := &u.file.disk
		c.setBlock(u.place, u.block)
		c.size = max(c.size, u.size)
		// The sector was written with what the cache had then, which can be more than
		// the size that survives.
		c.cutBlock(u.place, int(min(c.size-int64(u.place)*int64(c.sector), int64(c.sector))))
	}
}

// settle lets a loss of power happen: it keeps what c says of the pending units,
// and makes what is read the same as what is durable.
func (s *state) settle(c *Choices) {
	units := s.pending
	s.pending = nil
	tear := -1
	if s.model.TearSector {
		var whole []int // those that can be torn
		for i, u := range units {
			if u.file != nil && !u.sizes {
				whole = append(whole, i)
			}
		}
		if t := c.Intn(1 + tears*len(whole)); t > 0 {
			tear = whole[(t-1)/tears]
			u := &units[tear]
			u.block = torn(u.file.disk.block(u.place), u.block, s.model.Sector, 1+(t-1)%tears)
		}
	}
	keep := s.kept(c, len(units), tear)
	cut := false // a change of names was lost, and with it those behind it in the file system's journal
	for i, u := range units {
		switch named := u.file == nil; {
		case named && cut:
		case keep(i):
			u.apply()
		case named:
			cut = s.model.Namespace == Journaled
		}
	}
	s.root.settle(nil)
}

// kept decides which of n units survive.
func (s *state) kept(c *Choices, n, tear int) func(i int) bool {
	switch {
	case n == 0:
		return nil
	case !s.model.Reorder && tear >= 0: // the torn sector was on its way
		return func(i int) bool { return i <= tear }
	case !s.model.Reorder: // a prefix
		lost := c.Intn(n + 1)
		return func(i int) bool { return i < n-lost }
	case tear >= 0: // the rest of a torn write: all or nothing
		none := c.Intn(2) == 1
		return func(i int) bool { return !none || i == tear }
	case n <= s.model.Subsets:
		lost := make([]bool, n)
		for i := range lost {
			lost[i] = c.Intn(2) == 1
		}
		return func(i int) bool { return !lost[i] }
	}
	switch how := c.Intn(2 + 2*n); {
	case how == 0:
		return func(int) bool { return true }
	case how == 1:
		return func(int) bool { return false }
	case how < 2+n:
		return func(i int) bool { return i != how-2 }
	default:
		return func(i int) bool { return i == how-2-n }
	}
}

// settle makes what is read what is durable. A folder that was moved about can be left
// inside of itself, and then that name is lost.
func (n *node) settle(above []*node) {
	if !n.folder() {
		n.now = n.disk.clone()
		return
	}
	above = append(above, n)
	maps.DeleteFunc(n.saved, func(_ string, child *node) bool { return slices.Contains(above, child) })
	n.names = maps.Clone(n.saved)
	var folders []string // in order, since it can matter which one is visited first
	for name, child := range n.names {
		if child.folder() {
			folders = append(folders, name)
		} else {
			child.settle(nil)
		}
	}
	slices.Sort(folders)
	for _, name := range folders {
		n.names[name].settle(above)
	}
}

// clone copies everything but the blocks.
func (s *state) clone() state {
	twins := make(map[*node]*node)
	var twin func(n *node) *node
	twin = func(n *node) *node {
		if n == nil {
			return nil
		}
		t := twins[n]
		if t != nil {
			return t
		}
		t = &node{mode: n.mode}
		twins[n] = t
		if !n.folder() {
			t.now, t.disk = n.now.clone(), n.disk.clone()
			return t
		}
		t.names, t.saved = make(map[string]*node, len(n.names)), make(map[string]*node, len(n.saved))
		for name, child := range n.names {
			t.names[name] = twin(child)
		}
		for name, child := range n.saved {
			t.saved[name] = twin(child)
		}
		return t
	}
	c := state{model: s.model, root: twin(s.root), pending: slices.Clone(s.pending)}
	for i := range c.pending {
		u := &c.pending[i]
		u.file = twin(u.file)
		u.names = slices.Clone(u.names)
		for k := range u.names {
			u.names[k].folder, u.names[k].to = twin(u.names[k].folder), twin(u.names[k].to)
		}
	}
	return c
}

// find is the node that a name leads to.
func (s *state) find(op, name string) (*node, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	n := s.root
	if name == "." {
		return n, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		if !n.folder() {
			return nil, &fs.PathError{Op: op, Path: name, Err: errNotDir}
		}
		if n = n.names[part]; n == nil {
			return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
	}
	return n, nil
}

// ErrCrashed is the error of every operation on a mount that has crashed, and on
// the files that were opened there. Closing files and locks is always well.
var ErrCrashed = errors.New("the disk has crashed")
