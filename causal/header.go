package causal

import (
	"fmt"
	"strings"
)

// Cause names an event that another one follows from.
type Cause struct {
	Lineage Lineage // the journal it is in; zero means the same journal
	ID      EventID
}

// BatchPos is an event's place in the batch it was appended with. The zero value means that
// it was appended alone.
type BatchPos struct {
	Index uint32 // from 0
	Count uint32 // at least 2
}

// Enc says how a payload was sealed: XChaCha20-Poly1305 ("xc20p") under the key with this id.
type Enc struct {
	Key   KeyID
	Nonce [24]byte
}

// Header is everything that an envelope says of an event besides its payload. Absent parts
// have their zero value.
type Header struct {
	Lineage Lineage
	ID      EventID
	Seq     uint64 // position in the journal, from 1
	Coordinate
	Lane        uint32
	Version     uint64 // position in the stream, from 1
	Kind        Kind
	Schema      uint64 // the payload's version; 0 is unversioned
	Time        HLC
	Causes      []Cause // in the order given
	Correlation EventID
	Subject     string // the data subject: whose personal data the payload is
	Key         string // the idempotency key
	Meta        map[string]string
	Gates       []string // gates that permitted it, or "!reason" alone for a bypass
	Batch       BatchPos
	Prev        Hash // hash of the stream's previous event; zero for version 1
	Enc         *Enc // nil when the payload is not sealed
}

// Stream returns the stream that the event belongs to.
func (h *Header) Stream() Stream { return Stream{Coordinate: h.Coordinate, Lane: h.Lane} }

// Bypassed returns the reason that was given to append the event past the gates.
func (h *Header) Bypassed() (reason string, ok bool) {
	if len(h.Gates) != 1 {
		return "", false
	}
	if reason, ok = strings.CutPrefix(h.Gates[0], "!"); !ok {
		return "", false
	}
	return reason, true
}

// PayloadState says what became of an event's payload when its reader asked for it in clear.
type PayloadState uint8

const (
	Plain      PayloadState = iota // it was never sealed
	Opened                         // it was sealed, and its key opened it
	Shredded                       // its key was destroyed on purpose: the payload is gone
	KeyMissing                     // the keyset does not have its key and never destroyed it
)

// String returns "plain", "opened", "shredded" or "key_missing".
func (s PayloadState) String() string {
	switch s {
	case Plain:
		return "plain"
	case Opened:
		return "opened"
	case Shredded:
		return "shredded"
	case KeyMissing:
		return "key_missing"
	}
	return fmt.Sprintf("payload state %d", uint8(s))
}

// Event is a committed event: its header, its hash, and its bytes.
type Event struct {
	Header
	Hash     Hash
	Envelope []byte // the canonical bytes that Hash covers
	Data     []byte // the payload as stored, ciphertext when Enc is set; part of Envelope
}
