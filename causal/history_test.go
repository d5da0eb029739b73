package causal_test

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"batpak/causal"
)

func historyOf(hashes []causal.Hash) *causal.History {
	var h causal.History
	for i := range hashes {
		h.Add(&hashes[i])
	}
	return &h
}

func TestAHistoryHasTheRootOfTheWholeTree(t *testing.T) {
	hashes := numbered(5000)
	var tree causal.Tree
	var grown causal.History
	for n := 0; ; n++ {
		if n < 80 || n%97 == 0 || n&(n-1) == 0 || n >= 4990 || 1015 < n && n < 1035 || 2040 < n && n < 2060 {
			if grown.Root() != tree.Root() || grown.Len() != uint64(n) {
				t.Fatalf("%d events: another root", n)
			}
			nodes := grown.Nodes()
			if len(nodes) > causal.MaxMarks+64 {
				t.Fatalf("%d events: %d nodes", n, len(nodes))
			}
			again, ok := causal.NewHistory(uint64(n), nodes)
			if !ok || again.Root() != tree.Root() {
				t.Fatalf("%d events: another root when it was kept", n)
			}
			if _, ok := causal.NewHistory(uint64(n), append(nodes, causal.Hash{})); ok {
				t.Errorf("%d events: one node too many", n)
			}
			grown = again // and goes on
		}
		if n == len(hashes) {
			return
		}
		tree.Add(&hashes[n])
		grown.Add(&hashes[n])
	}
}

func TestACloneGoesItsOwnWay(t *testing.T) {
	for _, n := range []int{1, 3, 1023, 1500, 3000} {
		hashes := numbered(n + 1)
		h := historyOf(hashes[:n])
		clone, root := h.Clone(), h.Root()
		clone.Add(&hashes[n])
		other := h.Clone()
		other.Add(&hashes[0])
		if h.Root() != root || clone.Root() != causal.NewTree(hashes).Root() {
			t.Errorf("%d events: they share memory", n)
		}
	}
}

func TestAMatcherFindsWhatDiffers(t *testing.T) {
	for _, n := range []int{1, 2, 60, 1023, 1024, 1025, 5000, 5003} {
		hashes := numbered(n)
		h := historyOf(hashes)
		find := func(other ...int) (first, last uint64) {
			m := h.Matcher()
			for i, hash := range append(slices.Clone(hashes), causal.Hash{9}) { // what comes behind does not count
				if slices.Contains(other, i+1) {
					hash[0] ^= 1
				}
				if first, last, differs := m.Next(&hash); differs {
					return first, last
				}
			}
			return 0, 0
		}
		if first, last := find(); first != 0 {
			t.Errorf("%d events, none of them others: %d to %d", n, first, last)
		}
		for _, other := range []int{1, 2, n / 3, n - 2, n - 1, n} {
			if other < 1 || other > n {
				continue
			}
			first, last := find(other, n)
			if first == 0 || uint64(other) < first || uint64(other) > last || last-first >= uint64(n/(causal.MaxMarks/2)+1) || n < causal.MaxMarks && first != last {
				t.Errorf("%d events, %d is another: found %d to %d", n, other, first, last)
			}
		}
	}
}

func TestHeadMessageIsAsDocumented(t *testing.T) {
	lineage, root := causal.Lineage{1, 2, 3}, causal.Hash{4, 5, 6}
	want := slices.Concat([]byte("batpak.head.v1\x00"), lineage[:], []byte{0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 3, 4}, root[:])
	if got := causal.AppendHeadMessage([]byte("x"), lineage, 0x102, 0x304, root); !bytes.Equal(got[1:], want) {
		t.Errorf("%x, want %x", got[1:], want)
	}
}

// Whatever the numbers say, a History is of as many nodes as its events have, or is none.
func FuzzNewHistory(f *testing.F) {
	f.Add([]byte{}, uint64(0))
	f.Add(bytes.Repeat([]byte{7}, 32*3), uint64(3))
	f.Add(bytes.Repeat([]byte{7}, 32*512), uint64(1)<<63)
	f.Add(bytes.Repeat([]byte{7}, 32*(1023+54)), uint64(math.MaxUint64))
	f.Fuzz(func(t *testing.T, b []byte, n uint64) {
		var nodes []causal.Hash
		for ; len(b) >= 32; b = b[32:] {
			nodes = append(nodes, causal.Hash(b[:32]))
		}
		h, ok := causal.NewHistory(n, nodes)
		if !ok {
			return
		}
		if h.Len() != n || !slices.Equal(h.Nodes(), nodes) || len(nodes) > causal.MaxMarks+64 {
			t.Fatalf("%d events with %d nodes", n, len(nodes))
		}
		h.Root()
		if n < math.MaxUint64 {
			h.Add(&causal.Hash{1})
			if _, ok := causal.NewHistory(h.Len(), h.Nodes()); !ok {
				t.Fatalf("%d events and one more do not have the right nodes", n)
			}
		}
	})
}

func BenchmarkHistoryAdd(b *testing.B) {
	var h causal.History
	e := causal.Hash{1}
	for b.Loop() {
		h.Add(&e)
	}
}
