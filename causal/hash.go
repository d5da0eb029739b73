package causal

import (
	"crypto/sha256"
	"encoding/hex"
)

// Hash is an event's SHA-256. The zero value means "none": the genesis of a stream.
type Hash [32]byte

// eventDomain separates event hashes from every other use of SHA-256.
const eventDomain = "batpak.event.v1\x00"

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
