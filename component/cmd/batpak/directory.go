package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/keystore"
)

// metaFile is in every directory that has a journal.
const metaFile = "journal.meta"

// withDir gives the files of a journal's directory to a function.
func withDir(dir string, do func(fsys faultfs.FS) error) error {
	if _, err := os.Stat(filepath.Join(dir, metaFile)); err != nil {
		return inDir(dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return inDir(dir, err)
	}
	defer root.Close()
	return do(faultfs.Dir(root))
}

// withJournal opens the journal in a directory, which nobody serves, for a function. Name is checked when it
// is not empty, and the key-encryption key is forgotten.
func withJournal(ctx context.Context, dir, name string, keys keystore.Wrapper, do func(j *journal.Journal) error) error {
	defer forget(keys)
	return withDir(dir, func(fsys faultfs.FS) error {
		j, err := journal.Open(ctx, fsys, journal.Options{Name: name, Keys: keystore.Options{Wrapper: keys}})
		if err != nil {
			return inDir(dir, err)
		}
		err = do(j)
		if e := j.Close(); err == nil {
			err = inDir(dir, e)
		}
		return err
	})
}

// hasJournal says whether a directory has a journal.
func hasJournal(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, metaFile))
	return !errors.Is(err, fs.ErrNotExist)
}
