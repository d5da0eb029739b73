package faultfs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"batpak/faultfs"
)

// step does one line of a script, such as "write f 4 text" or "rename a d/b".
func step(fsys faultfs.FS, line string) error {
	verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	name, rest, _ := strings.Cut(rest, " ")
	var off, n int64
	var text string
	switch verb {
	case "mkdir":
		return fsys.Mkdir(name, 0o700)
	case "syncdir":
		return fsys.SyncDir(name)
	case "remove":
		return fsys.Remove(name)
	case "rename":
		return fsys.Rename(name, rest)
	case "create":
		return on(fsys, name, os.O_CREATE|os.O_EXCL, func(faultfs.File) error { return nil })
	case "write":
		if _, err := fmt.Sscan(rest, &off, &text); err != nil {
			return err
		}
		return on(fsys, name, 0, func(f faultfs.File) error {
			_, err := f.WriteAt([]byte(strings.ReplaceAll(text, ".", "\x00")), off)
			return err
		})
	case "truncate", "allocate":
		if _, err := fmt.Sscan(rest, &n); err != nil {
			return err
		}
		return on(fsys, name, 0, func(f faultfs.File) error {
			if verb == "truncate" {
				return f.Truncate(n)
			}
			return f.Allocate(0, n)
		})
	case "sync":
		return on(fsys, name, 0, faultfs.File.Sync)
	case "failsync": // of a mount
		in := faultfs.Inject(fsys, faultfs.Rule{On: faultfs.OpSync, Do: faultfs.FailSync()})
		if err := on(in, name, 0, faultfs.File.Sync); !errors.Is(err, syscall.EIO) {
			return fmt.Errorf("the sync that was to fail says %w", err)
		}
		return nil
	}
	return fmt.Errorf("%q is no step", line)
}

func on(fsys faultfs.FS, name string, flag int, do func(f faultfs.File) error) error {
	f, err := fsys.OpenFile(name, os.O_RDWR|flag, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(do(f), f.Close())
}

// play does the steps of a script, which are separated by semicolons.
func play(t testing.TB, fsys faultfs.FS, script string) {
	t.Helper()
	for line := range strings.SplitSeq(script, ";") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		if err := step(fsys, line); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
}

// found is what is there, such as "d/ d/f=ab.. g=": a zero is a dot.
func found(t testing.TB, fsys faultfs.FS) string {
	t.Helper()
	var there []string
	err := fs.WalkDir(fsys, ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil || name == ".":
			return err
		case e.IsDir():
			there = append(there, name+"/")
			return nil
		}
		b, err := fs.ReadFile(fsys, name)
		there = append(there, name+"="+strings.ReplaceAll(string(b), "\x00", "."))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(there, " ")
}

// afterCrashes is everything that may be found after a loss of power, sorted.
func afterCrashes(t testing.TB, d *faultfs.Disk) []string {
	t.Helper()
	all := map[string]bool{}
	for c := range faultfs.AllChoices() {
		all[found(t, d.Crash(c).Mount())] = true
	}
	var sorted []string
	for state := range all {
		sorted = append(sorted, state)
	}
	slices.Sort(sorted)
	return sorted
}

// tiny makes sectors of four bytes, so that a state can be read, and nothing torn.
func tiny(m faultfs.Model) faultfs.Model {
	m.Sector, m.TearSector = 4, false
	return m
}
