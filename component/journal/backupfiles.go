package journal

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"batpak/faultfs"
	"batpak/keystore"
)

// incompleteName is in a folder that a journal is being copied into. While it is there, and no meta, nothing
// is a journal and none is made.
const incompleteName = "INCOMPLETE"

// ErrNotEmpty means that a copy was to go into a folder that has something in it.
var ErrNotEmpty = errors.New("folder is not empty")

// TargetError says that a backup failed where it was to go, and not where it came from.
type TargetError struct{ Err error }

func (e *TargetError) Error() string { return e.Err.Error() }
func (e *TargetError) Unwrap() error { return e.Err }

func ofTarget(err error) error {
	if err == nil {
		return nil
	}
	return &TargetError{err}
}

// marked is a destination whose errors are TargetErrors.
type marked struct{ to destination }

func (m marked) create(name string, size int64) (io.WriteCloser, error) {
	w, err := m.to.create(name, size)
	return markedFile{w}, ofTarget(err)
}

func (m marked) noKeys(ctx context.Context, g keystore.Granularity) error {
	return ofTarget(m.to.noKeys(ctx, g))
}

func (m marked) finish(meta []byte) error { return ofTarget(m.to.finish(meta)) }

type markedFile struct{ io.WriteCloser }

func (f markedFile) Write(p []byte) (int, error) {
	n, err := f.WriteCloser.Write(p)
	return n, ofTarget(err)
}

func (f markedFile) Close() error { return ofTarget(f.WriteCloser.Close()) }

// folder is a destination on a disk, durable file by file.
type folder struct{ fsys faultfs.FS }

// newFolder begins a copy in an empty folder.
func newFolder(fsys faultfs.FS) (*folder, error) {
	entries, err := fsys.ReadDir(".")
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%w: it has %q", ErrNotEmpty, entries[0].Name())
	}
	if err != nil {
		return nil, fmt.Errorf("journal: copy into a folder: %w", err)
	}
	d := &folder{fsys}
	f, err := fsys.OpenFile(incompleteName, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // one copy at a time
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%w: it has %q", ErrNotEmpty, incompleteName)
	}
	if err != nil {
		return nil, fmt.Errorf("journal: copy into a folder: %w", err)
	}
	_, err = f.WriteAt([]byte("A journal is being copied here. It is not whole while there is no "+metaName+".\n"), 0)
	err = errors.Join(err, f.Close())
	for _, dir := range []string{segmentDir, keysDir} {
		if err == nil {
			err = fsys.Mkdir(dir, 0o700)
		}
	}
	if err == nil {
		err = fsys.SyncDir(".")
	}
	if err != nil {
		d.discard()
		return nil, fmt.Errorf("journal: copy into a folder: %w", err)
	}
	return d, nil
}

// checkComplete refuses to make a journal where a copy of one was interrupted.
func checkComplete(fsys faultfs.FS) error {
	f, err := fsys.Open(incompleteName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	f.Close()
	return &DamageError{File: incompleteName, Offset: -1, Reason: "a copy into this folder was interrupted: empty the folder and copy again"}
}

func (d *folder) create(name string, size int64) (io.WriteCloser, error) {
	f, err := d.open(name, size)
	if err != nil {
		return nil, err
	}
	if err := f.file.Allocate(0, size); err != nil { // that there is no room is found out at once
		f.file.Close()
		return nil, fmt.Errorf("allocate %d bytes: %w", size, err)
	}
	return f, nil
}

func (d *folder) open(name string, size int64) (*folderFile, error) {
	f, err := d.fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	return &folderFile{file: f, size: size}, err
}

func (d *folder) noKeys(ctx context.Context, g keystore.Granularity) error {
	return newKeys(ctx, d.fsys, g, keystore.Options{Reserve: -1})
}

// newKeys makes a keyset without keys.
func newKeys(ctx context.Context, fsys faultfs.FS, g keystore.Granularity, o keystore.Options) error {
	s, err := keystore.New(ctx, faultfs.Sub(fsys, keysDir), g, o)
	if err != nil {
		return err
	}
	return s.Close()
}

func (d *folder) finish(meta []byte) error {
	if err := d.syncNames(); err != nil {
		return err
	}
	if err := faultfs.Publish(d.fsys, metaName, meta, 0o600); err != nil {
		return err
	}
	if err := d.fsys.Remove(incompleteName); err != nil {
		return err
	}
	return d.fsys.SyncDir(".")
}

func (d *folder) syncNames() error {
	for _, dir := range []string{segmentDir, keysDir, "."} {
		if err := d.fsys.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// discard removes what was copied, as far as the disk lets it: the meta first, what says that the copy is not
// complete last. All that is there was put there by the copy.
func (d *folder) discard() {
	if remove(d.fsys, metaName) != nil || d.fsys.SyncDir(".") != nil {
		return
	}
	for _, dir := range []string{segmentDir, keysDir} {
		entries, err := d.fsys.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		for _, e := range entries {
			err = errors.Join(err, d.fsys.Remove(dir+"/"+e.Name()))
		}
		if err != nil || d.fsys.Remove(dir) != nil {
			return
		}
	}
	for _, name := range []string{manifestName, checkpointName, checkpointName + faultfs.TempSuffix, historyName, historyName + faultfs.TempSuffix, metaName + faultfs.TempSuffix, lockName} {
		if remove(d.fsys, name) != nil {
			return
		}
	}
	if d.fsys.SyncDir(".") == nil {
		_ = remove(d.fsys, incompleteName) // it stays: then the folder is not empty, and somebody looks
	}
}

// folderFile is written from front to back.
type folderFile struct {
	file      faultfs.File
	pos, size int64
	waited    int64 // up to where the disk was waited for
}

func (f *folderFile) Write(p []byte) (int, error) {
	if f.pos+int64(len(p)) > f.size {
		return 0, fmt.Errorf("more than %d bytes", f.size)
	}
	n, err := f.file.WriteAt(p, f.pos)
	f.pos += int64(n)
	if err == nil && f.pos-f.waited >= 8*zeroChunk {
		err = f.file.Writeback()
		f.waited = f.pos
	}
	return n, err
}

func (f *folderFile) Close() error {
	err := f.file.Sync()
	if err == nil && f.pos != f.size {
		err = fmt.Errorf("%d bytes of %d: %w", f.pos, f.size, io.ErrUnexpectedEOF)
	}
	return errors.Join(err, f.file.Close())
}

// archive is a destination that is a stream in the tar format.
type archive struct {
	w     *tar.Writer
	taken time.Time
}

func (a *archive) create(name string, size int64) (io.WriteCloser, error) {
	err := a.w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: a.taken.Truncate(time.Second),
		Format: tar.FormatUSTAR, // the one without extensions: a reader has nothing to believe
	})
	return archiveFile{a.w}, err
}

func (a *archive) noKeys(context.Context, keystore.Granularity) error { return nil }

func (a *archive) finish(meta []byte) error {
	w, err := a.create(metaName, int64(len(meta)))
	if err == nil {
		_, err = w.Write(meta)
	}
	if err != nil {
		return err
	}
	return a.w.Close()
}

type archiveFile struct{ *tar.Writer }

// Close says whether all bytes of the file were written.
func (f archiveFile) Close() error { return f.Flush() }
