package keystore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"batpak/causal"
	"batpak/faultfs"
)

// Found is a key that a file still has.
type Found struct {
	ID     causal.KeyID
	File   string // in the folder of the keys
	Offset int64  // of the sealed key, in bytes
	State  string // FoundLive, FoundDestroyed or FoundStray
}

// States of a key that was found.
const (
	FoundLive      = "live"      // the keyset has it, and opens with it
	FoundDestroyed = "destroyed" // the keyset says it was destroyed, and its bytes are still there
	FoundStray     = "stray"     // outside of the records that count
)

// Residue searches the files in the root of fsys for keys with these ids: at every byte of the keyset, the
// records that do not count included, and of a temporary file that a crash left. A sealed key opens under
// the master key at its own place only, so what is found is the key, whatever the records say. The master key
// is needed: a keyset that is wrapped can be searched with its Wrapper alone, and so can a temporary file that
// is wrapped otherwise.
//
// Nothing is changed. A search takes about half a second for each megabyte of keys and each id. The errors are
// those of Load, but damage to records keeps nobody from searching. A keyset of format 1, which has its keys in
// clear, is ErrFormat. Where there are no files there is no residue.
func Residue(ctx context.Context, fsys faultfs.FS, g Granularity, w Wrapper, ids []causal.KeyID) ([]Found, error) {
	var files []searched
	defer func() {
		for _, s := range files {
			s.close()
		}
	}()
	for _, name := range []string{fileName, fileName + faultfs.TempSuffix} {
		s, err := openSearched(ctx, fsys, name, g, w)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files = append(files, s)
	}
	var found []Found
	for _, s := range files {
		for _, key := range files { // a temporary file may have keys under either master key
			if key.master == nil {
				continue
			}
			at, err := s.search(ctx, key.master, ids)
			if err != nil {
				return found, fmt.Errorf("keystore: search %s: %w", s.name, err)
			}
			for _, f := range at {
				if !slices.Contains(found, f) { // both may have the same master key
					found = append(found, f)
				}
			}
		}
	}
	return found, nil
}

// searched is a file in which keys are looked for.
type searched struct {
	name   string
	file   faultfs.File
	size   int64
	master *master // nil when the file ends before it has one
	keys   table   // of the keyset, when its records can be read
}

func (s *searched) close() {
	if s.master != nil {
		s.master.wipe()
	}
	s.file.Close()
}

func openSearched(ctx context.Context, fsys faultfs.FS, name string, g Granularity, w Wrapper) (s searched, err error) {
	s = searched{name: name}
	if s.file, err = fsys.OpenFile(name, os.O_RDONLY, 0); err != nil {
		return s, fmt.Errorf("keystore: search %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	r := reader{file: s.file}
	err = r.readHead(g)
	if r.old != nil {
		clear(r.old)
		return s, fmt.Errorf("keystore: search %s: %w: it is 1, and has its keys in clear", name, ErrFormat)
	}
	s.size = r.size
	switch {
	case r.head == nil && name == fileName:
		return s, err
	case r.head == nil: // a temporary file gets its header last: nobody has the master key of one without
		if !errors.Is(err, ErrDamaged) {
			return s, err
		}
		return s, nil
	}
	// Damage elsewhere does not keep anybody from searching.
	if err == nil && r.readRecords() == nil && name == fileName {
		s.keys = r.keys
	}
	s.master, err = r.head.unwrap(ctx, w)
	if err != nil {
		return s, fmt.Errorf("keystore: search %s: %w", name, err)
	}
	return s, nil
}

// search tries every byte of the file.
func (s *searched) search(ctx context.Context, m *master, ids []causal.KeyID) ([]Found, error) {
	var found []Found
	const piece = 64 << 10
	b := make([]byte, piece+sealedSize-1)
	var room [KeySize]byte // one for all tries
	defer clear(b)
	defer clear(room[:])
	for off := int64(0); off < s.size; off += piece {
		n, err := s.file.ReadAt(b, off)
		if n < len(b) && err != nil && err != io.EOF {
			return found, err
		}
		for at := 0; at < piece && at+sealedSize <= n; at++ {
			if b[at] == 0 && allZero(b[at:at+sealedSize]) {
				continue
			}
			for _, id := range ids {
				nonce := keyNonce(id)
				if _, err := m.aead.Open(room[:0], nonce[:], b[at:at+sealedSize], []byte(keyContext)); err == nil {
					found = append(found, Found{id, s.name, off + int64(at), s.state(id, off+int64(at))})
				}
			}
		}
		if err := ctx.Err(); err != nil {
			return found, err
		}
	}
	return found, nil
}

// state says what the records make of a key at a place.
func (s *searched) state(id causal.KeyID, off int64) string {
	e := s.keys.find(id)
	switch {
	case e == nil || e.record == noRecord || off != recordOffset(uint64(e.record))+sealedAt:
		return FoundStray
	case e.state == dead:
		return FoundDestroyed
	}
	return FoundLive
}
