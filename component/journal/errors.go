package journal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"batpak/causal"
)

// Errors of an append. The ones that say so leave the journal as it was, and the same request
// may succeed later.
var (
	// ErrInvalid is matched when a proposal breaks a rule that no state of the journal would
	// change: a bad coordinate, a reserved kind, an unknown cause.
	ErrInvalid = errors.New("invalid")

	// ErrTooLarge is matched by every LimitError.
	ErrTooLarge = errors.New("too large")

	// ErrConflict is matched by every ConflictError.
	ErrConflict = errors.New("conflict")

	// ErrErased: the event's key scope was erased and Renew is not set.
	ErrErased = errors.New("key scope was erased")

	// ErrBusy: the queue is full. Retry after a moment.
	ErrBusy = errors.New("queue is full")

	// ErrStorage: nothing of the batch was written, for example because the disk is full or
	// the keys could not be flushed. Retry when the cause is gone. Of an erasure, it may be on
	// record, with keys that are still on disk.
	ErrStorage = errors.New("storage failed")

	// ErrPoisoned: a write or a sync failed, and what the disk holds is not known. Appends fail
	// until the journal is opened again; reads go on.
	ErrPoisoned = errors.New("journal is poisoned")

	// ErrClosed: the journal is closed or being closed.
	ErrClosed = errors.New("journal is closed")
)

// Errors of reading.
var (
	// ErrNotFound: no event with that id or sequence, or nothing to erase.
	ErrNotFound = errors.New("no such event")

	// ErrTampered: a sealed payload does not open under its own key.
	ErrTampered = errors.New("sealed payload was tampered with")
)

// Errors of Open.
var (
	// ErrLocked: another process, or another Journal of this one, has the directory.
	ErrLocked = errors.New("directory is in use")

	// ErrForeign: the directory belongs to a journal with another name.
	ErrForeign = errors.New("directory belongs to another journal")

	// ErrGranularity: the journal seals by another granularity than the one asked for.
	ErrGranularity = errors.New("seal granularity differs")

	// ErrDamaged is matched by every DamageError, and when the keyset is damaged or missing.
	ErrDamaged = errors.New("damaged")
)

// DamageError says which bytes on disk are not what was written. Nothing was changed because of
// it: damage is refused, not repaired.
type DamageError struct {
	File   string // name within the journal's directory
	Offset int64  // in bytes; -1 when it is about the file as a whole
	Seq    uint64 // the first event that cannot be had; 0 when not known
	Reason string
}

func (e *DamageError) Error() string {
	s := "journal: " + e.File
	if e.Offset >= 0 {
		s += fmt.Sprintf(": offset %d", e.Offset)
	}
	if e.Seq > 0 {
		s += fmt.Sprintf(": event %d", e.Seq)
	}
	return s + ": " + e.Reason
}

// Unwrap makes errors.Is(err, ErrDamaged) true.
func (e *DamageError) Unwrap() error { return ErrDamaged }

// LimitError says what was too large, and the limit.
type LimitError struct {
	What  string // "payload", "meta", "batch" or "event"
	Size  int
	Limit int
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("journal: %s of %d is over the limit of %d", e.What, e.Size, e.Limit)
}

// Unwrap makes errors.Is(err, ErrTooLarge) true.
func (e *LimitError) Unwrap() error { return ErrTooLarge }

// Reasons of a ConflictError.
const (
	ConflictExpect = "expect" // the stream has another version, or the coordinate another sequence
	ConflictUnless = "unless" // an event matches the append's Unless
	ConflictKey    = "key"    // the idempotency key was used for other content
)

// ConflictError says why an append no longer fits the journal.
type ConflictError struct {
	Reason  string // ConflictExpect, ConflictUnless or ConflictKey
	Version uint64 // for ConflictExpect: the stream's version now
	Seq     uint64 // the stream's last sequence now, or that of the last of Events that match (of the first match, when that alone is over the limit), or of the one that has the key

	// Events are the envelopes that the caller had not seen: those after the expected version,
	// or those that matched Unless. At most 32, at most 64 KiB.
	Events [][]byte
	size   int // of Events, in bytes
}

// add takes in an event that the caller had not seen, and says whether there is room for more.
func (e *ConflictError) add(ev *causal.Event) (more bool) {
	e.size += len(ev.Envelope)
	fits := e.size <= conflictSize
	if e.Reason == ConflictUnless && (fits || e.Seq == 0) {
		e.Seq = ev.Seq // never that of an event behind one that is missing in Events
	}
	if !fits {
		return false
	}
	e.Events = append(e.Events, bytes.Clone(ev.Envelope))
	return len(e.Events) < conflictMost
}

func (e *ConflictError) Error() string {
	switch e.Reason {
	case ConflictKey:
		return fmt.Sprintf("journal: the key was used for other content, by event %d", e.Seq)
	case ConflictUnless:
		return fmt.Sprintf("journal: event %d matches the condition", e.Seq)
	}
	return fmt.Sprintf("journal: the stream is at version %d, sequence %d", e.Version, e.Seq)
}

// Unwrap makes errors.Is(err, ErrConflict) true.
func (e *ConflictError) Unwrap() error { return ErrConflict }

// invalid returns an error that matches ErrInvalid.
func invalid(format string, args ...any) error {
	return fmt.Errorf("journal: %w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// batchError says which event of a batch, counted from 0, an error is about.
type batchError struct {
	event int
	err   error
}

func (e *batchError) Error() string {
	return fmt.Sprintf("journal: event %d of the batch: %s", e.event, strings.TrimPrefix(e.err.Error(), "journal: "))
}

func (e *batchError) Unwrap() error { return e.err }
