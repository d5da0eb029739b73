package journal

import (
	"testing"

	"batpak/causal"
)

// groupOf is a group of n events from a sequence on, as far as a history looks at it.
func groupOf(first uint64, n int) *group {
	g := &group{}
	for i := range n {
		seq := first + uint64(i)
		g.events = append(g.events, stagedEvent{head: causal.Head{Seq: seq, Hash: causal.Hash{byte(seq), byte(seq >> 8), 1}}})
	}
	return g
}

// What is left is without gaps, and bounded; what the tree has already, or cannot have yet, does not go into it.
func TestHashesThatAreLeftGoIntoTheTreeOnce(t *testing.T) {
	var h history
	h.leave(groupOf(1, 3))
	if _, fresh := h.take(); fresh != nil {
		t.Error("something was left before anybody asked")
	}
	h.asked.Store(true)
	h.leave(groupOf(1, 3))
	h.leave(groupOf(4, 2))
	h.addFrom(h.take())
	h.addFrom(4, []causal.Hash{{4, 0, 1}, {5, 0, 1}, {6, 0, 1}}) // two were read from the log meanwhile
	h.addFrom(9, []causal.Hash{{9, 0, 1}})
	var want causal.History
	for _, e := range groupOf(1, 6).events {
		want.Add(&e.head.Hash)
	}
	if h.tree.Len() != 6 || h.tree.Root() != want.Root() || h.last != (causal.Hash{6, 0, 1}) {
		t.Errorf("a tree over %d events, the last %s", h.tree.Len(), h.last)
	}
	h.leave(groupOf(7, 2))
	h.leave(groupOf(20, 2)) // as if a group were missing
	if first, fresh := h.take(); first != 20 || len(fresh) != 2 {
		t.Errorf("%d hashes from %d on", len(fresh), first)
	}
	seq := uint64(22)
	for range 2*mostFresh/1000 + 1 {
		h.leave(groupOf(seq, 1000))
		seq += 1000
		if len(h.fresh) > mostFresh || h.first+uint64(len(h.fresh)) != seq {
			t.Fatalf("%d hashes from %d on, before %d", len(h.fresh), h.first, seq)
		}
	}
}
