package journal

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"testing"

	"batpak/causal"
)

// manyHeads is a state of n streams and n keys, which were met in the order that step gives.
func manyHeads(n, step uint64) *state {
	st := &state{seq: n}
	g := &generation{keys: map[keyHash]uint64{}, newest: 7}
	for i := range n {
		at := i * step % n
		s := causal.Stream{Coordinate: causal.Coordinate{Scope: "s", Entity: fmt.Sprintf("e%03d", n-1-at)}, Lane: uint32(at % 3)}
		st.heads.set(s, causal.Head{Seq: at + 1, Version: 1, Hash: causal.Hash{byte(at)}})
		g.keys[keyHash{byte(at * 37), byte(at)}] = at / 2 // two of one sequence
	}
	st.keys.gens = []*generation{g}
	st.sealed = []sealedUnder{{causal.KeyID{1}, n}, {causal.KeyID{2}, 1}}
	return st
}

func TestOneStateHasOneCheckpoint(t *testing.T) {
	t.Parallel()
	const n = 200
	lineage := causal.Lineage{1}
	want := encodeCheckpoint(lineage, manyHeads(n, 1))
	for _, step := range []uint64{1, 3, 77, 199} {
		if !bytes.Equal(encodeCheckpoint(lineage, manyHeads(n, step)), want) {
			t.Errorf("other bytes for the same state, met in steps of %d", step)
		}
	}
	var st state
	if err := decodeCheckpoint(want, lineage, &st); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(encodeCheckpoint(lineage, &st), want) {
		t.Error("other bytes for a state that came from a checkpoint")
	}
	last := -1
	for i := range n { // the names descend as the sequences ascend
		at := bytes.Index(want, fmt.Appendf(nil, "e%03d", n-1-i))
		if at <= last {
			t.Fatalf("the stream of event %d is at %d, after the one before it at %d", i+1, at, last)
		}
		last = at
	}
	keys := manyHeads(n, 77).keys.gens[0].sorted()
	for i := range keys[1:] {
		a, b := keys[i], keys[i+1]
		if a.seq > b.seq || a.seq == b.seq && bytes.Compare(a.hash[:], b.hash[:]) >= 0 {
			t.Fatalf("key %d is %v, the next %v", i, a, b)
		}
	}
}

// Whether the state comes from the appends or from reading the log makes no difference to its file.
func TestTheCheckpointIsTheSameWhenTheLogIsReadAgain(t *testing.T) {
	t.Parallel()
	fsys, _ := fuzzDir(t)
	j, err := Open(context.Background(), fsys, Options{Name: "again", SegmentBytes: MinSegmentBytes})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		a := Append{Coordinate: causal.Coordinate{Scope: "s", Entity: fmt.Sprint(i % 30)}, Kind: 0x1001, Data: []byte{1}}
		if _, err := j.Append(context.Background(), &Batch{Events: []Append{a, a}, Key: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	shut := func() []byte {
		t.Helper()
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		b, err := fs.ReadFile(fsys, checkpointName)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	want := shut()
	for _, gone := range []bool{false, true} {
		if gone {
			if err := fsys.Remove(checkpointName); err != nil {
				t.Fatal(err)
			}
		}
		if j, err = Open(context.Background(), fsys, Options{SegmentBytes: MinSegmentBytes}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(shut(), want) {
			t.Errorf("other bytes; without a checkpoint: %v", gone)
		}
	}
}
