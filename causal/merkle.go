package causal

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// rootDomain separates what is signed over a commit batch from every other use of the key.
const rootDomain = "batpak.root.v1\x00"

// Tree is the Merkle tree of RFC 6962 over event hashes in the order of their sequences: a leaf is
// SHA-256(0x00 ‖ event hash), a node SHA-256(0x01 ‖ left ‖ right). It grows by one event after the other, and
// has hashed most of itself by the time that its root is wanted. The zero value has no events.
type Tree struct {
	n      int
	levels [][]Hash // leaves first: the nodes over 1, 2, 4, 8... events, as far as they are complete
	tails  []Hash   // by level: the node over the events behind the complete ones, when there are any
	sealed int      // how many events tails is for
}

// NewTree makes the tree over event hashes. It keeps none of them.
func NewTree(events []Hash) *Tree {
	t := &Tree{}
	for i := range events {
		t.Add(&events[i])
	}
	return t
}

// Len returns how many events the tree is over.
func (t *Tree) Len() int { return t.n }

// Add puts an event behind the others.
func (t *Tree) Add(event *Hash) {
	node := merkleLeaf(event)
	for k := 0; ; k++ {
		if k == len(t.levels) {
			t.levels = append(t.levels, nil)
		}
		t.levels[k] = append(t.levels[k], node)
		level := t.levels[k]
		if len(level)%2 == 1 {
			break
		}
		node = merkleNode(&level[len(level)-2], &level[len(level)-1])
	}
	t.n++
}

// Truncate takes back all events but the first n. The tree keeps its memory.
func (t *Tree) Truncate(n int) {
	for k := range t.levels {
		t.levels[k] = t.levels[k][:n>>k]
	}
	t.n, t.sealed = n, 0
}

// tailed says whether there are events behind the complete nodes of a level.
func (t *Tree) tailed(level int) bool { return t.n&(1<<level-1) != 0 }

// height is how many levels are below the root.
func (t *Tree) height() int { return bits.Len(uint(t.n - 1)) }

// seal makes the nodes that are not complete.
func (t *Tree) seal() {
	if t.sealed == t.n {
		return
	}
	t.tails = append(t.tails[:0], Hash{})
	for k := range t.height() {
		tail := t.tails[k]
		if complete := t.n >> k; complete%2 == 1 {
			last := &t.levels[k][complete-1]
			if t.tailed(k) {
				tail = merkleNode(last, &tail)
			} else {
				tail = *last
			}
		}
		t.tails = append(t.tails, tail)
	}
	t.sealed = t.n
}

// Root returns the tree's root; the hash of nothing when the tree is of no events.
func (t *Tree) Root() Hash {
	if t.n == 0 {
		return sha256.Sum256(nil)
	}
	t.seal()
	top := t.height()
	if t.tailed(top) {
		return t.tails[top]
	}
	return t.levels[top][0]
}

// Path returns the audit path of event i, from 0: the siblings on the way from its leaf up to the root. It
// is the caller's.
func (t *Tree) Path(i int) []Hash { return t.AppendPath(make([]Hash, 0, t.height()), i) }

// AppendPath appends the audit path of event i.
func (t *Tree) AppendPath(path []Hash, i int) []Hash {
	t.seal()
	for k := range t.height() {
		switch sibling, complete := i^1, t.n>>k; {
		case sibling < complete:
			path = append(path, t.levels[k][sibling])
		case sibling == complete && t.tailed(k):
			path = append(path, t.tails[k])
		}
		i /= 2
	}
	return path
}

// RootOfPath returns the root that an event's audit path leads to, when the event is number index of
// size. It reports false for a path that is not as long as such an event's has to be. Whether the root is
// the right one is for the caller to say.
func RootOfPath(event Hash, index, size uint64, path []Hash) (Hash, bool) {
	if index >= size {
		return Hash{}, false
	}
	root := merkleLeaf(&event)
	for last := size - 1; last > 0; index, last = index/2, last/2 {
		if index == last && index%2 == 0 {
			continue // without a sibling
		}
		if len(path) == 0 {
			return Hash{}, false
		}
		if index%2 == 1 {
			root = merkleNode(&path[0], &root)
		} else {
			root = merkleNode(&root, &path[0])
		}
		path = path[1:]
	}
	return root, len(path) == 0
}

// AppendRootMessage appends what a node signs over the commit batch of the sequences first to last.
func AppendRootMessage(dst []byte, lineage Lineage, first, last uint64, root Hash) []byte {
	dst = append(dst, rootDomain...)
	dst = append(dst, lineage[:]...)
	dst = binary.BigEndian.AppendUint64(dst, first)
	dst = binary.BigEndian.AppendUint64(dst, last)
	return append(dst, root[:]...)
}

func merkleLeaf(event *Hash) Hash {
	var b [1 + len(Hash{})]byte
	copy(b[1:], event[:])
	return sha256.Sum256(b[:])
}

func merkleNode(left, right *Hash) Hash {
	var b [1 + 2*len(Hash{})]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+len(left):], right[:])
	return sha256.Sum256(b[:])
}
