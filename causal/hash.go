package causal

import (
	"crypto/sha256"
	"encoding/hex"
)

// Hash is an event's SHA-256. The zero value means "none": the genesis of a stream.
type Hash [32]byte

// eventDomain separates event hashes from every other use of SHA-256.
const eventDomain = "batpak.event.v1\x00"

// headDomain separates commitments to a whole history from every other use of SHA-256.
const headDomain = "batpak.head.v1\x00"

// Extend returns the commitment to a journal's history up to an event, given the one up to the event before it:
// SHA-256( "batpak.head.v1" 0x00 commitment event ). The commitment to no history is the zero value. Unlike an
// event's hash, which covers its own stream, it covers every event before.
func Extend(commitment, event Hash) Hash {
	var b [len(headDomain) + 2*len(Hash{})]byte
	n := copy(b[:], headDomain)
	n += copy(b[n:], commitment[:])
	copy(b[n:], event[:])
	return sha256.Sum256(b[:])
}

// HashEnvelope returns the event hash of an envelope's bytes. It does not allocate.
func HashEnvelope(envelope []byte) Hash {
	d := sha256.New()
	d.Write([]byte(eventDomain))
	d.Write(envelope)
	var h Hash
	d.Sum(h[:0])
	return h
}

// String returns lower-case hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// IsZero says whether h is the zero value.
func (h Hash) IsZero() bool { return h == Hash{} }

// MarshalText returns lower-case hex.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads 64 hex digits; its errors match ErrID.
func (h *Hash) UnmarshalText(b []byte) error { return parseHex(h[:], b, "hash") }

// ParseHash reads 64 hex digits; its errors match ErrID.
func ParseHash(s string) (h Hash, err error) {
	err = parseHex(h[:], []byte(s), "hash")
	return h, err
}
