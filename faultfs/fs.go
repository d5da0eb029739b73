package faultfs

import (
	"errors"
	"io"
	"io/fs"
)

// ErrLocked is found in the error of [FS.Lock] when somebody holds the lock:
// another process, or this one.
var ErrLocked = errors.New("already locked")

// FS is a folder on a disk. It is safe for concurrent use. Package faulttest has
// the tests that every implementation must pass.
//
// No operation syncs anything by itself, except SyncDir and the two syncs of
// [File]. OpenFile with os.O_CREATE, Rename, Remove and Mkdir change names, and
// a change of names may be undone by a crash until SyncDir of the folder that
// holds the name has returned nil. Several such changes may be undone in any
// combination, not only the last ones.
type FS interface {
	// Open opens a file or a folder for reading. A folder's handle is an
	// [fs.ReadDirFile].
	fs.FS

	// ReadDir lists a folder, sorted by name.
	fs.ReadDirFS

	// OpenFile opens a file. The flags are one of os.O_RDONLY, os.O_WRONLY and
	// os.O_RDWR, and any of os.O_CREATE, os.O_EXCL and os.O_TRUNC; any other is
	// refused with fs.ErrInvalid. The permission bits, less the umask, are those
	// of a file that is created, and are not applied to one that exists. A
	// handle for reading only refuses to change the file, and one for writing
	// only refuses to read it. A folder does not open for writing.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)

	// Rename gives a file another name. A file that had the new name is
	// replaced, atomically for those who look: they see the old file or the new
	// one. It does not write out the bytes of the file: when those were not
	// synced before, a crash may leave the new name with a part of them. A file
	// that is renamed to the name it has stays. A folder can be renamed too, but
	// nothing to the name of a folder: that is refused with fs.ErrExist.
	Rename(oldname, newname string) error

	// Remove removes a file or an empty folder. Handles that are open on a file
	// that is removed or replaced by another go on reading and writing it.
	Remove(name string) error

	// Mkdir makes one folder whose parent exists.
	Mkdir(name string, perm fs.FileMode) error

	// SyncDir makes the names in a folder durable: what was created, renamed
	// and removed in it before the call. It does not sync the bytes of the
	// files, nor the names inside of its sub-folders.
	SyncDir(name string) error

	// Lock takes the exclusive lock that the named file stands for, and makes
	// the file when it is missing. It does not wait: it fails with ErrLocked
	// when the lock is held, by another process or by this one. Closing the
	// result releases it, and so does the end of the process, however it ends.
	// The file stays where it is; removing it while somebody may lock it lets
	// two holders in. The lock is advisory and, on a network file system, worth
	// what that file system makes of it.
	Lock(name string) (io.Closer, error)
}

// File is an open file. ReadAt and WriteAt may be called concurrently with each
// other and with the syncs; Read shares one position and may not.
//
// Concurrent writes to bytes that overlap leave either, or a mixture. A read
// that overlaps a write may see a part of it.
//
// A negative offset or size is refused.
type File interface {
	// Stat, Read and Close. Close syncs nothing, and may hide the fact that
	// bytes could not be written: only a sync tells.
	fs.File

	io.ReaderAt

	// WriteAt writes at an offset, and makes the file longer when it must; a gap
	// reads as zeros. When it fails, n bytes were accepted, and the bytes after
	// them may have been too. What it accepted is durable only after a sync,
	// and until then a crash may keep any part of it: sectors of 512 bytes in
	// any order, with the size of the file from before or from after.
	io.WriterAt

	// Truncate sets the size. Bytes that come into being read as zeros, and
	// have no blocks reserved.
	Truncate(size int64) error

	// Allocate reserves disk blocks for the n bytes at off, and makes the file
	// off+n bytes long when it was shorter. What was in the range stays; the
	// new bytes read as zeros. After it, writing into the range does not fail
	// for want of space: ENOSPC comes from here, up front. When it fails the file
	// may have grown by a part of what was asked. It is durable only after a
	// sync. Where the system cannot reserve blocks, zeros are written from the
	// end of the file to off+n, and a hole before that stays a hole.
	//
	// It does not by itself make SyncData faster. A reserved block that was never
	// written has to be marked as written when it first is, and a sync waits for
	// that as it does for a new size. Whoever wants the quick sync writes zeros
	// over the range, and syncs them, ahead of time.
	Allocate(off, n int64) error

	// SyncData makes the bytes written before the call durable, and the size
	// they need to be read back, but not the file's times or mode, nor its name:
	// for that see FS.SyncDir. After an error nothing is known about what was
	// written since the last sync that returned nil; calling again does not help.
	SyncData() error

	// Writeback asks that what was written so far reach the disk, and waits for
	// it. It promises nothing: only SyncData and Sync do. It is for pacing: a
	// large file that is written piece by piece does not leave all of its pages
	// to one sync. Its error counts as one of SyncData, which may not see it
	// again.
	Writeback() error

	// Sync is SyncData and the rest of what is known about the file: times,
	// mode, owner. It does not sync the name either.
	Sync() error
}
