//go:build !race

// The race detector would only be slow here.

package faulttest_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"batpak/faultfs"
	"batpak/faultfs/faulttest"
)

// tell explores programs that are right and programs that are not, and says all there is to say about it.
func tell(t *testing.T) string {
	var b strings.Builder
	for _, s := range []saver{{}, {noSync: true}, {noDirSync: true}} {
		test := s.test(faultfs.POSIX)
		test.Steps = 2
		r := faulttest.Explore(t, test, faulttest.Options{GoodReads: true, Recover: 3, RecoverKills: 5, RecoverFaults: 2,
			Schedules: 2, KeepGoing: true, Quiet: true})
		fmt.Fprintf(&b, "%+v\n%s", s, r)
		for _, f := range r.Failures {
			fmt.Fprintln(&b, f)
		}
	}
	return b.String()
}

// child is set in the environment of a process that is to write what tell says to the file of that name.
const child = "FAULTTEST_CHILD"

// An exploration that is repeated, in this process or in another, is the same to the byte, with the same failures under the
// same tokens.
func TestAnExplorationIsTheSameEachTime(t *testing.T) {
	if name := os.Getenv(child); name != "" {
		if err := os.WriteFile(name, []byte(tell(t)), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, times := tell(t), 200
	if testing.Short() {
		times = 10
	}
	n := strings.Count(want, "replay with token")
	if n < 20 {
		t.Fatalf("%d failures prove nothing", n)
	}
	t.Logf("%d bytes, %d failures, %d times", len(want), n, times)
	for i := range times - 1 {
		if got := tell(t); got != want {
			t.Fatalf("the %dth time it says\n%s\nand the first time\n%s", i+2, got, want)
		}
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
	if !bytes.Equal(got, []byte(want)) {
		t.Errorf("in another process it says\n%s\nand here\n%s", got, want)
	}
}
