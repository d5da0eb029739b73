//go:build !race

// The race detector makes the runtime take goroutines in any order.

package journal_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"batpak/faultfs"
	"batpak/faultfs/faulttest"
)

// tell explores a short journal, also on a disk whose syncs lie, and says all there is to say about it.
func tell(t *testing.T) string {
	var b strings.Builder
	o := faulttest.Options{Recover: 500, RecoverKills: 50, RecoverFaults: 2, Schedules: 2, Quiet: true, KeepGoing: true}
	r := faulttest.Explore(t, exploredTest(faultfs.POSIX, 5), o)
	fmt.Fprintln(&b, r, r.Failures)
	o.NoFaults = true
	o.Rules = []faultfs.Rule{{On: faultfs.OpSyncData, Name: "segments/*.seg", Do: faultfs.Lie()}}
	r = faulttest.Explore(t, exploredTest(faultfs.Ext4, 5), o)
	fmt.Fprintln(&b, r)
	for _, f := range r.Failures {
		fmt.Fprintln(&b, f)
	}
	return b.String()
}

// The journal's goroutines and what it draws at random do not make one exploration differ from another, in this process or
// in the next.
func TestAnExplorationIsTheSameEachTime(t *testing.T) {
	const child = "EXPLORE_CHILD" // the name of the file that a child process writes
	if name := os.Getenv(child); name != "" {
		if err := os.WriteFile(name, []byte(tell(t)), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want := tell(t)
	n := strings.Count(want, "replay with token")
	if n == 0 {
		t.Fatal("no failure proves nothing")
	}
	t.Logf("%d bytes, %d failures", len(want), n)
	if got := tell(t); got != want {
		t.Fatalf("once more it says\n%s\nand first\n%s", got, want)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := t.TempDir() + "/told"
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), child+"="+name)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("in another process it says\n%s\nand here\n%s", got, want)
	}
}
