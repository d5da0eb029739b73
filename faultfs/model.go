package faultfs

// Model is what a crash may do to what was not synced. The zero Model, with the
// defaults of its fields, is the mildest: writes survive as a prefix, whole
// sectors, names in the order of a journal.
//
// What survives is decided in units. A write is one unit for each sector that it
// touches, which has the whole sector and the size that the file has at least with
// it; a sector that a write leaves as it was, in the cache and on the disk, is none.
// A change of size is one unit. A create, rename, remove or mkdir is one, or two when
// it concerns two folders and Namespace is Arbitrary.
type Model struct {
	// Sector is the largest number of bytes that reaches the disk whole or not
	// at all. 0 means 512.
	Sector int

	// TearSector lets a crash tear one unsynced sector: of the bytes that changed,
	// only the first or the last half arrived, or garbage did. Bytes that were the
	// same before and after stay as they are. Of the other units, with Reorder all or
	// none are kept, and without it those that came before.
	TearSector bool

	// Reorder keeps any subset of the unsynced units. Without it they survive in
	// the order in which they came to be: a prefix.
	Reorder bool

	// SizeFirst makes the growth of a file a unit of its own, so that a file can be
	// found long enough and with zeros where its bytes should be.
	SizeFirst bool

	// Namespace says in which order changes of names become durable.
	Namespace NameOrder

	// FsyncSavesName makes a sync of a file also keep its name: where names are
	// Journaled every change of names so far, else those that lead to the file, with
	// the folders on the way, and what was done to the same names before.
	FsyncSavesName bool

	// FailedSync says what becomes of the bytes that a failed sync was about.
	FailedSync FailedSync

	// Subsets bounds the search: up to so many units that are not synced, every
	// subset of them is looked at. With more, it is all, none, each one missing,
	// and each one alone. 0 means 10.
	Subsets int
}

// NameOrder is the order in which changes of names become durable.
type NameOrder uint8

const (
	// Journaled names become durable in the order of the changes: a crash keeps a
	// prefix, and a SyncDir of any folder keeps all that came before it.
	Journaled NameOrder = iota

	// Arbitrary names become durable in any order until their folder is synced.
	Arbitrary
)

// FailedSync is what becomes of the bytes that a failed sync was about. In each
// case the call has returned an error.
type FailedSync uint8

const (
	// KeepClean leaves the new bytes to be read, and takes them for written: the
	// next sync has nothing to do and says yes, and a loss of power takes them.
	KeepClean FailedSync = iota

	// Revert brings the old bytes back at once: what is read is what is on the
	// disk.
	Revert

	// Redirty leaves the bytes to be written by the next sync.
	Redirty
)

// What file systems do. Pillai and others, "All File Systems Are Not Created
// Equal" (OSDI 2014), have the orders in which writes and names survive on them;
// Rebello and others, "Can Applications Recover from fsync Failures?" (USENIX ATC
// 2020), have what a failed fsync leaves behind.
var (
	// POSIX is what may be relied upon everywhere: nothing but the syncs. It is
	// worse than any file system in use, which is the point: whoever survives it
	// survives them.
	POSIX = Model{TearSector: true, Reorder: true, SizeFirst: true, Namespace: Arbitrary, FailedSync: KeepClean}

	// Ext4 is ext4 with data=ordered and delayed allocation: names go through the
	// journal in order, a sync of a file commits the journal with all names so far,
	// bytes are in any order but before the size that shows them, and a failed
	// sync leaves pages that look clean.
	Ext4 = Model{Reorder: true, Namespace: Journaled, FsyncSavesName: true, FailedSync: KeepClean}

	// XFS is XFS: as ext4 as far as this model goes. A sync of a file forces the
	// log, sizes change when the bytes are there, and a failed sync leaves pages
	// that look clean.
	XFS = Model{Reorder: true, Namespace: Journaled, FsyncSavesName: true, FailedSync: KeepClean}

	// Btrfs is Btrfs: names of different files in any order until they are synced, a
	// sync of a file logs the names that lead to it, a file's size follows its
	// copied-on-write bytes, and a failed sync shows the old bytes again.
	Btrfs = Model{Reorder: true, Namespace: Arbitrary, FsyncSavesName: true, FailedSync: Revert}
)

func (m Model) withDefaults() Model {
	if m.Sector <= 0 {
		m.Sector = 512
	}
	if m.Subsets <= 0 {
		m.Subsets = 10
	}
	return m
}
