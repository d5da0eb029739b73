package faultfs

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Image is the disk as a program on it would see it, one line for each name, in
// order, with a digest of each file. When not all of it is durable there follows what
// is, and then the units that are not synced, oldest first. Two disks of one model
// with the same image behave the same.
func (d *Disk) Image() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := labels{}
	var now, durable, pending strings.Builder
	d.walk(func(name string, n *node) { l.line(&now, name, n, &n.now) })
	d.walkSaved(func(name string, n *node) { l.line(&durable, name, n, &n.disk) })
	for _, u := range d.pending {
		fmt.Fprintf(&pending, "unsynced: %s\n", l.unit(u))
	}
	if now.String() == durable.String() && len(d.pending) == 0 {
		return now.String()
	}
	return now.String() + "durable:\n" + durable.String() + pending.String()
}

// labels is what nodes are called in an image: by the first name that led to them, or
// by their number.
type labels map[*node]string

func (l labels) line(b *strings.Builder, name string, n *node, c *content) {
	if l[n] == "" {
		l[n] = name
	}
	if l[n] != name {
		fmt.Fprintf(b, "%s = %s", name, l[n])
	} else {
		b.WriteString(name)
	}
	if n.folder() {
		b.WriteString("/\n")
		return
	}
	data := make([]byte, c.size)
	c.readAt(data, 0)
	fmt.Fprintf(b, " %d %x\n", len(data), sha256.Sum256(data))
}

func (l labels) of(n *node) string {
	if l[n] == "" {
		l[n] = fmt.Sprintf("#%d", len(l)+1)
	}
	return l[n]
}

func (l labels) unit(u unit) string {
	switch {
	case u.file == nil:
		s := u.note
		for _, e := range u.names {
			if e.to != nil {
				s += ", " + l.of(e.to)
			}
		}
		return s
	case u.sizes && u.grows:
		return fmt.Sprintf("%s size %d or more", l.of(u.file), u.size)
	case u.sizes:
		return fmt.Sprintf("%s size %d", l.of(u.file), u.size)
	case u.block == nil:
		return fmt.Sprintf("%s sector %d zeros, size %d or more", l.of(u.file), u.place, u.size)
	}
	return fmt.Sprintf("%s sector %d %016x%016x, size %d or more", l.of(u.file), u.place, u.block.sum[0], u.block.sum[1], u.size)
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

// walkSaved visits the names that are durable, sorted, and what is in a folder once:
// folders that are being moved about can be durable inside of each other.
func (s *state) walkSaved(visit func(name string, n *node)) {
	been := map[*node]bool{}
	var in func(prefix string, n *node)
	in = func(prefix string, n *node) {
		been[n] = true
		for _, name := range slices.Sorted(maps.Keys(n.saved)) {
			child := n.saved[name]
			visit(path.Join(prefix, name), child)
			if child.folder() && !been[child] {
				in(path.Join(prefix, name), child)
			}
		}
	}
	in("", s.root)
}
