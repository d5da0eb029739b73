package journal

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"batpak/faultfs"
	"batpak/keystore"
)

// entry is a file of a backup. It is read before the next one is asked for.
type entry struct {
	name string
	size int64
	r    io.Reader
}

// source gives the files of a backup: the segments, ascending; the keyset, if it has one; the manifest; the meta.
type source interface {
	next() (entry, error) // io.EOF behind the last one
	size() int64          // of all files, in bytes; -1 when it is not known
}

// segmentOfName returns which segment a file is, if it is one.
func segmentOfName(name string) (first uint64, ok bool) {
	digits, found := strings.CutPrefix(name, segmentDir+"/")
	if digits, ok = strings.CutSuffix(digits, segmentExt); !ok || !found || len(digits) != 16 {
		return 0, false
	}
	first, err := strconv.ParseUint(digits, 16, 64)
	return first, err == nil && first > 0 && segmentName(first) == name
}

// printName is a name that a stranger chose, for an error.
func printName(name string) string {
	if len(name) > 64 {
		name = name[:64]
	}
	return strings.Trim(strconv.Quote(name), `"`)
}

// unreadable is the error of a read from a backup.
func unreadable(name string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &BackupError{File: name, Reason: "cut off", Err: io.ErrUnexpectedEOF}
	}
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, tar.ErrFieldTooLong) {
		return &BackupError{File: name, Reason: "not the tar stream of a backup", Err: err}
	}
	if name == "" {
		return fmt.Errorf("journal: restore: read the backup: %w", err)
	}
	return fmt.Errorf("journal: restore: read %s: %w", name, err)
}

// tarSource reads a stream in the tar format.
type tarSource struct{ r *tar.Reader }

func (t *tarSource) size() int64 { return -1 }

func (t *tarSource) next() (entry, error) {
	h, err := t.r.Next()
	if err == io.EOF {
		return entry{}, io.EOF
	}
	if err != nil {
		return entry{}, unreadable("", err)
	}
	// A backup needs no extension of the format. With them a file may be larger than the bytes that stand for it.
	if h.Typeflag != tar.TypeReg || len(h.PAXRecords) > 0 || h.Format&tar.FormatUSTAR == 0 || h.Size < 0 {
		return entry{}, &BackupError{File: printName(h.Name), Reason: "not a plain file in the ustar format"}
	}
	return entry{h.Name, h.Size, t.r}, nil
}

// folderSource reads a folder that Backup has filled.
type folderSource struct {
	fsys  faultfs.FS
	names []string
	all   int64
	keys  []byte
	open  faultfs.File
}

// openBackup finds the files of a backup in a folder. What else is there does not matter.
func openBackup(ctx context.Context, fsys faultfs.FS) (*folderSource, error) {
	for _, name := range []string{metaName, manifestName} {
		_, err := fs.Stat(fsys, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, &BackupError{File: name, Reason: "missing: this folder is no backup, or one that was interrupted", Err: err}
		}
		if err != nil {
			return nil, unreadable(name, err)
		}
	}
	firsts, err := listSegments(fsys)
	if err != nil {
		return nil, &BackupError{Reason: "segments", Err: err}
	}
	s := &folderSource{fsys: fsys}
	for _, first := range firsts {
		s.names = append(s.names, segmentName(first))
	}
	f, err := fsys.Open(manifestName)
	if err != nil {
		return nil, unreadable(manifestName, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, unreadable(manifestName, err)
	}
	m, err := readManifest(entry{manifestName, info.Size(), f})
	if err != nil {
		return nil, err
	}
	if m.Keys {
		s.keys, _, err = keystore.Snapshot(ctx, faultfs.Sub(fsys, keysDir))
		if errors.Is(err, keystore.ErrDamaged) || errors.Is(err, keystore.ErrNotExist) {
			return nil, &BackupError{File: keysetName, Reason: "it does not load", Err: err}
		}
		if err != nil {
			return nil, unreadable(keysetName, err)
		}
		s.names = append(s.names, keysetName)
	}
	s.names = append(s.names, manifestName, metaName)
	for _, name := range s.names {
		info, err := fs.Stat(fsys, name)
		if err != nil {
			s.close()
			return nil, unreadable(name, err)
		}
		s.all += info.Size()
	}
	return s, nil
}

func (s *folderSource) size() int64 { return s.all }

func (s *folderSource) next() (entry, error) {
	if s.open != nil {
		s.open.Close()
		s.open = nil
	}
	if len(s.names) == 0 {
		return entry{}, io.EOF
	}
	name := s.names[0]
	s.names = s.names[1:]
	if name == keysetName {
		return entry{name, int64(len(s.keys)), bytes.NewReader(s.keys)}, nil
	}
	f, err := s.fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return entry{}, unreadable(name, err)
	}
	s.open = f
	info, err := f.Stat()
	if err != nil {
		return entry{}, unreadable(name, err)
	}
	if !info.Mode().IsRegular() {
		return entry{}, &BackupError{File: name, Reason: "not a plain file"}
	}
	return entry{name, info.Size(), f}, nil
}

func (s *folderSource) close() {
	clear(s.keys)
	if s.open != nil {
		s.open.Close()
	}
}
