package journal_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"batpak/causal"
	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/keystore"
)

// kek is a key-encryption key.
func kek(tb testing.TB, first byte) keystore.Wrapper {
	tb.Helper()
	key := [keystore.KeySize]byte{first}
	for i := range key[1:] {
		key[i+1] = byte(i * 7)
	}
	w, err := keystore.NewRawKey(&key)
	if err != nil {
		tb.Fatal(err)
	}
	return w
}

// sealedJournal is a closed journal with an event that was erased and one that was not.
func sealedJournal(tb testing.TB, keys keystore.Options) faultfs.FS {
	tb.Helper()
	fsys := realDir(tb, tb.TempDir())
	j := openFS(tb, fsys, journal.Options{Name: "j", Seal: keystore.Entity, SegmentBytes: small, Keys: keys})
	mustAppend(tb, j, one(event("a", 1)))
	mustAppend(tb, j, one(event("b", 2)))
	mustShred(tb, j, erasureOf("a"))
	if err := j.Close(); err != nil {
		tb.Fatal(err)
	}
	return fsys
}

func TestARekeyedJournalOpensWithTheNewKeyAlone(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fsys := sealedJournal(t, keystore.Options{})
	before, err := journal.InspectKeys(fsys)
	if err != nil || before.Method != keystore.Clear || before.Live != 1 || before.Destroyed != 1 {
		t.Fatalf("%+v, %v", before, err)
	}
	told := 0
	if err := journal.Rekey(ctx, fsys, nil, kek(t, 1), func(done, all int) { told = all }); err != nil {
		t.Fatal(err)
	}
	after, err := journal.InspectKeys(fsys)
	want := before
	want.Method = keystore.RawKeyMethod
	if err != nil || after != want || told != after.Live+after.Destroyed+after.Spare {
		t.Errorf("%+v, %v; told of %d", after, err, told)
	}
	for _, c := range []struct {
		with keystore.Wrapper
		want error
	}{{nil, keystore.ErrWrapped}, {kek(t, 2), keystore.ErrWrongKey}} {
		j, err := journal.Open(ctx, fsys, journal.Options{Keys: keystore.Options{Wrapper: c.with}})
		if !errors.Is(err, c.want) || errors.Is(err, journal.ErrDamaged) {
			t.Errorf("opened: %v", err)
		}
		if err == nil {
			j.Close()
		}
		if err := journal.Rekey(ctx, fsys, c.with, nil, nil); !errors.Is(err, c.want) {
			t.Errorf("rekeyed: %v", err)
		}
	}
	j := openFS(t, fsys, journal.Options{Keys: keystore.Options{Wrapper: kek(t, 1)}})
	wantStates(t, j, causal.Shredded, causal.Opened, causal.Plain)
	if j.KeyMethod() != keystore.RawKeyMethod {
		t.Errorf("it is %s", j.KeyMethod())
	}
	if err := journal.Rekey(ctx, fsys, kek(t, 1), nil, nil); !errors.Is(err, journal.ErrLocked) {
		t.Errorf("rekeyed an open journal: %v", err)
	}
	if _, err := journal.InspectKeys(fsys); err != nil {
		t.Errorf("an open journal: %v", err)
	}
}

func TestAnInterruptedRekeyLeavesTheOldKeyset(t *testing.T) {
	t.Parallel()
	fsys := sealedJournal(t, keystore.Options{Wrapper: kek(t, 1)})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := journal.Rekey(ctx, fsys, kek(t, 1), kek(t, 2), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("rekeyed: %v", err)
	}
	j := openFS(t, fsys, journal.Options{Keys: keystore.Options{Wrapper: kek(t, 1)}})
	wantStates(t, j, causal.Shredded, causal.Opened)
}

func TestKeysOfNoJournal(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dir := t.TempDir()
	fsys := realDir(t, dir)
	if _, err := journal.InspectKeys(fsys); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("inspected: %v", err)
	}
	if err := journal.Rekey(ctx, fsys, nil, nil, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("rekeyed: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}

	j := openFS(t, fsys, journal.Options{Name: "j", SegmentBytes: small})
	if j.KeyMethod() != "" {
		t.Errorf("it is %s", j.KeyMethod())
	}
	if s, err := journal.InspectKeys(fsys); err != nil || s != (keystore.Stats{Granularity: keystore.None}) {
		t.Errorf("%+v, %v", s, err)
	}
	if err := journal.Rekey(ctx, fsys, nil, nil, nil); !errors.Is(err, journal.ErrInvalid) {
		t.Errorf("rekeyed: %v", err)
	}
}

func TestAMissingKeysetIsDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fsys := realDir(t, dir)
	openFS(t, fsys, journal.Options{Name: "j", Seal: keystore.Entity, SegmentBytes: small}).Close()
	if err := os.Remove(filepath.Join(dir, "keys", "keyset")); err != nil {
		t.Fatal(err)
	}
	if _, err := journal.InspectKeys(fsys); !errors.Is(err, journal.ErrDamaged) {
		t.Errorf("inspected: %v", err)
	}
	if err := journal.Rekey(context.Background(), fsys, nil, nil, nil); !errors.Is(err, journal.ErrDamaged) {
		t.Errorf("rekeyed: %v", err)
	}
}
