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
//
// And it drives programs over a simulated disk: [Explore] crashes a workload at
// every operation, in every way, and makes every operation fail; [Lies] and [Orders]
// test such a test; [Fuzz] chooses by the fuzzer's bytes.
//
// # Flags
//
// Tests of packages that import this one have two flags. They go behind the name of
// one package, since others do not know them:
//
//	go test ./component/journal -run 'TestExploreJournal$' -faultfs.deep -timeout 0 -v
//	go test ./component/journal -run TestRotIsNeverServed -faultfs.deep -timeout 0 -v
//	go test ./keystore -run 'TestExploreKeyset$' -faultfs.deep -timeout 0 -v
//
// explore as far as the deep [Bounds] go, for minutes or hours, and tell every two seconds how
// far they are; Ctrl-C ends them with the report. -v shows it while it happens.
//
//	go test ./component/journal -run TestExploreJournal/POSIX -faultfs.replay=TOKEN -v
//
// runs the one experiment of a failure; with -faultfs.deep too when it was found with
// that, since a token is of the bounds.
package faulttest
