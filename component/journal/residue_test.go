package journal_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"testing"

	"batpak/causal"
	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/keystore"
)

// residue searches a journal.
func residue(t testing.TB, fsys faultfs.FS, e journal.Erasure) (all []journal.Residue, s journal.Searched) {
	t.Helper()
	s, err := journal.FindResidue(context.Background(), fsys, nil, e, func(r journal.Residue) error {
		all = append(all, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.Found != len(all) {
		t.Errorf("%+v of %d", s, len(all))
	}
	return all, s
}

func TestResidueOfAnErasedEntityIsNoneUntilBytesComeBack(t *testing.T) {
	t.Parallel()
	src := realDir(t, tempDir(t))
	j := openFS(t, src, backedUp)
	for i := range 12 {
		mustAppend(t, j, &journal.Batch{Events: []journal.Append{large("a", 900), event("b", uint64(i))}})
	}
	before, s := residue(t, src, erasureOf("a"))
	if len(before) != 1 || before[0].What != keystore.FoundLive || before[0].Seq != 1 || before[0].Events != 12 || s.Events != 24 || s.Of != 12 || s.Keys != 1 {
		t.Fatalf("alive: %+v, %+v", before, s)
	}
	at := before[0]
	file, err := src.OpenFile(at.File, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var bytes48 [48]byte
	if _, err := file.ReadAt(bytes48[:], at.Offset); err != nil {
		t.Fatal(err)
	}
	mustShred(t, j, erasureOf("a"))
	if got, s := residue(t, src, erasureOf("a")); len(got) > 0 || s.Of != 12 {
		t.Errorf("erased: %+v, %+v", got, s)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if got, _ := residue(t, src, erasureOf("a")); len(got) > 0 {
		t.Errorf("erased and closed: %+v", got)
	}
	if _, err := file.WriteAt(bytes48[:], at.Offset); err != nil {
		t.Fatal(err)
	}
	want := at
	want.What = keystore.FoundDestroyed
	if got, _ := residue(t, src, erasureOf("a")); len(got) != 1 || got[0] != want {
		t.Errorf("with bytes that came back: %+v, want %+v", got, want)
	}
	// A temporary file that a crash left is one too, and opening the journal removes it.
	whole, err := fs.ReadFile(src, at.File)
	if err != nil {
		t.Fatal(err)
	}
	if err := faultfs.Publish(src, "keys/keyset.tmp", whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, _ := residue(t, src, erasureOf("a")); len(got) != 2 || got[1].File != "keys/keyset.tmp" || got[1].What != keystore.FoundStray {
		t.Errorf("with a file that a crash left: %+v", got)
	}
	if got, _ := residue(t, src, erasureOf("nobody")); len(got) > 0 {
		t.Errorf("of nobody: %+v", got)
	}
}

func TestResidueFindsPayloadsThatWereNeverSealed(t *testing.T) {
	t.Parallel()
	src := realDir(t, tempDir(t))
	j := openFS(t, src, journal.Options{Name: "s", Seal: keystore.Subject, SegmentBytes: smallest})
	of := func(subject string, n uint64) journal.Append {
		a := event("a", n)
		a.Subject = subject
		return a
	}
	r := mustAppend(t, j, &journal.Batch{Events: []journal.Append{of("p", 1), of("", 2), of("q", 3)}})
	if _, err := j.Shred(t.Context(), journal.Erasure{Subject: "p", Reason: "r"}); err != nil {
		t.Fatal(err)
	}
	if got, _ := residue(t, src, journal.Erasure{Subject: "p"}); len(got) > 0 {
		t.Errorf("of the subject: %+v", got)
	}
	c := at("a")
	category, kind := uint8(1), causal.Kind(0x1001)
	for what, e := range map[string]journal.Erasure{"entity": {Entity: &c}, "category": {Category: &category}, "kind": {Kind: &kind}} {
		got, s := residue(t, src, e)
		if len(got) != 2 || got[0].What != journal.ResiduePlain || got[0].Seq != 2 || got[0].File != "segments/0000000000000001.seg" ||
			got[1].What != keystore.FoundLive || got[1].Seq != 3 || s.Of != 3 || s.Keys != 2 {
			t.Errorf("by %s: %+v, %+v", what, got, s)
		}
	}
	if got, _ := residue(t, src, journal.Erasure{Event: r[1].ID}); len(got) != 1 || got[0].Seq != 2 {
		t.Errorf("of the event: %+v", got)
	}
	_, err := journal.FindResidue(t.Context(), src, nil, journal.Erasure{}, nil)
	if !errors.Is(err, journal.ErrInvalid) {
		t.Errorf("of everything: %v", err)
	}
	if _, err = journal.FindResidue(t.Context(), realDir(t, tempDir(t)), nil, erasureOf("a"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of nothing: %v", err)
	}
}
