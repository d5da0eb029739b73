package causal_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"

	"batpak/causal"
)

func leaf(h causal.Hash) causal.Hash { return sha256.Sum256(append([]byte{0}, h[:]...)) }

func node(l, r causal.Hash) causal.Hash {
	return sha256.Sum256(slices.Concat([]byte{1}, l[:], r[:]))
}

// numbered are n event hashes that all differ.
func numbered(n int) []causal.Hash {
	hashes := make([]causal.Hash, n)
	for i := range hashes {
		hashes[i] = sha256.Sum256(binary.BigEndian.AppendUint32(nil, uint32(i)))
	}
	return hashes
}

// rootByDefinition is the text of RFC 6962, section 2.1: split at the largest power of two below n.
func rootByDefinition(hashes []causal.Hash) causal.Hash {
	switch n := len(hashes); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaf(hashes[0])
	default:
		k := 1
		for 2*k < n {
			k *= 2
		}
		return node(rootByDefinition(hashes[:k]), rootByDefinition(hashes[k:]))
	}
}

// pathByDefinition is that of section 2.1.1.
func pathByDefinition(i int, hashes []causal.Hash) []causal.Hash {
	n := len(hashes)
	if n == 1 {
		return nil
	}
	k := 1
	for 2*k < n {
		k *= 2
	}
	if i < k {
		return append(pathByDefinition(i, hashes[:k]), rootByDefinition(hashes[k:]))
	}
	return append(pathByDefinition(i-k, hashes[k:]), rootByDefinition(hashes[:k]))
}

// The tree of seven that RFC 6962 draws in section 2.1.3, with the audit paths that it lists there.
func TestTreeOfSevenIsTheOneOfRFC6962(t *testing.T) {
	d := numbered(7)
	a, b, c, dd := leaf(d[0]), leaf(d[1]), leaf(d[2]), leaf(d[3])
	e, f, j := leaf(d[4]), leaf(d[5]), leaf(d[6])
	g, h, i := node(a, b), node(c, dd), node(e, f)
	k, l := node(g, h), node(i, j)
	tree := causal.NewTree(d)
	if tree.Root() != node(k, l) || tree.Len() != 7 {
		t.Error("another root")
	}
	for at, want := range map[int][]causal.Hash{0: {b, h, l}, 3: {c, g, l}, 4: {f, j, k}, 6: {i, k}} {
		if got := tree.Path(at); !slices.Equal(got, want) {
			t.Errorf("event %d: path of %d, want the %d of the RFC", at, len(got), len(want))
		}
	}
}

func TestEveryPathLeadsToTheRoot(t *testing.T) {
	for n := 0; n <= 300; n++ {
		hashes := numbered(n)
		tree := causal.NewTree(hashes)
		root := tree.Root()
		if root != rootByDefinition(hashes) {
			t.Fatalf("root of %d is not the one of the definition", n)
		}
		for i, h := range hashes {
			path := tree.Path(i)
			if n <= 40 && !slices.Equal(path, pathByDefinition(i, hashes)) {
				t.Fatalf("path %d of %d is not the one of the definition", i, n)
			}
			if got, ok := causal.RootOfPath(h, uint64(i), uint64(n), path); !ok || got != root {
				t.Fatalf("path %d of %d does not lead to the root", i, n)
			}
		}
	}
}

// What was added and taken back leaves nothing behind.
func TestATreeThatWasCutIsTheOneThatNeverGrew(t *testing.T) {
	hashes := numbered(70)
	var tree causal.Tree
	for n := range hashes {
		for m := 0; m <= n; m++ {
			tree.Truncate(0)
			for i := range n {
				tree.Add(&hashes[69-i])
			}
			tree.Root()
			tree.Truncate(0)
			for i := range n {
				tree.Add(&hashes[i])
			}
			tree.Truncate(m)
			for i := m; i < n; i++ {
				tree.Add(&hashes[i])
			}
			if tree.Len() != n || tree.Root() != rootByDefinition(hashes[:n]) {
				t.Fatalf("%d events, cut to %d and grown again: another root", n, m)
			}
			if n > 0 && !slices.Equal(tree.Path(n/2), pathByDefinition(n/2, hashes[:n])) {
				t.Fatalf("%d events, cut to %d and grown again: another path", n, m)
			}
		}
	}
}

func TestAPathProvesItsEventAlone(t *testing.T) {
	for n := 1; n <= 70; n++ {
		hashes := numbered(n)
		tree := causal.NewTree(hashes)
		root := tree.Root()
		for i, h := range hashes {
			path := tree.Path(i)
			proves := func(what string, h causal.Hash, index, size uint64, path []causal.Hash) {
				t.Helper()
				if got, ok := causal.RootOfPath(h, index, size, path); ok && got == root {
					t.Errorf("event %d of %d: proved with %s", i, n, what)
				}
			}
			at, size := uint64(i), uint64(n)
			other := h
			other[i%32] ^= 1
			proves("another event", other, at, size, path)
			proves("another index", h, at^1, size, path)
			proves("an index behind the end", h, at+size, size, path)
			proves("no events", h, at, 0, path)
			proves("a longer path", h, at, size, append(slices.Clone(path), h))
			for k := range path {
				bent := slices.Clone(path)
				bent[k][0] ^= 0x80
				proves("a bent path", h, at, size, bent)
				proves("a shorter path", h, at, size, path[:k])
			}
		}
	}
}

func TestRootMessageIsAsDocumented(t *testing.T) {
	lineage := causal.Lineage{1, 2, 3}
	root := causal.Hash{4, 5, 6}
	want := []byte("batpak.root.v1\x00")
	want = append(want, lineage[:]...)
	want = append(want, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 3, 4)
	want = append(want, root[:]...)
	if got := causal.AppendRootMessage([]byte("x"), lineage, 0x102, 0x304, root); !bytes.Equal(got[1:], want) {
		t.Errorf("%x, want %x", got[1:], want)
	}
}

// Whatever the numbers and the path, the walk ends, and a path that proves has the length that its place asks for.
func FuzzRootOfPath(f *testing.F) {
	f.Add([]byte{1}, uint64(0), uint64(1))
	f.Add(bytes.Repeat([]byte{7}, 32*9), uint64(5), uint64(300))
	f.Add(bytes.Repeat([]byte{7}, 32*65), uint64(1<<63), uint64(1<<64-1))
	f.Fuzz(func(t *testing.T, b []byte, index, size uint64) {
		var path []causal.Hash
		for ; len(b) >= 32; b = b[32:] {
			path = append(path, causal.Hash(b[:32]))
		}
		root, ok := causal.RootOfPath(causal.Hash{1}, index, size, path)
		if !ok {
			return
		}
		if index >= size || len(path) > 64 {
			t.Fatalf("event %d of %d with a path of %d", index, size, len(path))
		}
		if len(path) > 0 {
			path[len(path)-1][31] ^= 1
			if other, _ := causal.RootOfPath(causal.Hash{1}, index, size, path); other == root {
				t.Fatal("two paths lead to one root")
			}
		}
	})
}
