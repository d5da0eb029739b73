package faulttest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"batpak/faultfs"
)

// save is what a program does to replace a file, step by step; see do.
type save string

const rightSave save = "create write sync close rename syncdir ack"

// version is the n-th contents: some are longer than others, and of several sectors.
func version(n int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%04d", n), 130+100*(n%2))
}

func versionOf(text []byte) (n int) {
	if _, err := fmt.Sscanf(string(text[:min(len(text), 4)]), "%04d", &n); err != nil || !bytes.Equal(text, version(n)) {
		return -1
	}
	return n
}

func (s save) do(fsys faultfs.FS, n int, ack func(any)) error {
	const name, temp = "file", "file.new"
	var f faultfs.File
	defer func() {
		if f != nil {
			_ = f.Close()
		}
	}()
	for step := range strings.FieldsSeq(string(s)) {
		var err error
		switch step {
		case "create":
			f, err = fsys.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		case "reuse":
			f, err = fsys.OpenFile(temp, os.O_WRONLY|os.O_CREATE, 0o600)
		case "empty": // the file itself
			f, err = fsys.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		case "write":
			_, err = f.WriteAt(version(n), 0)
		case "write-unchecked":
			_, _ = f.WriteAt(version(n), 0)
		case "sync":
			err = f.Sync()
		case "sync-retried":
			for range 3 {
				if err = f.Sync(); err == nil {
					break
				}
			}
		case "sync-unchecked":
			_ = f.Sync()
		case "close":
			err, f = f.Close(), nil
		case "remove":
			if err = fsys.Remove(name); errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		case "rename":
			err = fsys.Rename(temp, name)
		case "syncdir":
			err = fsys.SyncDir(".")
		case "ack":
			ack(n)
		default:
			panic(step)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s save) test(m faultfs.Model) Test {
	return Test{
		Model: m,
		Steps: 4,
		Run: func(fsys faultfs.FS, steps int, ack func(any)) error {
			for n := 1; n <= steps; n++ {
				if err := s.do(fsys, n, ack); err != nil {
					return err
				}
			}
			return nil
		},
		Check: func(fsys faultfs.FS, acked []any, ack func(any)) error {
			last := 0
			if len(acked) > 0 {
				last = acked[len(acked)-1].(int)
			}
			// The next one may have been on its way, or that of a check which was crashed.
			if err := holdsVersion(fsys, last, last+2); err != nil {
				return err
			}
			if err := s.do(fsys, last+2, ack); err != nil {
				return err
			}
			return holdsVersion(fsys, last+2, last+2)
		},
	}
}

// holdsVersion says whether the file is a version from one to another; 0 is no file.
func holdsVersion(fsys fs.FS, from, to int) error {
	n := 0
	text, err := fs.ReadFile(fsys, "file")
	if err == nil {
		n = versionOf(text)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if n < from || n > to {
		return Violated("version %d was saved, and the file has %d bytes, version %d", from, len(text), n)
	}
	return nil
}

// quietly is for programs without checksums.
var quietly = Options{GoodReads: true, Recover: 1, RecoverKills: 1, Quiet: true}

// Each mistake that a save can make is found, on a disk that is one to make it on.
func TestExploreFindsEachBrokenSave(t *testing.T) {
	redirty := faultfs.POSIX
	redirty.FailedSync = faultfs.Redirty
	for name, tc := range map[string]struct {
		save  save
		model faultfs.Model
		found bool
	}{
		"right, POSIX":                     {rightSave, faultfs.POSIX, false},
		"right, ext4":                      {rightSave, faultfs.Ext4, false},
		"right, XFS":                       {rightSave, faultfs.XFS, false},
		"right, Btrfs":                     {rightSave, faultfs.Btrfs, false},
		"file not synced":                  {"create write close rename syncdir ack", faultfs.POSIX, true},
		"file not synced, ext4":            {"create write close rename syncdir ack", faultfs.Ext4, true},
		"folder not synced":                {"create write sync close rename ack", faultfs.POSIX, true},
		"folder not synced, ext4":          {"create write sync close rename ack", faultfs.Ext4, true},
		"file synced for its name":         {"create write sync rename sync ack", faultfs.POSIX, true},
		"file synced for its name, ext4":   {"create write sync rename sync ack", faultfs.Ext4, false},
		"synced after the rename":          {"create write rename sync syncdir ack", faultfs.POSIX, true},
		"synced after the rename, ext4":    {"create write rename sync syncdir ack", faultfs.Ext4, true},
		"failed sync retried":              {"create write sync-retried close rename syncdir ack", faultfs.POSIX, true},
		"failed sync retried, Btrfs":       {"create write sync-retried close rename syncdir ack", faultfs.Btrfs, true},
		"failed sync retried, pages dirty": {"create write sync-retried close rename syncdir ack", redirty, false},
		"failed sync ignored":              {"create write sync-unchecked close rename syncdir ack", faultfs.POSIX, true},
		"acknowledged before the sync":     {"create write ack sync close rename syncdir", faultfs.POSIX, true},
		"acknowledged before the folder's": {"create write sync close rename ack syncdir", faultfs.POSIX, true},
		"emptied in place":                 {"empty write sync close syncdir ack", faultfs.POSIX, true},
		"emptied in place, ext4":           {"empty write sync close syncdir ack", faultfs.Ext4, true},
		"removed before the rename":        {"create write sync close remove rename syncdir ack", faultfs.POSIX, true},
		"temporary file used again":        {"reuse write sync close rename syncdir ack", faultfs.POSIX, true},
		"short write ignored":              {"create write-unchecked sync close rename syncdir ack", faultfs.POSIX, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := Explore(t, tc.save.test(tc.model), quietly)
			if found := len(r.Failures) > 0; found != tc.found {
				t.Fatalf("found: %v, want %v: %v\n%s", found, tc.found, r.Failures, r)
			}
			for _, f := range r.Failures {
				if err := Replay(t, tc.save.test(tc.model), quietly, f.Token); err == nil {
					t.Errorf("token %s replays to nothing", f.Token)
				}
			}
		})
	}
}

// What a failure is reported as is no longer than what was found, and fails in the same way.
func TestShrunkTokenStillFails(t *testing.T) {
	shorter := 0
	for _, s := range []save{"create write close rename syncdir ack", "create write sync-retried close rename syncdir ack",
		"reuse write sync close rename syncdir ack", "create write-unchecked sync close rename syncdir ack"} {
		opts := quietly
		opts.KeepGoing, opts.Schedules = true, 2
		test := s.test(faultfs.POSIX)
		all := Explore(t, test, opts).Failures
		if len(all) == 0 {
			t.Fatalf("%s: nothing was found", s)
		}
		worst := all[0]
		for _, f := range all {
			if len(f.Token) > len(worst.Token) {
				worst = f
			}
		}
		e := &explorer{t: t, test: test, opts: opts}
		best := e.simplest(worst)
		t.Logf("%s: %s became %s: %s", s, worst.Token, best.Token, best.Story)
		if len(best.Token) > len(worst.Token) {
			t.Errorf("%s: token %s grew to %s", s, worst.Token, best.Token)
		}
		if len(best.Token) < len(worst.Token) {
			shorter++
		}
		var v *Violation
		if err := Replay(t, test, opts, best.Token); !errors.As(err, &v) || best.Err == nil || v.Error() != best.Err.Error() {
			t.Errorf("%s: token %s gives %v, and was reported as %v", s, best.Token, err, best.Err)
		}
	}
	if shorter == 0 {
		t.Error("no token became shorter")
	}
}

func TestAPanicIsAViolation(t *testing.T) {
	whole := rightSave.test(faultfs.POSIX)
	run, check := whole, whole
	run.Run = func(fsys faultfs.FS, steps int, ack func(any)) error {
		if err := whole.Run(fsys, steps, ack); err != nil {
			panic("did not expect " + err.Error())
		}
		return nil
	}
	check.Check = func(fsys faultfs.FS, acked []any, ack func(any)) error {
		if _, err := fs.Stat(fsys, "file.new"); err == nil {
			panic("a file of the last time")
		}
		return whole.Check(fsys, acked, ack)
	}
	for reason, test := range map[string]Test{"panic: did not expect": run, "panic: a file of the last time": check} {
		r := Explore(t, test, quietly)
		if len(r.Failures) != 1 {
			t.Fatalf("%s: %d failures", reason, len(r.Failures))
		}
		f := r.Failures[0]
		var v *Violation
		if !errors.As(f.Err, &v) || !strings.HasPrefix(v.Reason, reason) {
			t.Errorf("%v, want %s", f.Err, reason)
		}
		if err := Replay(t, test, quietly, f.Token); !errors.As(err, &v) || !strings.HasPrefix(v.Reason, reason) {
			t.Errorf("token %s gives %v, want %s", f.Token, err, reason)
		}
	}
}

func TestAnExplorationStopsWhenItIsTold(t *testing.T) {
	test := rightSave.test(faultfs.POSIX)
	whole := Explore(t, test, quietly)
	if whole.Stopped || whole.Images < 1000 {
		t.Fatalf("proves nothing: %s", whole)
	}
	few := quietly
	few.MaxImages = 100
	if r := Explore(t, test, few); !r.Stopped || r.Images < 100 || r.Images > whole.Images/2 || len(r.Failures) > 0 {
		t.Errorf("at most 100 images, stopped %v: %s", r.Stopped, r)
	}
	asked := 0
	told := quietly
	told.Progress = func(Report) bool { asked++; return false }
	test.Steps = 200 // takes longer than it takes to be asked
	if r := Explore(t, test, told); !r.Stopped || asked != 1 || r.Failures != nil {
		t.Errorf("asked %d times, stopped %v: %s", asked, r.Stopped, r)
	}
}
