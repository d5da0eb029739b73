package causal

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// rootDomain separates what is signed over a commit batch from every other use of the key.
const rootDomain = "batpak.root.v1\x00"

// Tree is the Merkle tree of RFC 6962 over event hashes in the order of their sequences: a leaf is
// SHA-256(0x00 ‖ event hash), a node SHA-256(0x01 ‖ left ‖ right).
type Tree struct {
	levels [][]Hash // leaves first, the root last; a node without a sibling moves up as it is
}

// NewTree makes the tree over event hashes. It keeps none of them.
func NewTree(events []Hash) *Tree {
	all := make([]Hash, 0, 2*len(events)+bits.Len(uint(len(events))))
	for i := range events {
		all = append(all, merkleLeaf(&events[i]))
	}
	t := &Tree{levels: make([][]Hash, 0, bits.Len(uint(len(events)))+1)}
	for level := all; ; {
		t.levels = append(t.levels, level)
		if len(level) <= 1 {
			return t
		}
		start := len(all)
		for i := 0; i+1 < len(level); i += 2 {
			all = append(all, merkleNode(&level[i], &level[i+1]))
		}
		if len(level)%2 == 1 {
			all = append(all, level[len(level)-1])
		}
		level = all[start:]
	}
}

// Root returns the tree's root; the hash of nothing when the tree is of no events.
func (t *Tree) Root() Hash {
	if len(t.levels[0]) == 0 {
		return sha256.Sum256(nil)
	}
	return t.levels[len(t.levels)-1][0]
}

// Len returns how many events the tree is over.
func (t *Tree) Len() int { return len(t.levels[0]) }

// Path returns the audit path of event i, from 0: the siblings on the way from its leaf up to the root. It
// is the caller's.
func (t *Tree) Path(i int) []Hash {
	path := make([]Hash, 0, len(t.levels)-1)
	for _, level := range t.levels[:len(t.levels)-1] {
		if sibling := i ^ 1; sibling < len(level) {
			path = append(path, level[sibling])
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
