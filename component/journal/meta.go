package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"time"

	"batpak/causal"
	"batpak/faultfs"
	"batpak/keystore"
)

const (
	lockName  = "LOCK"
	metaName  = "journal.meta"
	keysDir   = "keys"
	metaMagic = "batpkmta"

	// MaxNameBytes is the longest name of a journal, in bytes.
	MaxNameBytes = 64
)

// meta is what a directory says of its journal. It is written once.
type meta struct {
	lineage causal.Lineage
	seal    keystore.Granularity
	created uint64 // milliseconds since 1970
	name    string
}

// CheckName reports, as an error that matches ErrInvalid, whether name is not 1 to MaxNameBytes
// of A-Z a-z 0-9 - _.
func CheckName(name string) error {
	if name == "" || len(name) > MaxNameBytes {
		return invalid("a journal's name has 1 to %d characters, not %d", MaxNameBytes, len(name))
	}
	for _, c := range []byte(name) {
		ok := 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_'
		if !ok {
			return invalid("a journal's name has letters, digits, - and _, not %q", c)
		}
	}
	return nil
}

func (m *meta) encode() []byte {
	b := append([]byte(nil), metaMagic...)
	b = binary.LittleEndian.AppendUint32(b, formatVersion)
	b = append(b, m.lineage[:]...)
	b = binary.LittleEndian.AppendUint64(b, m.created)
	b = append(b, byte(m.seal), byte(len(m.name)))
	b = append(b, m.name...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeMeta(b []byte) (*meta, error) {
	bad := func(reason string) (*meta, error) {
		return nil, &DamageError{File: metaName, Offset: -1, Reason: reason}
	}
	const fixed = 8 + 4 + 16 + 8 + 1 + 1
	if len(b) < fixed+4 {
		return bad("too short")
	}
	sum := len(b) - 4
	if string(b[:8]) != metaMagic || crc32.Checksum(b[:sum], castagnoli) != binary.LittleEndian.Uint32(b[sum:]) {
		return bad("checksum mismatch")
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != formatVersion {
		return nil, fmt.Errorf("journal: %s has format %d, this program reads format %d", metaName, v, formatVersion)
	}
	m := &meta{
		lineage: causal.Lineage(b[12:28]),
		created: binary.LittleEndian.Uint64(b[28:]),
		seal:    keystore.Granularity(b[36]),
	}
	if int(b[37]) != sum-fixed {
		return bad("impossible length of name")
	}
	m.name = string(b[fixed:sum])
	if CheckName(m.name) != nil || m.seal == keystore.Unspecified || m.seal > keystore.Subject {
		return bad("impossible contents")
	}
	return m, nil
}

// loadMeta reads the directory's meta; it returns nil when there is none.
func loadMeta(fsys faultfs.FS) (*meta, error) {
	b, err := fs.ReadFile(fsys, metaName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return decodeMeta(b)
}

// create makes an empty journal in a directory that has no meta: folders, keyset and first
// segment, and the meta last, so that a journal without meta never held an event. What an
// interrupted creation left is replaced.
func create(ctx context.Context, fsys faultfs.FS, o Options) (*meta, error) {
	if err := checkComplete(fsys); err != nil {
		return nil, err
	}
	if err := CheckName(o.Name); err != nil {
		return nil, err
	}
	m := &meta{lineage: causal.NewLineage(), seal: o.Seal, created: uint64(time.Now().UnixMilli()), name: o.Name}
	if m.seal == keystore.Unspecified {
		m.seal = keystore.None
	}
	for _, dir := range []string{segmentDir, keysDir} {
		if err := fsys.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("journal: create: %w", err)
		}
	}
	if err := clearInterrupted(fsys); err != nil {
		return nil, err
	}
	if err := fsys.SyncDir("."); err != nil {
		return nil, fmt.Errorf("journal: create: %w", err)
	}
	if m.seal != keystore.None {
		keys, err := keystore.New(ctx, faultfs.Sub(fsys, keysDir), m.seal, o.Keys)
		if err != nil {
			return nil, fmt.Errorf("journal: create keyset: %w", err)
		}
		keys.Close()
	}
	f, err := prepareSegment(fsys, o.SegmentBytes, nil)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := publishSegment(fsys, f, o.SegmentBytes, 1, m.lineage); err != nil {
		return nil, err
	}
	if err := faultfs.Publish(fsys, metaName, m.encode(), 0o600); err != nil {
		return nil, fmt.Errorf("journal: create: %w", err)
	}
	return m, nil
}

// clearInterrupted removes what a creation that did not get as far as the meta left behind. It
// refuses to touch anything that could hold an event or a key.
func clearInterrupted(fsys faultfs.FS) error {
	lost := func(file string) error {
		return &DamageError{File: metaName, Offset: -1, Reason: "missing, but there is " + file}
	}
	firsts, err := listSegments(fsys)
	if err != nil {
		return err
	}
	for _, first := range firsts {
		name := segmentName(first)
		b, err := readStart(fsys, name, segmentStart+frameHeader)
		if err != nil {
			return err
		}
		if first != 1 || len(b) > segmentStart && [frameHeader]byte(b[segmentStart:]) != [frameHeader]byte{} {
			return lost(name)
		}
		if err := fsys.Remove(name); err != nil {
			return fmt.Errorf("journal: create: %w", err)
		}
	}
	if err := checkNoKeys(faultfs.Sub(fsys, keysDir)); err != nil {
		return errors.Join(lost(keysDir), err)
	}
	entries, err := fsys.ReadDir(keysDir)
	if err != nil {
		return fmt.Errorf("journal: create: %w", err)
	}
	for _, e := range entries {
		if err := fsys.Remove(keysDir + "/" + e.Name()); err != nil {
			return fmt.Errorf("journal: create: %w", err)
		}
	}
	return nil
}

// checkNoKeys returns nil when there is no keyset, or one that was made and never used.
func checkNoKeys(keys faultfs.FS) error {
	s, err := keystore.Inspect(keys)
	switch n := s.Live + s.Destroyed + s.Missing; {
	case errors.Is(err, keystore.ErrNotExist):
		return nil
	case err != nil:
		return err
	case n > 0:
		return fmt.Errorf("journal: the keyset has %d keys", n)
	}
	return nil
}

// readStart reads up to n bytes from the start of a file.
func readStart(fsys faultfs.FS, name string, n int) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	defer f.Close()
	b := make([]byte, n)
	got, err := f.ReadAt(b, 0)
	if got < n && err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("journal: read %s: %w", name, err)
	}
	return b[:got], nil
}
