// Package faultfs is the seam through which a program touches the disk, so
// that a test can make the disk fail.
//
// [FS] and [File] are what a program that keeps its promises across a crash
// needs, and no more: positioned reads and writes, preallocation, the two
// kinds of file sync, the sync of a directory, rename, and a lock. [Dir] is
// the real implementation, over an [os.Root]; [Sub] looks at one folder of
// another FS; [Inject] wraps an FS so that chosen operations fail, fall short
// or wait. Code that takes an FS runs unchanged over each of them. [Publish]
// replaces a whole file so that a crash leaves the old bytes or the new ones.
// Package faulttest checks that an implementation keeps to the contract.
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
// # Faults
//
// A [Rule] names operations ([Op], a set), a name pattern, and which of the
// matching operations is meant: the n-th, each, or each from the n-th on. Its
// [Effect] happens to those. An [Injector] also counts what went through it
// and keeps the trace, so a test can say not only that an error came back but
// also that nothing was written after it.
package faultfs
