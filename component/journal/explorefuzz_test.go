package journal_test

import (
	"testing"

	"batpak/faultfs"
	"batpak/faultfs/faulttest"
)

// The fuzzer chooses how much is done, in which order, what fails, where the power is lost and what is
// left then: also what is too much to be explored one by one.
func FuzzExplore(f *testing.F) {
	faulttest.Fuzz(f, exploredTest(faultfs.POSIX, 5), faulttest.Options{Schedules: 16})
}
