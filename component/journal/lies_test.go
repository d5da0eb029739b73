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
		// In a journal the keyset's name is durable before anything is built upon it, unless the keyset was
		// replaced. The keystore's own test comes by that, and tells this lie.
		keysName := v.Op == faultfs.OpSyncDir && strings.HasSuffix(v.Site, "keystore.(*Store).secure")
		if !v.Caught && !keysName {
			t.Errorf("%v", v)
		}
	}
}
