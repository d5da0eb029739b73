package projection

import (
	"errors"
	"fmt"

	"batpak/causal"
)

// Reasons why a stream cannot be followed.
var (
	// ErrRewritten: the event at the checkpoint's sequence is another one than was folded.
	ErrRewritten = errors.New("the log was rewritten")

	// ErrLineage: the events are another journal's.
	ErrLineage = errors.New("another lineage")

	// ErrGap: the stream no longer has events that were not folded yet.
	ErrGap = errors.New("events are missing")

	// ErrMisfit: a message is not where its event belongs: number, subject or place in its
	// batch.
	ErrMisfit = errors.New("the message does not fit its event")
)

var (
	// ErrCheckpoint is matched by the error for a stored checkpoint that cannot be used.
	ErrCheckpoint = errors.New("projection: damaged checkpoint")

	// ErrConfig is matched by the errors of New.
	ErrConfig = errors.New("projection: bad configuration")

	// ErrRunning is returned by Run when Run has not returned yet.
	ErrRunning = errors.New("projection: already running")
)

// EventError says at which event a projection stopped. The event was not folded.
type EventError struct {
	Doing string         // "check", "open", "erase" or "fold"
	Seq   uint64         // of the message
	ID    causal.EventID // zero when the event could not be read
	Err   error          // what is wrong; matches causal.ErrChain, codec.ErrMalformed, ErrMisfit or ErrLineage when a check failed
}

// Error returns "projection: DOING event SEQ (ID): WHY".
func (e *EventError) Error() string {
	if e.ID.IsZero() {
		return fmt.Sprintf("projection: %s event %d: %v", e.Doing, e.Seq, e.Err)
	}
	return fmt.Sprintf("projection: %s event %d (%s): %v", e.Doing, e.Seq, e.ID, e.Err)
}

// Unwrap returns what is wrong.
func (e *EventError) Unwrap() error { return e.Err }
