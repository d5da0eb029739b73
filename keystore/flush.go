package keystore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"

	"batpak/faultfs"
)

// perm is for the owner alone: whoever reads the file has the keys.
const perm fs.FileMode = 0o600

// Dirty says whether memory has a mint or a destruction that the disk may not
// have. It stays true while a flush runs, and is true after a load.
func (s *Store) Dirty() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.changes != s.durable || s.found
}

// Flush makes durable every mint and destruction that happened before the call.
// What happens meanwhile may be left for the next flush, and the store is then
// dirty still. When nothing is dirty it does no I/O. One flush runs at a time;
// another caller waits, and then has nothing to do if the first took its changes
// along. After a load it syncs the folder, and writes nothing unless something
// has changed.
//
// When it fails, the store stays dirty and keeps its keys, the keyset on disk is
// the old or the new one as a whole, and calling Flush again writes it anew. The
// error wraps that of the disk.
func (s *Store) Flush() error {
	s.flushing <- struct{}{}
	defer func() { <-s.flushing }()

	s.mu.RLock()
	changes, durable, found := s.changes, s.durable, s.found
	keys := s.keys
	s.mu.RUnlock()
	if changes == durable {
		if !found {
			return nil
		}
		if err := s.fsys.SyncDir("."); err != nil {
			return fmt.Errorf("keystore: flush %s: sync its folder: %w", fileName, err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.found = false
		return nil
	}

	// Without the lock, so a key in this prefix may be destroyed just now. The
	// file may then say so early, and the change after the count that was taken
	// keeps the store dirty.
	data := encode(s.granularity, keys)
	defer clear(data)
	if err := faultfs.Publish(s.fsys, fileName, data, perm); err != nil {
		return fmt.Errorf("keystore: flush %s: %w", fileName, err)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.durable, s.found = changes, false
	return nil
}

// Load reads the keyset in the root of fsys. The error is ErrNotExist when there
// is none, a *DamageError (which is ErrDamaged) when it is not whole,
// ErrGranularity when it was made with another granularity, ErrFormat when it was
// written by a newer program, or that of the disk. There is never a store along
// with an error.
//
// A temporary file that a crash left is removed, if that is possible: it holds
// keys, and those must not outlive their destruction.
func Load(fsys faultfs.FS, g Granularity) (*Store, error) {
	s, err := empty(fsys, g)
	if err != nil {
		return nil, err
	}
	data, err := read(fsys)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("keystore: load %s: %w: %w", fileName, ErrNotExist, err)
	}
	if err != nil {
		return nil, fmt.Errorf("keystore: load %s: %w", fileName, err)
	}
	defer clear(data)
	if err := s.decode(data); err != nil {
		return nil, err
	}
	s.found = true
	_ = fsys.Remove(fileName + faultfs.TempSuffix) // if it comes back, the next load removes it again
	return s, nil
}

// read returns the whole file in a buffer of its own size, so that there is one
// copy to wipe and not a trail of ever larger ones.
func read(fsys faultfs.FS) ([]byte, error) {
	f, err := fsys.OpenFile(fileName, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > math.MaxInt {
		return nil, &fs.PathError{Op: "read", Path: fileName, Err: fs.ErrInvalid}
	}
	data := make([]byte, info.Size())
	if n, err := f.ReadAt(data, 0); n < len(data) {
		clear(data)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return data, nil
}
