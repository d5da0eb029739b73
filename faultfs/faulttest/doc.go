// Package faulttest tests what package faultfs is for: that an FS keeps to the
// contract, and that a program keeps its promises whatever the disk does.
//
// # Conformance
//
// Whoever makes another [faultfs.FS], such as one in memory or one that models what a
// disk forgets in a crash, calls [Conformance] from a test of their own:
//
//	func TestConforms(t *testing.T) {
//		faulttest.Conformance(t, func(t *testing.T) faultfs.FS { return newMemory(t) })
//	}
//
// It sees what a running program sees. What a crash may take away cannot be seen
// through an FS, and is not looked at.
//
// # Writing a test
//
// A [Test] is two functions and the disk's [faultfs.Model]. Run is a workload in
// steps. It uses the program and calls ack with a promise, of any type, at the moment
// from which the program must keep it: not before the call that promises has returned,
// and right then. Check is given a disk that something happened to and the promises of
// until then. It opens the program there, compares, and goes on with it a little. What
// was not promised may be there or not, as long as it is something that was on its way;
// Check must allow for both, or it finds failures that are none.
//
// Errors are of two kinds. A [Violation] says that a promise was broken, and no fault
// excuses it. Any other error says that the program refused: that is well when an
// operation was made to fail, and a failure when the disk was honest. A panic is a
// Violation.
//
// Both functions run in a [testing/synctest] bubble, where the operations of several
// goroutines come one at a time and in an order that is the same each time. The example
// of [Explore] is a whole test.
//
// # Exploring
//
// [Explore] does this:
//
//   - The workload runs, and is crashed before each operation that changes something,
//     and at its end: by a kill, and by a loss of power that leaves each image the model
//     allows.
//   - Each operation of it fails once, in each way that it can: errors, short reads and
//     writes, syncs that lose what they were about, a disk that is full from there on,
//     reads with a wrong bit or of old bytes. The run goes on with that fault, and is
//     crashed at its end; with Options.EveryFault after each operation.
//   - Each disk that comes of it is checked. Images that are equal are checked once for
//     one set of promises.
//   - The recoveries that Options.Recover and RecoverKills pick are themselves crashed
//     at each operation; of those, RecoverFaults picks the ones that have each operation fail.
//   - Options.Schedules repeats this with other orders of concurrent operations.
//
// What it does not do: two faults in one run, a crash in the recovery of a recovery,
// and more than the model's Subsets of what is not synced. [Options] has what else
// bounds it, and [Report] counts what was done.
//
// A failure has a token, the choices that led to it. It is made simpler before it is
// printed: fewer steps of the workload, fewer and smaller choices, as long as something
// fails. The flag -faultfs.replay runs it again, and nothing else.
// // [Replay] does so from a test, so that a defect which was found stays found. A token
// holds for a test, its Steps and Options.Schedules, and as long as the program does the
// same operations in the same order. [Fuzz] has a fuzzer make the choices.
//
// # Testing the test
//
// [Lies] explores with each place in the program that syncs or renames saying yes and
// doing nothing, one place at a time. A place whose lie is missed is needless, or the
// test is blind to it. [Orders] has each such call, and each write, done after the change
// that follows it: what can be swapped and is missed is an order that no promise hangs on.
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
//
// # What is explored here
//
// As printed by
//
//	go test ./component/journal ./keystore -run 'TestExplore' -v
//
//	                    operations  crash points  images  distinct  fault runs  recoveries
//	journal, POSIX             624           406   76419     15112        2795           3
//	journal, ext4              183           126   17315      2109        2374           4
//	journal, Btrfs             183           126   35530      2340        2678           5
//	erasures and renewals      174           131   97528      4249        8235          15
//	keyset, POSIX              110            92  106063      4083        5535         254
//	keyset, ext4                59            49    5382       319         721          33
//	keyset, Btrfs               59            49    5382       319         721          33
//	rekeying                    49            38   23212       387        1951          65
//
// A crash at each operation that changes something and at each end, and each operation made to
// fail: the journal's test demands that, and ten thousand distinct images, of itself. A deep run of
// the journal that was interrupted after six minutes on two cores had looked at 10,013,714 images,
// 234,070 of them distinct, and at 6,892 recoveries, without a failure.
//
// Recoveries are those that were crashed and made to fail at each operation.
//
// The same command tells lies about each sync and each rename of the two. Each is
// caught, in all of these places. The journal:
//
//	folders of a journal  sync of the folder that they are in             caught
//	journal.meta          sync, rename, sync of the folder                caught
//	first segment         sync of its header, rename, sync of the folder  caught
//	next segment          sync of its header, rename, sync of the folder  caught
//	group                 sync of its frames                              caught
//	index                 sync, rename, sync of the folder                caught
//	checkpoint            sync, rename, sync of the folder                caught
//	recovery              sync of the folders that were found             caught
//	recovery              sync of the frames that are written again       caught
//	recovery              sync of the mark                                caught
//	close                 sync of the mark                                caught
//
// The keyset, by itself and within the journal:
//
//	new keyset            sync, rename, sync of the folder                caught
//	flush                 sync of the records                             caught
//	flush                 sync of what was seen of the log                caught
//	flush                 sync of the keys that are wiped                 caught
//	flush after a load    sync of what was found                          caught
//	flush after a load    sync of the folder                              caught, by the keyset's test
package faulttest
