package faulttest_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"testing"

	"batpak/faultfs"
	"batpak/faultfs/faulttest"
)

// saver saves a number in a file, again and again.
type saver struct {
	noSync, noRename, noDirSync bool
}

func (s saver) save(fsys faultfs.FS, n int) error {
	name := "number.tmp"
	if s.noRename {
		name = "number"
	}
	f, err := fsys.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(fmt.Appendf(nil, "%04d", n), 0)
	if err == nil && !s.noSync {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil && !s.noRename {
		err = fsys.Rename(name, "number")
	}
	if err == nil && !s.noDirSync {
		err = fsys.SyncDir(".")
	}
	return err
}

func (s saver) test(m faultfs.Model) faulttest.Test {
	return faulttest.Test{
		Model: m,
		Steps: 4,
		Run: func(fsys faultfs.FS, steps int, ack func(any)) error {
			for n := 1; n <= steps; n++ {
				if err := s.save(fsys, n); err != nil {
					return err
				}
				ack(n)
			}
			return nil
		},
		Check: func(fsys faultfs.FS, acked []any, ack func(any)) error {
			last := 0
			if len(acked) > 0 {
				last = acked[len(acked)-1].(int)
			}
			b, err := fs.ReadFile(fsys, "number")
			if errors.Is(err, fs.ErrNotExist) && last == 0 {
				return nil
			}
			if errors.Is(err, fs.ErrNotExist) {
				return faulttest.Violated("%d was saved, and there is no file", last)
			}
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(string(b))
			if err != nil || len(b) != 4 || n < last || n > last+2 {
				return faulttest.Violated("%d was saved, and the file holds %q", last, b)
			}
			if err := s.save(fsys, n+1); err != nil {
				return err
			}
			ack(n + 1)
			return nil
		},
	}
}

func TestExploreFindsWhatASaveForgets(t *testing.T) {
	for name, test := range map[string]struct {
		saver saver
		model faultfs.Model
		fails bool
	}{
		"complete, POSIX":               {saver{}, faultfs.POSIX, false},
		"complete, ext4":                {saver{}, faultfs.Ext4, false},
		"complete, Btrfs":               {saver{}, faultfs.Btrfs, false},
		"no folder sync, POSIX":         {saver{noDirSync: true}, faultfs.POSIX, true},
		"no folder sync, ext4":          {saver{noDirSync: true}, faultfs.Ext4, true},
		"no sync, ext4":                 {saver{noSync: true}, faultfs.Ext4, true},
		"no sync, POSIX":                {saver{noSync: true}, faultfs.POSIX, true},
		"no rename, whole sectors only": {saver{noRename: true}, faultfs.Ext4, true}, // it truncates first
	} {
		t.Run(name, func(t *testing.T) {
			r := faulttest.Explore(t, test.saver.test(test.model), faulttest.Options{GoodReads: true, Recover: 1, Schedules: 2, Quiet: true})
			t.Logf("%s%v", r, r.Failures)
			if (len(r.Failures) > 0) != test.fails {
				t.Errorf("%d failures, want some: %v", len(r.Failures), test.fails)
			}
			for _, f := range r.Failures {
				if err := faulttest.Replay(t, test.saver.test(test.model), faulttest.Options{Schedules: 2, GoodReads: true}, f.Token); err == nil {
					t.Errorf("token %s replays to nothing", f.Token)
				}
			}
		})
	}
}

// A program that draws an id at random does not draw it again when it recovers.
func TestARecoveryDrawsOtherRandomNumbers(t *testing.T) {
	draw := func(acked []any, ack func(any)) error {
		id := rand.Text()
		if slices.Contains(acked, any(id)) {
			return faulttest.Violated("%s was drawn before", id)
		}
		ack(id)
		return nil
	}
	test := saver{}.test(faultfs.Ext4)
	test.Run = func(fsys faultfs.FS, _ int, ack func(any)) error {
		return errors.Join(draw(nil, ack), saver{}.save(fsys, 1))
	}
	test.Check = func(_ faultfs.FS, acked []any, ack func(any)) error { return draw(acked, ack) }
	r := faulttest.Explore(t, test, faulttest.Options{Recover: 1, RecoverKills: 1, Schedules: 2, NoFaults: true})
	if r.Recoveries == 0 {
		t.Error("proves nothing")
	}
}

func TestLiesAreNoticed(t *testing.T) {
	for v := range faulttest.Lies(t, saver{}.test(faultfs.POSIX), faulttest.Options{GoodReads: true, Recover: 1}) {
		t.Log(v, v.How)
		if !v.Caught {
			t.Errorf("%v", v)
		}
	}
}
