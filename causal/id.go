package causal

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
)

// ErrID is matched by the errors of parsing an id, a lineage, a key id or a hash.
var ErrID = errors.New("bad identifier")

// EventID identifies an event everywhere: a UUIDv7 (RFC 9562, section 5.7). The zero value
// means "none".
type EventID [16]byte

// Lineage identifies a journal: a random UUID (version 4) minted once, when the journal is
// created. The zero value means "none".
type Lineage [16]byte

// KeyID identifies a payload key. Its text form is lower-case hex.
type KeyID [16]byte

// String returns the UUID's text form, such as "0198c5f2-7d3e-7abc-8def-0123456789ab".
func (id EventID) String() string { return string(appendUUID(nil, [16]byte(id))) }

// IsZero says whether id is the zero value.
func (id EventID) IsZero() bool { return id == EventID{} }

// Compare orders ids by their bytes, for one journal the order of sequences.
func (id EventID) Compare(other EventID) int { return bytes.Compare(id[:], other[:]) }

// Millis returns the id's time: milliseconds since 1970.
func (id EventID) Millis() uint64 { return binary.BigEndian.Uint64(id[:8]) >> 16 }

// MarshalText returns the UUID's text form.
func (id EventID) MarshalText() ([]byte, error) { return appendUUID(nil, [16]byte(id)), nil }

// UnmarshalText reads the UUID's text form; its errors match ErrID.
func (id *EventID) UnmarshalText(b []byte) error { return parseUUID((*[16]byte)(id), b) }

// ParseEventID reads a UUID's text form, in either case; its errors match ErrID.
func ParseEventID(s string) (id EventID, err error) {
	err = parseUUID((*[16]byte)(&id), []byte(s))
	return id, err
}

// NewLineage mints a lineage.
func NewLineage() Lineage {
	var l Lineage
	rand.Read(l[:]) // never fails since Go 1.24: it aborts the process rather
	l[6] = l[6]&0x0f | 0x40
	l[8] = l[8]&0x3f | 0x80
	return l
}

// String returns the UUID's text form.
func (l Lineage) String() string { return string(appendUUID(nil, [16]byte(l))) }

// IsZero says whether l is the zero value.
func (l Lineage) IsZero() bool { return l == Lineage{} }

// MarshalText returns the UUID's text form.
func (l Lineage) MarshalText() ([]byte, error) { return appendUUID(nil, [16]byte(l)), nil }

// UnmarshalText reads the UUID's text form; its errors match ErrID.
func (l *Lineage) UnmarshalText(b []byte) error { return parseUUID((*[16]byte)(l), b) }

// ParseLineage reads a UUID's text form; its errors match ErrID.
func ParseLineage(s string) (l Lineage, err error) {
	err = parseUUID((*[16]byte)(&l), []byte(s))
	return l, err
}

// String returns lower-case hex.
func (k KeyID) String() string { return hex.EncodeToString(k[:]) }

// IsZero says whether k is the zero value.
func (k KeyID) IsZero() bool { return k == KeyID{} }

// MarshalText returns lower-case hex.
func (k KeyID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, k[:]), nil }

// UnmarshalText reads 32 hex digits; its errors match ErrID.
func (k *KeyID) UnmarshalText(b []byte) error { return parseHex(k[:], b, "key id") }

// ParseKeyID reads 32 hex digits; its errors match ErrID.
func ParseKeyID(s string) (k KeyID, err error) {
	err = parseHex(k[:], []byte(s), "key id")
	return k, err
}

// IDs mints event ids that ascend strictly. It is safe for concurrent use; the zero value is
// ready.
type IDs struct {
	mu   sync.Mutex
	last EventID
	// pool holds random bytes that were not used yet, in pool[used:].
	pool [1024]byte
	used int
	full bool
}

// random is how many random bytes an id takes: the 12 bits of rand_a are a counter here.
const random = 8

// Next returns an id for the time ms (milliseconds since 1970) that is greater than every id
// returned or observed before. When ms is not later than the last id's time, the id keeps
// that time and counts up in the 12 bits behind it, and then moves the time on by a millisecond
// (RFC 9562, section 6.2, method 1). The time has 48 bits, enough until the year 10889; a later
// one counts as the last.
func (g *IDs) Next(ms uint64) EventID {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.full || g.used+random > len(g.pool) {
		rand.Read(g.pool[:])
		g.used, g.full = 0, true
	}
	var id EventID
	copy(id[8:], g.pool[g.used:g.used+random])
	g.used += random
	id[8] = id[8]&0x3f | 0x80

	ms = min(ms, 1<<48-1)
	count := uint64(0)
	if last := g.last.Millis(); ms <= last && !g.last.IsZero() {
		ms = last
		count = uint64(g.last[6]&0x0f)<<8 | uint64(g.last[7])
		// An observed id of another version (the 4 bits before the counter) may lie behind all of
		// this millisecond's.
		if count++; count > 0xfff || g.last[6]>>4 > 7 {
			ms, count = ms+1, 0
		}
	}
	binary.BigEndian.PutUint64(id[:8], ms<<16|0x7000|count)
	g.last = id
	return id
}

// Observe makes later ids greater than id, if they would not be already.
func (g *IDs) Observe(id EventID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if id.Compare(g.last) > 0 {
		g.last = id
	}
}

func appendUUID(dst []byte, u [16]byte) []byte {
	for i, n := 0, 0; n < 5; n++ {
		if n > 0 {
			dst = append(dst, '-')
		}
		end := i + [5]int{4, 2, 2, 2, 6}[n]
		dst = hex.AppendEncode(dst, u[i:end])
		i = end
	}
	return dst
}

func parseUUID(dst *[16]byte, b []byte) error {
	bad := len(b) != 36
	var digits [32]byte
	for i, n := 0, 0; !bad && i < 36; i++ {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			bad = b[i] != '-'
			continue
		}
		digits[n] = b[i]
		n++
	}
	var u [16]byte
	if !bad {
		_, err := hex.Decode(u[:], digits[:])
		bad = err != nil
	}
	if bad {
		return fmt.Errorf("%w: %.40q is not a UUID", ErrID, b)
	}
	*dst = u
	return nil
}

func parseHex(dst, b []byte, what string) error {
	if len(b) != hex.EncodedLen(len(dst)) {
		return fmt.Errorf("%w: a %s has %d hex digits, not %d", ErrID, what, hex.EncodedLen(len(dst)), len(b))
	}
	var full [32]byte
	if _, err := hex.Decode(full[:], b); err != nil {
		return fmt.Errorf("%w: %s: %v", ErrID, what, err)
	}
	copy(dst, full[:])
	return nil
}
