package faultfs

import (
	"errors"
	"io/fs"
	"os"
	"path"
)

// TempSuffix is what Publish adds to a name for its temporary file. A crash may
// leave such a file behind; it is never part of what was published, and the
// next Publish of the name replaces it.
const TempSuffix = ".tmp"

// Publish makes data the whole contents of the named file, atomically and
// durably: it writes name+TempSuffix in the same folder, syncs it, renames it
// over the name and syncs the folder. When it returns nil the new contents
// survive a crash. A crash at any moment leaves the old contents or the new.
//
// When it returns an error the temporary file was removed if that was possible.
// If the rename was not reached or failed, the old contents are untouched. If
// only the sync of the folder failed, the new contents are there to be read but
// a crash may bring the old back: the caller goes by the error, treats the new
// contents as not published, and publishes again.
//
// Two calls for one name must not run at the same time.
func Publish(fsys FS, name string, data []byte, perm fs.FileMode) error {
	if err := Replace(fsys, name, data, perm); err != nil {
		return err
	}
	return fsys.SyncDir(path.Dir(name))
}

// Replace is Publish without the sync of the folder, which the caller does: once, for
// many files. Until then a crash may bring the old contents back, or leave no file of
// the name when there was none.
func Replace(fsys FS, name string, data []byte, perm fs.FileMode) error {
	temp := name + TempSuffix
	f, err := createTemp(fsys, temp, perm)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		// Before the rename: a rename may be durable before the bytes are.
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = fsys.Rename(temp, name)
	}
	if err != nil {
		_ = fsys.Remove(temp) // best effort: the error that matters is the first
	}
	return err
}

// createTemp makes the temporary file anew. One that a crash left may have other
// permission bits, or be open elsewhere, so it is removed and not reused.
func createTemp(fsys FS, temp string, perm fs.FileMode) (File, error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := fsys.OpenFile(temp, flags, perm)
	if !errors.Is(err, fs.ErrExist) {
		return f, err
	}
	if err := fsys.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return fsys.OpenFile(temp, flags, perm)
}
