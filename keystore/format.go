package keystore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"batpak/causal"
)

const (
	magic  = "batpakks"
	format = 1

	headerSize   = len(magic) + 2 + 1 + 1 + 4
	minEntrySize = 1 + len(causal.KeyID{}) + 1 // destroyed, with the shortest scope
)

const (
	stateLive      = 1
	stateDestroyed = 2
)

// encode is the keyset file with these keys. Whoever calls it wipes the result.
func encode(g Granularity, keys []*Key) []byte {
	size := headerSize + sha256.Size
	for _, k := range keys {
		size += 1 + len(k.id) + scopeSize(k.scope) + KeySize
	}
	// Large enough for every key to be live, so that nothing is ever copied to a
	// larger buffer and left behind.
	b := make([]byte, 0, size)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint16(b, format)
	b = append(b, byte(g), 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(keys)))
	for _, k := range keys {
		b = appendEntry(b, k)
	}
	digest := sha256.Sum256(b)
	return append(b, digest[:]...)
}

func appendEntry(b []byte, k *Key) []byte {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.dead {
		b = append(b, stateDestroyed)
	} else {
		b = append(b, stateLive)
	}
	b = append(b, k.id[:]...)
	b = appendScope(b, k.scope)
	if !k.dead {
		b = append(b, k.secret[:]...)
	}
	return b
}

func scopeSize(s Scope) int {
	switch s.granularity {
	case Entity:
		return 2 + len(s.name) + 2 + len(s.entity)
	case Category:
		return 1
	case Kind:
		return 2
	case Event:
		return len(s.event)
	case Subject:
		return 2 + len(s.name)
	}
	return 0
}

func appendScope(b []byte, s Scope) []byte {
	switch s.granularity {
	case Entity:
		return appendName(appendName(b, s.name), s.entity)
	case Category:
		return append(b, byte(s.number))
	case Kind:
		return binary.BigEndian.AppendUint16(b, s.number)
	case Event:
		return append(b, s.event[:]...)
	case Subject:
		return appendName(b, s.name)
	}
	return b
}

func appendName(b []byte, name string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(name))), name...)
}

// decode fills an empty store from the file's bytes, of which it keeps nothing.
// When it fails the store is not to be used.
func (s *Store) decode(data []byte) error {
	d := decoder{data: data, size: len(data)}
	if len(data) < headerSize+sha256.Size {
		return d.damaged("%d bytes are less than an empty keyset", len(data))
	}
	body, digest := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if !bytes.HasPrefix(body, []byte(magic)) {
		return d.damaged("this is not a keyset")
	}
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], digest) {
		return d.damaged("the digest does not match the contents")
	}

	d.data, d.size = body, len(body)
	d.take(len(magic))
	if version := binary.BigEndian.Uint16(d.take(2)); version != format {
		return fmt.Errorf("keystore: load %s: %w: it is %d, and %d can be read", fileName, ErrFormat, version, format)
	}
	g := Granularity(d.take(1)[0])
	if !g.valid() {
		return d.damaged("unknown granularity %d", uint8(g))
	}
	if g != s.granularity {
		return fmt.Errorf("keystore: load %s: %w: it is %s, not %s", fileName, ErrGranularity, g, s.granularity)
	}
	if d.take(1)[0] != 0 {
		return d.damaged("the reserved byte is not 0")
	}
	count := binary.BigEndian.Uint32(d.take(4))
	if uint64(count)*uint64(minEntrySize) > uint64(len(d.data)) {
		return d.damaged("%d entries do not fit into %d bytes", count, len(d.data))
	}
	s.keys = make([]*Key, 0, count)
	for range count {
		if err := s.decodeEntry(&d); err != nil {
			return err
		}
	}
	if len(d.data) > 0 {
		return d.damaged("%d bytes after the last entry", len(d.data))
	}
	return nil
}

func (s *Store) decodeEntry(d *decoder) error {
	state := d.byte()
	var id causal.KeyID
	copy(id[:], d.take(len(id)))
	scope := d.scope(s.granularity)
	if d.short {
		return d.damaged("an entry is cut off")
	}
	if err := scope.check(s.granularity); err != nil {
		return d.damaged("key %s: %v", id, err)
	}
	if s.byID[id] != nil {
		return d.damaged("key %s occurs twice", id)
	}
	switch state {
	case stateDestroyed:
		s.add(&Key{id: id, scope: scope, dead: true})
		return nil
	case stateLive:
		if last := s.latest[scope]; last != nil && !last.dead {
			return d.damaged("%s has two live keys", scope)
		}
		secret := new([KeySize]byte)
		copy(secret[:], d.take(KeySize))
		if d.short {
			return d.damaged("an entry is cut off")
		}
		k, err := newKey(id, scope, secret)
		if err != nil {
			return err
		}
		s.add(k)
		return nil
	}
	return d.damaged("key %s has state %d", id, state)
}

// decoder reads from the front of data. Past the end it gives nothing and sets
// short; what was read is then not to be used.
type decoder struct {
	data  []byte
	size  int // of the data at first
	short bool
}

func (d *decoder) damaged(reason string, args ...any) error {
	return &DamageError{File: fileName, Offset: int64(d.size - len(d.data)), Reason: fmt.Sprintf(reason, args...)}
}

func (d *decoder) take(n int) []byte {
	if n > len(d.data) {
		d.short = true
		return nil
	}
	b := d.data[:n]
	d.data = d.data[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint16() uint16 {
	if b := d.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// name copies, because the file's bytes are wiped.
func (d *decoder) name() string { return string(d.take(int(d.uint16()))) }

func (d *decoder) scope(g Granularity) Scope {
	s := Scope{granularity: g}
	switch g {
	case Entity:
		s.name = d.name()
		s.entity = d.name()
	case Category:
		s.number = uint16(d.byte())
	case Kind:
		s.number = d.uint16()
	case Event:
		copy(s.event[:], d.take(len(s.event)))
	case Subject:
		s.name = d.name()
	}
	return s
}
