package faulttest_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"batpak/faultfs"
	"batpak/faultfs/faulttest"
)

// save is the program under test: each version of the settings replaces the one before.
func save(fsys faultfs.FS, version int) error {
	return faultfs.Publish(fsys, "settings", []byte(strings.Repeat("v", version)), 0o600)
}

// saveOften is the workload. What is acknowledged is a version that was saved.
func saveOften(fsys faultfs.FS, steps int, ack func(any)) error {
	for version := 1; version <= steps; version++ {
		if err := save(fsys, version); err != nil {
			return err // the disk failed, and nothing was promised
		}
		ack(version)
	}
	return nil
}

// lookAndSave opens what a crash left. The last version that was acknowledged is there,
// or the next one, which may have been on its way; and the program goes on.
func lookAndSave(fsys faultfs.FS, acked []any, ack func(any)) error {
	last := 0
	if len(acked) > 0 {
		last = acked[len(acked)-1].(int)
	}
	text, err := fs.ReadFile(fsys, "settings")
	switch found := len(text); {
	case errors.Is(err, fs.ErrNotExist) && last == 0:
	case errors.Is(err, fs.ErrNotExist):
		return faulttest.Violated("version %d was saved, and is gone", last)
	case err != nil:
		return err // the disk fails, and the program says so
	case found != last && found != last+1:
		return faulttest.Violated("version %d was saved, and version %d is there", last, found)
	}
	if err := save(fsys, last+1); err != nil {
		return err
	}
	ack(last + 1)
	return nil
}

// settingsSurvive is what a package's own test looks like; its name would be
// TestSettingsSurvive.
func settingsSurvive(t *testing.T) {
	test := faulttest.Test{Model: faultfs.POSIX, Steps: 5, Run: saveOften, Check: lookAndSave}
	report := faulttest.Explore(t, test, faulttest.Options{
		Recover:      1, // crash each recovery too
		RecoverKills: 1,
		GoodReads:    true, // the settings have no checksum: a wrong read cannot be noticed
	})
	t.Logf("%s%v", report, report.Elapsed)
}

// A program is crashed everywhere, and what is there afterwards is held against what it
// promised.
func ExampleExplore() {
	_ = settingsSurvive // go test runs it when it is called TestSettingsSurvive
}
