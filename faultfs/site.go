package faultfs

import (
	"runtime"
	"slices"
	"strings"
)

// siteFrames is how many functions a site names.
const siteFrames = 3

// site is the functions that led to an operation, such as
// "keystore.(*Store).Flush > faultfs.Publish": up to three, without line numbers,
// so that it stays the same while the program is edited. The methods of this
// package are left out, and so are functions in test files when there are others.
func site() string {
	var pcs [24]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	var program, tests []string // innermost first
	for more := true; more && len(program) < siteFrames; {
		var f runtime.Frame
		f, more = frames.Next()
		name := f.Function[strings.LastIndexByte(f.Function, '/')+1:]
		switch {
		case name == "", strings.HasPrefix(name, "runtime."), strings.HasPrefix(name, "testing."), ownMethod(name):
		case strings.HasSuffix(f.File, "_test.go"):
			tests = append(tests, name)
		default:
			program = append(program, name)
		}
	}
	if len(program) == 0 {
		program = tests[:min(len(tests), siteFrames)]
	}
	slices.Reverse(program)
	return strings.Join(program, " > ")
}

// ownMethod says whether a function is a method of this package, or what is in
// one, or belongs to the explorer.
func ownMethod(name string) bool {
	if strings.HasPrefix(name, "faulttest.") {
		return true
	}
	rest, ok := strings.CutPrefix(name, "faultfs.")
	return ok && (strings.HasPrefix(rest, "(") || strings.HasPrefix(rest, "sub."))
}
