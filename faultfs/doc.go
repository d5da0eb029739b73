// Package faultfs is the seam through which a program touches the disk, so
// that a test can make the disk fail, kill the program, and take the power away.
// It needs the standard library and golang.org/x/sys alone, and knows nothing of
// the program.
//
// # The seam
//
// [FS] and [File] are what a program that keeps its promises across a crash
// needs, and no more: positioned reads and writes, preallocation, the two
// kinds of file sync, the sync of a directory, rename, and a lock. Code that takes
// an FS runs unchanged over each of these:
//
//   - [Dir] is the real disk, over an [os.Root].
//   - [Mount] is a simulated disk in memory, which knows what of it is durable.
//   - [Inject] wraps an FS so that chosen operations fail, fall short, wait, lie or
//     give wrong bytes.
//   - [Sub] is one folder of another FS.
//
// [Publish] replaces a whole file so that a crash leaves the old bytes or the new
// ones. Package faulttest checks that an implementation keeps to the contract, and
// explores the crashes and faults of a program.
//
// # What is durable
//
// The comments of FS and File say what is promised and what is not. In short,
// until the sync that covers it has returned nil, anything may be lost:
//
//   - Bytes written, and the size of a file, are durable after SyncData or
//     Sync on that file. Before that any part of them may be missing after a
//     crash, in any order, or read back as zeros.
//   - A name that was created, renamed or removed is durable after SyncDir of
//     the folder that holds it. Before that a new file may have vanished
//     although its bytes were synced, a renamed one may be found under its old
//     name, a removed one may be back. A rename between two folders needs both.
//   - A sync that returned an error has proved nothing, and calling it again
//     proves nothing either: the kernel may have dropped the pages it could
//     not write and marked them clean, and then the second call returns nil.
//
// # Names
//
// A name is a slash-separated path for which [fs.ValidPath] holds, relative to
// the root of the FS; "." is the root itself. Any other name is refused with
// [fs.ErrInvalid]. Symbolic links are followed only inside the root.
//
// # Errors
//
// Errors are [*fs.PathError] or [*os.LinkError] around the cause, so that
// errors.Is finds [fs.ErrNotExist], [fs.ErrExist], [fs.ErrPermission],
// [fs.ErrClosed], a [syscall.Errno] such as ENOSPC, or [ErrLocked].
//
// # Disks, mounts and crashes
//
// A [Disk] is at rest: names and bytes, of which some are durable and some are
// only in the system's cache. [Disk.Mount] boots from it. What the program does
// there changes the mount and not the disk, so one disk can be booted from again
// and again, and concurrently. A boot ends in one of two ways, and gives another disk:
//
//   - [Mount.Kill]: the program dies and the machine goes on. Everything that was
//     written is there to be read, and what was not synced may still be lost later.
//   - [Mount.Crash]: the power fails. Of what was not synced, some is lost.
//
// [Mount.Snapshot] is the disk of a kill while the mount goes on, and [Disk.Crash]
// is a loss of power after a kill, so one run can be crashed at each of its
// operations, in each way. [Disk.Digest] tells whether two crashes left the same,
// and [Disk.Image] writes it out. [Disk.Flip] and [Disk.Truncate] are rot.
//
// # Models
//
// A [Model] says what a loss of power may do. What is not synced is a list of
// units: a sector of a file, a size, a change of names. A crash keeps some of them,
// by the rules of the model, and may tear one sector. The orders in which writes and
// names survive are those that Pillai and others describe ("All File Systems Are
// Not Created Equal", OSDI 2014, where the ALICE tool finds what applications rely on);
// what a failed sync leaves behind is after Rebello and others ("Can Applications
// Recover from fsync Failures?", USENIX ATC 2020).
//
//	preset  bytes      sizes        names                fsync keeps names   failed sync             torn
//	POSIX   any order  on their own any order            no                  new bytes, look clean   a sector
//	Ext4    any order  with data    in order             all so far          new bytes, look clean   none
//	XFS     any order  with data    in order             all so far          new bytes, look clean   none
//	Btrfs   any order  with data    any order            those of the file   old bytes are back      none
//
// POSIX is what may be relied upon everywhere, and worse than any file system in
// use. The others are for finding out what a program owes to the file system that it
// runs on. They simplify: each has the weakest behaviour that its fields can say, not
// a description of a kernel's version.
//
// With up to [Model].Subsets units that are not synced, a crash can keep any subset
// of them; with more, all, none, all but one, or one.
//
// # Choices and tokens
//
// Whatever is left to chance is one call of [Choices.Intn]: which unit is lost, and
// in package faulttest also where the crash is and what fails. So the same code runs
// at random ([Seeded]), through all there is ([AllChoices]), under a fuzzer
// ([FromBytes]), and once more ([Replay]) from a token: the choices as text, such as
// "2.0x4.1". Choice 0 is the mildest, so a failure is made simpler by making its
// choices smaller. There is no other chance: not the time, not the order of a map.
//
// # Faults
//
// A [Rule] names operations ([Op], a set), a name pattern, the place in the program
// that asks, and which of the matching operations is meant: the n-th, each, or each
// from the n-th on. Its [Effect] happens to those. An [Injector] also counts what went
// through it and keeps the trace, so a test can say not only that an error came back
// but also that nothing was written after it.
//
//	Fail      an error, and nothing is done
//	Short     the first bytes only
//	Delay     waits for a time, which is virtual under testing/synctest
//	Block     waits for a channel
//	Lie       says yes and does nothing
//	Late      says yes, and is done after the next change
//	FailSync  an error, and the bytes are what the model's FailedSync says
//	Flip      a read with a wrong bit
//	Stale     a read of what is durable, not of what was written since
//	Quota     no more bytes than so many in all files
//
// # What is not modelled
//
//   - Hard links, symbolic links, memory maps, times, owners, and permissions that
//     refuse. Sync and SyncData do the same on a Mount.
//   - A file system's heuristics, such as the flush that ext4 does before a rename
//     replaces a file. [File.Writeback] does nothing, which it may.
//   - More than one torn sector in one crash, and sectors that were not written to
//     coming to harm in it.
//   - A failed sync that wrote a part of its bytes: on a Mount none are.
//   - A device that loses what it said was durable. [Lie] is for that.
//   - Room on the disk, but for Quota.
package faultfs
