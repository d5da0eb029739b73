package relay

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// Reasons to stop; a StreamError wraps one of them.
var (
	// ErrForeign: the stream is marked with another journal or lineage, or it has messages
	// and no mark.
	ErrForeign = errors.New("belongs to another journal")

	// ErrOtherWriter: a message is not the event that has its number.
	ErrOtherWriter = errors.New("has a message that is not the journal's event: another writer")

	// ErrAhead: the stream has messages beyond the journal's last event.
	ErrAhead = errors.New("is ahead of the journal")

	// ErrUnfit: the stream's configuration makes it impossible that message N is event N.
	ErrUnfit = errors.New("has a configuration that does not fit")
)

var (
	// ErrStopped is matched by the errors of a relay that was stopped before it got there.
	ErrStopped = errors.New("relay: stopped")

	// ErrConfig is matched by the errors of Start.
	ErrConfig = errors.New("relay: bad configuration")
)

// StreamError says what is wrong with the stream. It is final: the relay stopped.
type StreamError struct {
	Stream string
	Seq    uint64 // the message it is about; 0 when it is about the stream
	Detail string
	Err    error // ErrForeign, ErrOtherWriter, ErrAhead or ErrUnfit
}

// Error returns "relay: stream NAME: message SEQ: WHAT: DETAIL", without what is not known.
func (e *StreamError) Error() string {
	s := "relay: stream " + e.Stream + ": "
	if e.Seq > 0 {
		s += fmt.Sprintf("message %d: ", e.Seq)
	}
	s += e.Err.Error()
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// Unwrap returns the reason.
func (e *StreamError) Unwrap() error { return e.Err }

// Reasons to end an epoch and to start another.
var (
	errAckMissing   = errors.New("no acknowledgement in time")
	errAckGap       = errors.New("an acknowledgement is missing between others")
	errDisconnected = errors.New("the connection was lost")
	errNoStream     = errors.New("no stream takes the message")
)

// refusedError is a negative acknowledgement.
type refusedError struct {
	code   int
	reason string
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("message refused: %s (%d)", e.reason, e.code)
}

// final says whether trying again is pointless.
func final(err error) bool {
	var stream *StreamError
	return errors.As(err, &stream) ||
		errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrConnectionDraining)
}
