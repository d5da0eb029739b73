package faultfs

import (
	"io"
	"io/fs"
	"path"
)

// Sub is the folder dir of fsys as an FS of its own. The folder need not exist
// yet: Mkdir(".") makes it, when its parent exists. Names in errors are as fsys
// sees them. It keeps a caller to the folder by name only; a symbolic link
// reaches as far as fsys lets it. When dir is not a valid path, every operation
// fails with fs.ErrInvalid.
func Sub(fsys FS, dir string) FS {
	if dir == "." {
		return fsys
	}
	return sub{fsys, dir}
}

type sub struct {
	fsys FS
	dir  string
}

func (s sub) full(op, name string) (string, error) {
	// Both are checked before they are joined: joining cleans, and would turn
	// a name that leads out of the folder into one that looks valid.
	if !fs.ValidPath(name) || !fs.ValidPath(s.dir) {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	return path.Join(s.dir, name), nil
}

func (s sub) Open(name string) (fs.File, error) {
	full, err := s.full("open", name)
	if err != nil {
		return nil, err
	}
	return s.fsys.Open(full)
}

func (s sub) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	full, err := s.full("open", name)
	if err != nil {
		return nil, err
	}
	return s.fsys.OpenFile(full, flag, perm)
}

func (s sub) ReadDir(name string) ([]fs.DirEntry, error) {
	full, err := s.full("readdir", name)
	if err != nil {
		return nil, err
	}
	return s.fsys.ReadDir(full)
}

func (s sub) Rename(oldname, newname string) error {
	from, err := s.full("rename", oldname)
	if err != nil {
		return err
	}
	to, err := s.full("rename", newname)
	if err != nil {
		return err
	}
	return s.fsys.Rename(from, to)
}

func (s sub) Remove(name string) error {
	full, err := s.full("remove", name)
	if err != nil {
		return err
	}
	return s.fsys.Remove(full)
}

func (s sub) Mkdir(name string, perm fs.FileMode) error {
	full, err := s.full("mkdir", name)
	if err != nil {
		return err
	}
	return s.fsys.Mkdir(full, perm)
}

func (s sub) SyncDir(name string) error {
	full, err := s.full("syncdir", name)
	if err != nil {
		return err
	}
	return s.fsys.SyncDir(full)
}

func (s sub) Lock(name string) (io.Closer, error) {
	full, err := s.full("lock", name)
	if err != nil {
		return nil, err
	}
	return s.fsys.Lock(full)
}
