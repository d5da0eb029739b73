package codec

import (
	"errors"
	"strconv"
)

// ErrMalformed is matched by the errors about bytes that are not what they should be.
var ErrMalformed = errors.New("malformed")

// ErrTooLarge is matched by the errors about well-formed bytes that pass a limit; the *Error
// says which in Limit.
var ErrTooLarge = errors.New("too large")

// Error says what is wrong with some bytes and where. It matches ErrTooLarge when Limit is
// set, and ErrMalformed when not.
type Error struct {
	Op     string // what was being read, such as "envelope" or "body"
	Offset int    // in bytes from the start of what was read; -1 when not known
	Key    string // the key whose value is wrong, such as "events[3].kind"; may be empty
	Reason string
	Limit  int // the limit that was passed; 0 when the bytes are malformed
}

// Error returns "codec: OP: KEY: REASON (at byte OFFSET)", without the parts that are not known.
func (e *Error) Error() string {
	s := "codec: "
	if e.Op != "" {
		s += e.Op + ": "
	}
	if e.Key != "" {
		s += e.Key + ": "
	}
	s += e.Reason
	if e.Offset >= 0 {
		s += " (at byte " + strconv.Itoa(e.Offset) + ")"
	}
	return s
}

// Is makes errors.Is match ErrTooLarge or ErrMalformed.
func (e *Error) Is(target error) bool {
	if e.Limit > 0 {
		return target == ErrTooLarge
	}
	return target == ErrMalformed
}
