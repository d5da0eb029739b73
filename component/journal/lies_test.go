//go:build !race

// Operations are let through one at a time, so the race detector would only be slow here.

package journal_test

import (
	"testing"

	"batpak/faultfs"
	"batpak/faultfs/faulttest"
)

// Each call that makes something durable is missed when it lies.
func TestExploreLies(t *testing.T) {
	m := faultfs.POSIX
	m.TearSector, m.Subsets = false, 2 // what is lost is lost as a whole
	o := faulttest.Options{Recover: 100, RecoverKills: 1, Schedules: 2}
	for v := range faulttest.Lies(t, exploredTest(m, 14), o) {
		t.Log(v)
		if !v.Caught {
			t.Errorf("%v", v)
		}
	}
}
