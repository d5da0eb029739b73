package causal

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// headDomain separates what is signed over a journal's head from every other use of the key.
const headDomain = "batpak.head.v1\x00"

// MaxMarks bounds the marks of a History: there are always fewer.
const MaxMarks = 1024

// History is the tree of a Tree over a journal's events from the first on, without most of itself: what it takes to
// go on with more events and to have the root, which commits to every event and its place; and enough to find what
// differs in another history. That is at most MaxMarks+64 hashes. The zero value has no events.
//
// It has the complete nodes of one level, the marks, and the peaks: the largest complete trees over the events behind
// the last mark, the largest first. The level is the lowest that has fewer than MaxMarks complete nodes. So the same
// events have the same History.
type History struct {
	n     uint64
	marks []Hash
	peaks []Hash
}

// NewHistory returns the History of n events with these nodes, the marks and then the peaks. It reports false when so
// many events do not have so many nodes.
func NewHistory(n uint64, nodes []Hash) (History, bool) {
	marks := n >> historyLevel(n)
	behind := n & (1<<historyLevel(n) - 1)
	if uint64(len(nodes)) != marks+uint64(bits.OnesCount64(behind)) {
		return History{}, false
	}
	return History{n: n, marks: slices.Clone(nodes[:marks]), peaks: slices.Clone(nodes[marks:])}, true
}

// historyLevel is the level of the marks of n events: a mark is over two to its power.
func historyLevel(n uint64) int {
	return max(0, bits.Len64(n)-bits.Len(MaxMarks-1))
}

// Len returns how many events there are.
func (h *History) Len() uint64 { return h.n }

// Nodes returns the marks and the peaks, for NewHistory. They are the caller's.
func (h *History) Nodes() []Hash { return slices.Concat(h.marks, h.peaks) }

// Clone returns a copy that goes its own way.
func (h *History) Clone() History {
	return History{n: h.n, marks: slices.Clone(h.marks), peaks: slices.Clone(h.peaks)}
}

// Add puts an event behind the others.
func (h *History) Add(event *Hash) {
	node, level := merkleLeaf(event), historyLevel(h.n)
	for k := range level {
		if h.n&(1<<k) == 0 {
			h.peaks, h.n = append(h.peaks, node), h.n+1
			return
		}
		last := len(h.peaks) - 1
		node = merkleNode(&h.peaks[last], &node)
		h.peaks = h.peaks[:last]
	}
	h.marks, h.n = append(h.marks, node), h.n+1
	if len(h.marks) == MaxMarks {
		h.marks = pairs(h.marks)
	}
}

// pairs makes the nodes above a level in its place: an odd one at the end stays as it is.
func pairs(level []Hash) []Hash {
	up := level[:0]
	for len(level) > 1 {
		up = append(up, merkleNode(&level[0], &level[1]))
		level = level[2:]
	}
	return append(up, level...)
}

// Root returns the root of the tree over all events: that of a Tree over them.
func (h *History) Root() Hash {
	level := slices.Clone(h.marks)
	if i := len(h.peaks) - 1; i >= 0 {
		tail := h.peaks[i]
		for i--; i >= 0; i-- {
			tail = merkleNode(&h.peaks[i], &tail)
		}
		level = append(level, tail)
	}
	if len(level) == 0 {
		return (&Tree{}).Root()
	}
	for len(level) > 1 {
		level = pairs(level)
	}
	return level[0]
}

// Matcher returns what holds a history's events, from the first on, against this one.
func (h *History) Matcher() *Matcher { return &Matcher{want: h} }

// Matcher holds events against a History, part by part: a part is what one mark or peak is over, a
// single event when there are fewer than MaxMarks.
type Matcher struct {
	want *History
	seen uint64 // how many events were given
	part History
	at   int // the part's place among the nodes
}

// Next takes the next event. When it is the last of a part that is not as in the History, it returns the sequences of
// the part's first and last event, from 1, and true. Events behind the History's are not looked at.
func (m *Matcher) Next(event *Hash) (first, last uint64, differs bool) {
	if m.seen == m.want.n {
		return 0, 0, false
	}
	m.part.Add(event)
	m.seen++
	size, node := m.want.node(m.at)
	if m.part.n < size {
		return 0, 0, false
	}
	root := m.part.Root()
	m.part, m.at = History{}, m.at+1
	return m.seen - size + 1, m.seen, root != *node
}

// node returns a mark or a peak, and how many events it is over.
func (h *History) node(i int) (size uint64, node *Hash) {
	level := historyLevel(h.n)
	if i < len(h.marks) {
		return 1 << level, &h.marks[i]
	}
	i -= len(h.marks)
	behind := h.n & (1<<level - 1)
	for range i {
		behind &^= 1 << (bits.Len64(behind) - 1)
	}
	return 1 << (bits.Len64(behind) - 1), &h.peaks[i]
}

// AppendHeadMessage appends what a node signs over its journal's head: the root over the events up to seq, at a time in
// milliseconds since 1970.
func AppendHeadMessage(dst []byte, lineage Lineage, seq, time uint64, root Hash) []byte {
	dst = append(dst, headDomain...)
	dst = append(dst, lineage[:]...)
	dst = binary.BigEndian.AppendUint64(dst, seq)
	dst = binary.BigEndian.AppendUint64(dst, time)
	return append(dst, root[:]...)
}
