package keystore

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	"batpak/causal"
	"batpak/faultfs"
)

// planted writes bytes into a file as nobody should.
func planted(t testing.TB, disk faultfs.FS, name string, b []byte, off int64) {
	t.Helper()
	f, err := disk.OpenFile(name, os.O_RDWR|os.O_CREATE, perm)
	must(t, err)
	_, err = f.WriteAt(b, off)
	must(t, err)
	must(t, f.Close())
}

// bytesAt reads a part of a file.
func bytesAt(t testing.TB, disk faultfs.FS, name string, off int64, n int) []byte {
	t.Helper()
	f, err := disk.OpenFile(name, os.O_RDONLY, 0)
	must(t, err)
	defer f.Close()
	b := make([]byte, n)
	_, err = f.ReadAt(b, off)
	must(t, err)
	return b
}

func wantResidue(t testing.TB, disk faultfs.FS, w Wrapper, ids []causal.KeyID, want ...Found) {
	t.Helper()
	got, err := Residue(t.Context(), disk, Subject, w, ids)
	must(t, err)
	if !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
}

func TestResidueFindsEachKeyWhereverItsBytesAre(t *testing.T) {
	kek := [KeySize]byte{7}
	wrapper, err := NewRawKey(&kek)
	must(t, err)
	for _, w := range []Wrapper{nil, wrapper} {
		disk := newDisk(t)
		s, err := New(t.Context(), disk, Subject, Options{Wrapper: w, Reserve: -1})
		must(t, err)
		mine, other := mintKey(t, s, subject("a")), mintKey(t, s, subject("b"))
		ids := []causal.KeyID{mine.ID()}
		must(t, s.Flush())
		at := recordOffset(0) + sealedAt
		wantResidue(t, disk, w, ids, Found{mine.ID(), fileName, at, FoundLive})
		wiped := bytesAt(t, disk, fileName, at, sealedSize)

		_, err = s.Destroy(subject("a"))
		must(t, err)
		must(t, s.Flush())
		wantResidue(t, disk, w, ids) // the other key is no residue of this one
		wantResidue(t, disk, w, nil)

		planted(t, disk, fileName, wiped, at)
		wantResidue(t, disk, w, ids, Found{mine.ID(), fileName, at, FoundDestroyed})
		planted(t, disk, fileName, make([]byte, sealedSize), at)
		wantResidue(t, disk, w, ids)

		// Behind the records, at no record's place, over the border of two pieces, and in a file that a crash left.
		behind, temp := int64(131072-20), fileName+faultfs.TempSuffix
		planted(t, disk, fileName, wiped, behind)
		planted(t, disk, temp, wiped, 3)
		wantResidue(t, disk, w, append(ids, other.ID()), Found{other.ID(), fileName, recordOffset(2) + sealedAt, FoundLive},
			Found{mine.ID(), fileName, behind, FoundStray}, Found{mine.ID(), temp, 3, FoundStray})
		must(t, s.Close())
	}
}

// A temporary file of a keyset with another master key is searched under that one.
func TestResidueFindsKeysOfAnInterruptedReplacement(t *testing.T) {
	old, disk := newDisk(t), newDisk(t)
	s := newStore(t, old, Subject)
	k := mintKey(t, s, subject("a"))
	must(t, s.Flush())
	whole := bytesAt(t, old, fileName, 0, int(recordOffset(2)))
	newStore(t, disk, Subject)
	planted(t, disk, fileName+faultfs.TempSuffix, whole, 0)
	wantResidue(t, disk, nil, []causal.KeyID{k.ID()}, Found{k.ID(), fileName + faultfs.TempSuffix, recordOffset(0) + sealedAt, FoundStray})
}

func TestResidueNeedsTheMasterKeyAndChangesNothing(t *testing.T) {
	kek := [KeySize]byte{7}
	w, err := NewRawKey(&kek)
	must(t, err)
	disk := newDisk(t)
	s, err := New(t.Context(), disk, Subject, Options{Wrapper: w})
	must(t, err)
	must(t, s.Close())
	_, err = Residue(t.Context(), disk, Subject, nil, []causal.KeyID{{1}})
	wantErr(t, err, ErrWrapped)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Residue(ctx, disk, Subject, w, []causal.KeyID{{1}})
	wantErr(t, err, context.Canceled)
	if n := disk.Count(faultfs.OpWrite | faultfs.OpRename | faultfs.OpRemove | faultfs.OpTruncate); n != disk.Count(faultfs.OpRename)+1 {
		t.Errorf("%d changes", n) // the one write and rename that made it
	}
	if found, err := Residue(t.Context(), newDisk(t), Subject, nil, nil); err != nil || found != nil {
		t.Errorf("without files: %v, %v", found, err)
	}
	planted(t, disk, fileName, []byte{1}, 100)
	if _, err = Residue(t.Context(), disk, Subject, w, nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("with a damaged header: %v", err)
	}
}

func BenchmarkResidueOfAMegabyte(b *testing.B) {
	disk := newDisk(b)
	s, err := New(b.Context(), disk, Subject, Options{Reserve: 12000})
	must(b, err)
	defer s.Close()
	for b.Loop() {
		_, err := Residue(b.Context(), disk, Subject, nil, []causal.KeyID{{1}})
		must(b, err)
	}
}
