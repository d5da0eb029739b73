package keystore

import (
	"testing"

	"batpak/faultfs"
	"batpak/faultfs/faulttest"
)

// The fuzzer chooses how much is done, what fails, where the power is lost and what is left then.
func FuzzExplore(f *testing.F) {
	test := faulttest.Test{Model: faultfs.POSIX, Steps: 7, Run: exploredWorkload, Check: exploredCheck}
	faulttest.Fuzz(f, test, faulttest.Options{})
}
