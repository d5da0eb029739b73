package keystore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"

	"batpak/causal"
)

// isFormat1 says whether a file begins as one that was written before format 2: one list of entries with a
// digest at the end, which was replaced as a whole. Such a file is read once, and replaced by one of format 2.
func isFormat1(page []byte) bool {
	return bytes.HasPrefix(page, []byte(magic)) && len(page) >= len(magic)+2 && binary.BigEndian.Uint16(page[len(magic):]) == 1
}

const (
	headerSize1   = len(magic) + 2 + 1 + 1 + 4
	minEntrySize1 = 1 + len(causal.KeyID{}) + 1 // destroyed, with the shortest scope

	stateLive1      = 1
	stateDestroyed1 = 2
)

// decode1 gives the entries of a file of format 1 to a store that was just made. The caller wipes the data.
func (s *Store) decode1(data []byte) error {
	d := decoder{data: data, size: len(data)}
	if len(data) < headerSize1+sha256.Size {
		return d.damaged("%d bytes are less than an empty keyset", len(data))
	}
	body, digest := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], digest) {
		return d.damaged("the digest does not match the contents")
	}
	d.data, d.size = body, len(body)
	d.take(len(magic) + 2)
	g := Granularity(d.byte())
	if !g.valid() {
		return d.damaged("unknown granularity %d", uint8(g))
	}
	if g != s.head.granularity {
		return wrongGranularity(g, s.head.granularity)
	}
	if d.byte() != 0 {
		return d.damaged("the reserved byte is not 0")
	}
	count := d.uint32()
	if uint64(count)*uint64(minEntrySize1) > uint64(len(d.data)) {
		return d.damaged("%d entries do not fit into %d bytes", count, len(d.data))
	}
	for range count {
		if err := s.decodeEntry1(&d); err != nil {
			return err
		}
	}
	if len(d.data) > 0 {
		return d.damaged("%d bytes after the last entry", len(d.data))
	}
	return nil
}

func (s *Store) decodeEntry1(d *decoder) error {
	state := d.byte()
	var id causal.KeyID
	copy(id[:], d.take(len(id)))
	scope := d.scope(s.head.granularity)
	if d.short {
		return d.damaged("an entry is cut off")
	}
	if err := scope.check(s.head.granularity); err != nil {
		return d.damaged("key %s: %v", id, err)
	}
	if s.keys.find(id) != nil {
		return d.damaged("key %s occurs twice", id)
	}
	hash := s.hash(scope)
	switch state {
	case stateDestroyed1:
		s.noteDead(id, hash)
		return nil
	case stateLive1:
		if last, ok := s.keys.byScope(hash); ok && s.keys.at(last).state == live {
			return d.damaged("%s has two live keys", scope)
		}
		secret := d.take(KeySize)
		if d.short {
			return d.damaged("an entry is cut off")
		}
		n := s.keys.add(id, spare)
		s.pending = append(s.pending, s.master.record(id, (*[KeySize]byte)(secret)))
		s.bind(n, hash)
		return nil
	}
	return d.damaged("key %s has state %d", id, state)
}
