package keystore

import (
	"context"
	"errors"
	"io/fs"
	"syscall"
	"testing"

	"batpak/causal"
	"batpak/faultfs"
	"batpak/faultfs/faulttest"
)

func kek(t testing.TB, n byte) Wrapper {
	t.Helper()
	w, err := NewRawKey(&[32]byte{n, 1})
	must(t, err)
	return w
}

// A keyset that is wrapped opens with its key and with no other, and is not changed by a wrong one.
func TestWrappedKeysetNeedsItsKey(t *testing.T) {
	disk := newDisk(t)
	s, err := New(t.Context(), disk, Subject, Options{Wrapper: kek(t, 1)})
	must(t, err)
	c := seal(t, mintKey(t, s, subject("a")), "text")
	must(t, s.Flush())
	must(t, s.Close())
	before, err := fs.ReadFile(disk, fileName)
	must(t, err)
	for _, wrong := range []struct {
		w    Wrapper
		want error
	}{{nil, ErrWrapped}, {kek(t, 2), ErrWrongKey}} {
		s, err := Load(t.Context(), disk, Subject, Options{Wrapper: wrong.w})
		wantErr(t, err, wrong.want)
		if s != nil {
			t.Fatal("a store came with the error")
		}
		after, err := fs.ReadFile(disk, fileName)
		must(t, err)
		if string(before) != string(after) {
			t.Fatal("a wrong key changed the keyset")
		}
	}
	s, err = Load(t.Context(), disk, Subject, Options{Wrapper: kek(t, 1)})
	must(t, err)
	defer s.Close()
	c.wantOpens(t, s)
	if s.Method() == Clear {
		t.Fatal("it says that it is not wrapped")
	}
}

func TestRekeyKeepsKeysAndForgetsWhatWasDestroyed(t *testing.T) {
	disk := newDisk(t)
	s := newStore(t, disk, Subject)
	kept := seal(t, mintKey(t, s, subject("kept")), "text")
	gone := mintKey(t, s, subject("gone"))
	must(t, s.Bind(subject("lost"), causal.KeyID{7}))
	must(t, s.Flush())
	_, err := s.Destroy(subject("gone"))
	must(t, err)
	s.SetSeen(9)
	must(t, s.Flush())
	must(t, s.Close())
	was := s.dump()
	told := 0
	must(t, Rekey(t.Context(), disk, Subject, nil, kek(t, 1), func(done, all int) { told = done }))
	if told != 3 {
		t.Fatalf("progress ended at %d keys, want 3", told)
	}
	must(t, Rekey(t.Context(), disk, Subject, kek(t, 1), kek(t, 2), nil))
	_, err = Load(t.Context(), disk, Subject, Options{Wrapper: kek(t, 1)})
	wantErr(t, err, ErrWrongKey)
	s, err = Load(t.Context(), disk, Subject, Options{Wrapper: kek(t, 2)})
	must(t, err)
	defer s.Close()
	kept.wantOpens(t, s)
	_, err = s.ByID(gone.ID())
	wantErr(t, err, ErrShredded)
	_, err = s.ByID(causal.KeyID{7})
	wantErr(t, err, ErrKeyMissing)
	if s.dump() != was || s.Seen() != 9 {
		t.Fatalf("it has\n%s and has seen %d, and had\n%s", s.dump(), s.Seen(), was)
	}
	must(t, s.Flush())
}

func TestInterruptedRekeyLeavesTheOldKeyset(t *testing.T) {
	disk := newDisk(t)
	s := newStore(t, disk, Subject)
	kept := seal(t, mintKey(t, s, subject("kept")), "text")
	must(t, s.Flush())
	must(t, s.Close())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantErr(t, Rekey(ctx, disk, Subject, nil, kek(t, 1), nil), context.Canceled)
	for _, rule := range []faultfs.Rule{
		{On: faultfs.OpWrite, Nth: 1, Do: faultfs.Fail(syscall.ENOSPC)}, {On: faultfs.OpRename, Nth: 1, Do: faultfs.Fail(syscall.EIO)},
	} {
		disk.Add(rule)
		if err := Rekey(t.Context(), disk, Subject, nil, kek(t, 1), nil); err == nil {
			t.Fatal("it succeeded on a disk that failed")
		}
		kept.wantOpens(t, load(t, disk, Subject))
		if entries, err := disk.ReadDir("."); err != nil || len(entries) != 1 {
			t.Fatalf("it left %v, %v", entries, err)
		}
	}
}

// A crash at any point of a rekey leaves a keyset that one of the two keys opens, with all of its keys; after it
// has returned, it is the new one.
func TestExploreRekey(t *testing.T) {
	r := faulttest.Explore(t, rekeyTest(t), faulttest.Options{Recover: 1, RecoverKills: 2, RecoverFaults: 5})
	t.Logf("%s%v", r, r.Elapsed)
}

// rekeyTest makes a keyset with keys, erases one, and rekeys it several times.
func rekeyTest(t *testing.T) faulttest.Test {
	type done struct{ key byte }
	names := []string{"a", "b", "c"}
	open := func(fsys faultfs.FS, key byte) (*Store, error) {
		return Load(context.Background(), fsys, Subject, Options{Wrapper: kek(t, key), Reserve: -1})
	}
	all := func(s *Store) error {
		for _, name := range names {
			_, err := s.Get(subject(name))
			if gone := errors.Is(err, ErrShredded); err != nil && gone != (name == "b") {
				return badKey(err, "key of %s", name)
			}
		}
		return nil
	}
	run := func(fsys faultfs.FS, steps int, ack func(any)) error {
		s, err := New(context.Background(), fsys, Subject, Options{Wrapper: kek(t, 1), Reserve: -1})
		if err != nil {
			return err
		}
		defer s.Close()
		for _, name := range names {
			if _, err := s.GetOrCreate(subject(name)); err != nil {
				return err
			}
		}
		if err := s.Flush(); err != nil {
			return err
		}
		if _, err := s.Destroy(subject("b")); err != nil {
			return err
		}
		if err := s.Flush(); err != nil {
			return err
		}
		ack(done{1})
		for n := range steps {
			key := byte(1 + n)
			if err := Rekey(context.Background(), fsys, Subject, kek(t, key), kek(t, key+1), nil); err != nil {
				return err
			}
			ack(done{key + 1})
		}
		return nil
	}
	check := func(fsys faultfs.FS, acked []any, ack func(any)) error {
		key := byte(0)
		for _, p := range acked {
			key = p.(done).key
		}
		s, err := open(fsys, max(key, 1))
		if errors.Is(err, ErrWrongKey) && key > 0 {
			s, err = open(fsys, key+1)
		}
		switch {
		case errors.Is(err, ErrNotExist) && key == 0:
			return nil
		case errors.Is(err, ErrWrongKey), errors.Is(err, ErrNotExist):
			return faulttest.Violated("after key %d: %v", key, err)
		case err != nil:
			return err
		}
		defer s.Close()
		if key > 0 {
			if err := all(s); err != nil {
				return err
			}
		}
		return s.Flush()
	}
	return faulttest.Test{Model: faultfs.POSIX, Steps: 2, Run: run, Check: check}
}
