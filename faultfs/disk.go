package faultfs

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
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

// Image is the disk as a program on it would see it, one line for each name, in
// order, with a digest of each file; then the units that are not synced.
// Two disks with the same image behave the same.
func (d *Disk) Image() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var b strings.Builder
	d.walk(func(name string, n *node) {
		if n.folder() {
			fmt.Fprintf(&b, "%s/\n", name)
			return
		}
		data := make([]byte, n.now.size)
		n.now.readAt(data, 0)
		fmt.Fprintf(&b, "%s %d %x\n", name, len(data), sha256.Sum256(data))
	})
	for _, u := range d.pending {
		fmt.Fprintf(&b, "unsynced: %s\n", u)
	}
	return b.String()
}

// Digest is a short form of the [Disk.Image] without the units that are not
// synced: what a program finds. It costs little.
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

func (u unit) String() string {
	switch {
	case u.file == nil:
		return u.note
	case u.sizes:
		return fmt.Sprintf("size %d", u.size)
	case u.block == nil:
		return fmt.Sprintf("sector %d zeros", u.place)
	}
	return fmt.Sprintf("sector %d %x", u.place, u.block.sum)
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
		u.file.disk.setBlock(u.place, u.block)
		u.file.disk.size = max(u.file.disk.size, u.size)
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
	s.root.settle()
}

// kept decides which of n units survive.
func (s *state) kept(c *Choices, n, tear int) func(i int) bool {
	switch {
	case n == 0:
		return nil
	case !s.model.Reorder: // a prefix
		lost := c.Intn(n + 1)
		return func(i int) bool { return i < n-lost || i == tear }
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

func (n *node) settle() {
	if !n.folder() {
		n.now = n.disk.clone()
		return
	}
	n.names = maps.Clone(n.saved)
	for _, child := range n.names {
		child.settle()
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

// walk visits what there is to be read, sorted by name.
func (s *state) walk(visit func(name string, n *node)) {
	var in func(prefix string, n *node)
	in = func(prefix string, n *node) {
		for _, name := range slices.Sorted(maps.Keys(n.names)) {
			child := n.names[name]
			visit(path.Join(prefix, name), child)
			if child.folder() {
				in(path.Join(prefix, name), child)
			}
		}
	}
	in("", s.root)
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
// the files that were opened there.
var ErrCrashed = errors.New("the disk has crashed")
