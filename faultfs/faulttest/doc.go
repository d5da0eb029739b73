// Package faulttest is the contract of package faultfs as tests. Whoever makes
// another [faultfs.FS], such as one in memory or one that models what a disk
// forgets in a crash, calls [Conformance] from a test of their own:
//
//	func TestConforms(t *testing.T) {
//		faulttest.Conformance(t, func(t *testing.T) faultfs.FS { return newMemory(t) })
//	}
//
// It sees what a running program sees. What a crash may take away cannot be seen
// through an FS, and is not looked at.
package faulttest
