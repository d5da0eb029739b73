package faulttest

import (
	"fmt"
	"runtime/debug"

	"batpak/faultfs"
)

// Test is a program that promises something about a disk, and what is to be found
// there afterwards. Both functions are called very often, on many disks.
//
// They may start goroutines, which must have ended when they return. They run in
// a [testing/synctest] bubble, with its rules: time is virtual, no mutex is held
// during an operation on the disk, and [testing/synctest.Wait] is taken. Randomness of
// crypto/rand is the same in each run. What else is random or depends on the order
// of a map, and reaches the disk, makes failures hard to repeat.
type Test struct {
	// Model is the disk's.
	Model faultfs.Model

	// Steps is how many steps the workload has, at least 1.
	Steps int

	// Run does the first steps of the workload on an empty disk, and calls ack with
	// something that tells what was promised, right when it was: from then on it must
	// survive. When the disk fails it may return an error; it must end what it started
	// all the same. When the disk does not fail an error is a failure of the test.
	Run func(fsys faultfs.FS, steps int, ack func(promise any)) error

	// Check opens what a crash left, which may be nothing at all, compares it with what
	// was acknowledged, in that order, and uses it a little, calling ack for further
	// promises. It returns nil when all is well, a [Violation] when something that was
	// promised is not so, and any other error when the program refused.
	Check func(fsys faultfs.FS, acked []any, ack func(promise any)) error
}

// Violation is an error that says that a promise was broken: something
// acknowledged is missing, or something is there that must not be. A disk that
// fails is no excuse for it.
type Violation struct{ Reason string }

func (v *Violation) Error() string { return v.Reason }

// Violated makes a Violation. The arguments are those of fmt.Sprintf.
func Violated(format string, args ...any) error {
	return &Violation{Reason: fmt.Sprintf(format, args...)}
}

// guarded calls f, and turns a panic into a Violation.
func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = Violated("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}
