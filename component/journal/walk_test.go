package journal

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"batpak/causal"
	"batpak/codec"
)

// rewrite puts another envelope of the same length into the frame of an event, with the right checksums: as
// somebody would who wants nobody to notice.
func rewrite(t *testing.T, j *Journal, dir string, seq uint64, edit func(h *causal.Header, data []byte)) {
	t.Helper()
	ev, err := j.GetSeq(seq)
	if err != nil {
		t.Fatal(err)
	}
	s, x, err := j.segmentOf(seq)
	if err != nil {
		t.Fatal(err)
	}
	off, err := x.offset(int(seq - s.first))
	if err != nil {
		t.Fatal(err)
	}
	h, data := ev.Header, bytes.Clone(ev.Data)
	edit(&h, data)
	envelope := codec.AppendEnvelope(nil, &h, data)
	if len(envelope) != len(ev.Envelope) {
		t.Fatalf("%d bytes instead of %d", len(envelope), len(ev.Envelope))
	}
	name := filepath.Join(dir, s.name)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	f, ok := parseFrame(b[off:], s.size-off, s.crc)
	if !ok {
		t.Fatal("not a frame")
	}
	copy(b[off+frameHeader:], envelope)
	sealFrame(b[off:], len(envelope), f, s.crc)
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A walk goes by the hashes, and not only by the numbers.
func TestAWalkEndsWhereTheChainDoes(t *testing.T) {
	t.Parallel()
	for what, tc := range map[string]struct {
		edit func(h *causal.Header, data []byte)
		end  string // empty when it is refused
	}{
		"as it was":           {func(*causal.Header, []byte) {}, codec.EndGenesis},
		"another payload":     {func(_ *causal.Header, data []byte) { data[0] = 7 }, ""},
		"another version":     {func(h *causal.Header, _ []byte) { h.Version = 9 }, codec.EndMissing},
		"of another stream":   {func(h *causal.Header, _ []byte) { h.Entity = "f" }, codec.EndMissing},
		"of another position": {func(h *causal.Header, _ []byte) { h.Seq = 9 }, ""},
	} {
		fsys, dir := fuzzDir(t)
		j, err := Open(context.Background(), fsys, Options{Name: "walk", SegmentBytes: MinSegmentBytes})
		if err != nil {
			t.Fatal(err)
		}
		var last codec.Receipt
		for range 3 {
			r, err := j.Append(t.Context(), &Batch{Events: []Append{{Coordinate: causal.Coordinate{Scope: "s", Entity: "e"}, Kind: 0x1001, Data: []byte{1}}}})
			if err != nil {
				t.Fatal(err)
			}
			last = r[0]
		}
		rewrite(t, j, dir, 2, tc.edit)
		p, err := j.Walk(t.Context(), codec.WalkRequest{ID: last.ID}, 1<<20)
		if errors.Is(err, ErrDamaged) != (tc.end == "") || tc.end != "" && err != nil || p.End != tc.end {
			t.Errorf("%s: %d events, end %q, %v", what, len(p.Envelopes), p.End, err)
		}
		j.Close()
	}
}
