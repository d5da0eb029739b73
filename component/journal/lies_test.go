//go:build !race

// Operations are let through one at a time, so the race detector would only be slow here.

package journal_test

import (
	"strings"
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
		// The mark of a closed journal tells rot of the last group from a torn write: it takes both a
		// loss of power and rot to miss it, and the workload has no rot.
		if !v.Caught && !strings.HasSuffix(v.Site, "Close.func1 > journal.(*Journal).mark") {
			t.Errorf("%v", v)
		}
	}
}
