package faultfs

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"syscall"
)

// injectedReader is what Open returns: a file to read, or a folder.
type injectedReader struct {
	fs.File
	in   *Injector
	name string
}

func (f *injectedReader) Read(p []byte) (int, error) {
	o := f.in.begin(Call{Op: OpRead, Name: f.name, Len: int64(len(p))}, effectShort, effectFlip)
	if o.err != nil {
		return 0, o.err
	}
	if o.cut != nil && o.n == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := f.File.Read(p[:o.n])
	o.flip(p[:max(n, 0)])
	return n, err
}

// flip spoils the first byte that was read, when the effect is that.
func (o *outcome) flip(p []byte) {
	if o.effect.kind == effectFlip && len(p) > 0 {
		p[0] ^= o.effect.mask
	}
}

// ReadDir makes a folder's handle an fs.ReadDirFile; on a file it fails.
func (f *injectedReader) ReadDir(n int) ([]fs.DirEntry, error) {
	folder, ok := f.File.(fs.ReadDirFile)
	if !ok {
		return nil, &fs.PathError{Op: "readdir", Path: f.name, Err: syscall.ENOTDIR}
	}
	if o := f.in.begin(Call{Op: OpReadDir, Name: f.name}); o.err != nil {
		return nil, o.err
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
	o := f.in.begin(Call{Op: OpReadAt, Name: f.name, Off: off, Len: int64(len(p))}, effectShort, effectFlip, effectStale)
	if o.err != nil {
		return 0, o.err
	}
	if o.effect.kind == effectStale {
		sim, ok := f.file.(*simFile)
		if !ok {
			return 0, &fs.PathError{Op: "readat", Path: f.name, Err: errors.ErrUnsupported}
		}
		return sim.readStale(p, off)
	}
	n, err := f.file.ReadAt(p[:o.n], off)
	o.flip(p[:max(n, 0)])
	if o.cut != nil && err == nil {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (f *injectedFile) WriteAt(p []byte, off int64) (int, error) {
	c := Call{Op: OpWrite, Name: f.name, Off: off, Len: int64(len(p))}
	o := f.in.begin(c, effectShort, effectLie, effectLate, effectQuota)
	if o.err != nil {
		return 0, o.err
	}
	switch o.effect.kind {
	case effectLie:
		return len(p), nil
	case effectLate:
		late := slices.Clone(p)
		f.in.postpone(f, c, func() error { _, err := f.file.WriteAt(late, off); return err })
		return len(p), nil
	case effectQuota:
		if err := f.quota(&o, c); err != nil {
			return 0, err
		}
	}
	defer f.in.catchUp()()
	n, err := f.file.WriteAt(p[:o.n], off)
	if o.cut != nil && err == nil {
		err = &fs.PathError{Op: "write", Path: f.name, Err: o.cut}
	}
	return n, err
}

// quota cuts an operation on the file to what a quota allows.
func (f *injectedFile) quota(o *outcome, c Call) error {
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	more := max(c.Off+c.Len-info.Size(), 0)
	left, err := f.in.room(o.effect, c.Op, f.name, more)
	if errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if err != nil {
		o.n, o.cut = max(c.Len-(more-left), 0), errOverQuota
	}
	return nil
}

func (f *injectedFile) Truncate(size int64) error {
	return f.in.changeFile(f, Call{Op: OpTruncate, Name: f.name, Len: size}, func() error { return f.file.Truncate(size) }, nil)
}

func (f *injectedFile) Allocate(off, n int64) error {
	c := Call{Op: OpAllocate, Name: f.name, Off: off, Len: n}
	o := f.in.begin(c, effectShort, effectLie, effectLate, effectQuota)
	if o.err != nil {
		return o.err
	}
	switch o.effect.kind {
	case effectLie:
		return nil
	case effectLate:
		f.in.postpone(f, c, func() error { return f.file.Allocate(off, n) })
		return nil
	case effectQuota:
		if err := f.quota(&o, c); err != nil {
			return err
		}
	}
	defer f.in.catchUp()()
	if o.cut == nil {
		return f.file.Allocate(off, n)
	}
	if o.n > 0 {
		if err := f.file.Allocate(off, o.n); err != nil {
			return err
		}
	}
	return &fs.PathError{Op: "allocate", Path: f.name, Err: o.cut}
}

func (f *injectedFile) Writeback() error {
	return f.in.changeFile(f, Call{Op: OpWriteback, Name: f.name}, f.file.Writeback, nil)
}

// Close comes after what is late on the file.
func (f *injectedFile) Close() error {
	f.in.mu.Lock()
	waits := slices.ContainsFunc(f.in.late, func(l late) bool { return l.file == f })
	f.in.mu.Unlock()
	if waits {
		f.in.postpone(f, Call{}, f.file.Close)
		return nil
	}
	return f.file.Close()
}

func (f *injectedFile) SyncData() error { return f.sync(OpSyncData, f.file.SyncData) }
func (f *injectedFile) Sync() error     { return f.sync(OpSync, f.file.Sync) }

func (f *injectedFile) sync(op Op, do func() error) error {
	return f.in.changeFile(f, Call{Op: op, Name: f.name}, do, func() error {
		if sim, ok := f.file.(*simFile); ok {
			return sim.failSync(op.String())
		}
		return &fs.PathError{Op: op.String(), Path: f.name, Err: syscall.EIO}
	})
}
