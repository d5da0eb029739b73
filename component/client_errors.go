package component

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"batpak/codec"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// What a node refuses with, one error for each code of the protocol. An *Error matches the one
// of its code.
var (
	ErrInvalid     = errors.New("invalid")     // the request will never be right
	ErrDenied      = errors.New("denied")      // a gate said no
	ErrNotFound    = errors.New("not found")   // no such event, or nothing to erase
	ErrConflict    = errors.New("conflict")    // a condition did not hold, or the key was used for other content
	ErrShredded    = errors.New("shredded")    // the payload was erased
	ErrTooLarge    = errors.New("too large")   // over a limit
	ErrErased      = errors.New("erased")      // an append into an erased scope that does not ask to renew it
	ErrKeyMissing  = errors.New("key missing") // the keyset does not have the payload's key
	ErrBusy        = errors.New("busy")        // try again in a moment
	ErrInternal    = errors.New("internal")    // a defect of the node
	ErrUnavailable = errors.New("unavailable") // the node is going down
	ErrStorage     = errors.New("storage")     // the disk failed the node, or is full
)

// Errors of a Client that are not a node's.
var (
	// ErrNoNode: no node answers for the journal. It may have been asked for under another name
	// or prefix, or the node is down.
	ErrNoNode = errors.New("no node answers")

	// ErrReply: the answer is not what the protocol says, or does not fit the question.
	ErrReply = errors.New("unexpected reply")
)

var sentinels = map[codec.Code]error{
	codec.CodeInvalid: ErrInvalid, codec.CodeDenied: ErrDenied, codec.CodeNotFound: ErrNotFound,
	codec.CodeConflict: ErrConflict, codec.CodeShredded: ErrShredded, codec.CodeTooLarge: ErrTooLarge,
	codec.CodeErased: ErrErased, codec.CodeKeyMissing: ErrKeyMissing, codec.CodeBusy: ErrBusy,
	codec.CodeInternal: ErrInternal, codec.CodeUnavailable: ErrUnavailable, codec.CodeStorage: ErrStorage,
}

// Error is a node's refusal.
type Error struct {
	Code    codec.Code
	Number  int // the code's number, as in HTTP
	Message string
	Retry   bool           // the same request may succeed later
	Gate    string         // which gate said no
	Details map[string]any // see the protocol
}

// Error returns "CODE: MESSAGE".
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Is matches the sentinel of the error's code.
func (e *Error) Is(target error) bool { return target == sentinels[e.Code] && target != nil }

// Conflict returns the details of an ErrConflict: where the stream stands, and the envelopes that
// the caller had not seen. It returns false for other errors, and when the conflict is that the
// key was used for other content.
func (e *Error) Conflict() (codec.Conflict, bool) {
	return (&codec.ErrorReply{Code: e.Code, Details: e.Details}).Conflict()
}

// RetryAfter returns how long a busy node asks to be left alone; 0 when it does not say.
func (e *Error) RetryAfter() time.Duration {
	switch n := e.Details["retry_after_ms"].(type) {
	case int64:
		return time.Duration(n) * time.Millisecond
	case uint64:
		return time.Duration(n) * time.Millisecond
	}
	return 0
}

// refusalIn returns the error that a reply is, nil when it is none.
func refusalIn(msg *nats.Msg) error {
	if len(msg.Header) == 0 {
		return nil
	}
	number := msg.Header.Get(micro.ErrorCodeHeader)
	if number == "" {
		return nil
	}
	var body codec.ErrorReply
	if err := codec.Unmarshal(msg.Data, codec.Msgpack, &body); err != nil {
		return fmt.Errorf("%w: error %s %q: %w", ErrReply, number, msg.Header.Get(micro.ErrorHeader), err)
	}
	e := &Error{
		Code: body.Code, Number: body.Code.Number(), Message: body.Message,
		Retry: body.Retry, Gate: body.Gate, Details: body.Details,
	}
	if n, err := strconv.Atoi(number); err == nil {
		e.Number = n
	}
	return e
}
