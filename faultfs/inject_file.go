package faultfs

import (
	"io"
	"io/fs"
	"syscall"
)

// injectedReader is what Open returns: a file to read, or a folder.
type injectedReader struct {
	fs.File
	in   *Injector
	name string
}

func (f *injectedReader) Read(p []byte) (int, error) {
	n, cut, err := f.in.begin(Call{Op: OpRead, Name: f.name, Len: int64(len(p))})
	if err != nil {
		return 0, err
	}
	if cut && n == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	return f.File.Read(p[:n])
}

// ReadDir makes a folder's handle an fs.ReadDirFile; on a file it fails.
func (f *injectedReader) ReadDir(n int) ([]fs.DirEntry, error) {
	folder, ok := f.File.(fs.ReadDirFile)
	if !ok {
		return nil, &fs.PathError{Op: "readdir", Path: f.name, Err: syscall.ENOTDIR}
	}
	if err := f.in.whole(Call{Op: OpReadDir, Name: f.name}); err != nil {
		return nil, err
	}
	return folder.ReadDir(n)
}

// injectedFile is what OpenFile returns. file is the same file as the reader's,
// with all its methods.
type injectedFile struct {
	injectedReader
	file File
}

func (f *injectedFile) ReadAt(p []byte, off int64) (int, error) {
	n, cut, err := f.in.begin(Call{Op: OpReadAt, Name: f.name, Off: off, Len: int64(len(p))})
	if err != nil {
		return 0, err
	}
	done, err := f.file.ReadAt(p[:n], off)
	if cut && err == nil {
		err = io.ErrUnexpectedEOF
	}
	return done, err
}

func (f *injectedFile) WriteAt(p []byte, off int64) (int, error) {
	n, cut, err := f.in.begin(Call{Op: OpWrite, Name: f.name, Off: off, Len: int64(len(p))})
	if err != nil {
		return 0, err
	}
	done, err := f.file.WriteAt(p[:n], off)
	if cut && err == nil {
		err = &fs.PathError{Op: "write", Path: f.name, Err: errCut}
	}
	return done, err
}

func (f *injectedFile) Truncate(size int64) error {
	if err := f.in.whole(Call{Op: OpTruncate, Name: f.name, Len: size}); err != nil {
		return err
	}
	return f.file.Truncate(size)
}

func (f *injectedFile) Allocate(off, n int64) error {
	done, cut, err := f.in.begin(Call{Op: OpAllocate, Name: f.name, Off: off, Len: n})
	if err != nil {
		return err
	}
	if !cut {
		return f.file.Allocate(off, n)
	}
	if done > 0 {
		if err := f.file.Allocate(off, done); err != nil {
			return err
		}
	}
	return &fs.PathError{Op: "allocate", Path: f.name, Err: errCut}
}

func (f *injectedFile) SyncData() error {
	if err := f.in.whole(Call{Op: OpSyncData, Name: f.name}); err != nil {
		return err
	}
	return f.file.SyncData()
}

func (f *injectedFile) Writeback() error {
	if err := f.in.whole(Call{Op: OpWriteback, Name: f.name}); err != nil {
		return err
	}
	return f.file.Writeback()
}

func (f *injectedFile) Sync() error {
	if err := f.in.whole(Call{Op: OpSync, Name: f.name}); err != nil {
		return err
	}
	return f.file.Sync()
}
