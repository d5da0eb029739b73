package gates

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of a denial, in bytes. What is longer is cut.
const (
	MaxCode    = 64
	MaxMessage = 1024
)

// Codes that this package itself gives. The others are the gates' own.
const (
	CodeDenied = "denied"      // the gate gave no code
	CodeDefect = "gate_defect" // the gate panicked
	CodeView   = "view_failed" // a folding gate could not read the stream's events
	CodeFold   = "fold_failed" // a folding gate could not fold an event
)

// Denial is a gate's no. A gate fills in Code, Message and Details; the chain sets Gate, fills in
// CodeDenied where there is no code, cuts what is too long and copies the details, so a denial
// that comes out of a chain is small, encodable, and nobody else's.
type Denial struct {
	Gate    string // the name of the gate that denied; set by the chain
	Code    string // for programs, such as "insufficient_funds"; up to MaxCode bytes
	Message string // for people; up to MaxMessage bytes

	// Details are for programs: nil, booleans, numbers, strings, []byte, anything with a text form
	// (encoding.TextMarshaler, such as time.Time and the ids of package causal), and slices, arrays
	// and maps with string keys of these, up to MaxDetailsDepth deep and MaxDetails bytes together.
	// They come out of the chain as basic types, []any and map[string]any. Other details are
	// replaced as a whole by {"dropped": why}.
	Details map[string]any

	// Err is what went wrong inside the gate, if anything did. It is for the node's own log and is
	// not sent to whoever proposed: it may quote payloads.
	Err error
}

// Error returns gate, code and message. It says nothing of Details and Err.
func (d *Denial) Error() string {
	if d.Message == "" {
		return fmt.Sprintf("gates: %s: %s", d.Gate, d.Code)
	}
	return fmt.Sprintf("gates: %s: %s: %s", d.Gate, d.Code, d.Message)
}

// Unwrap returns Err.
func (d *Denial) Unwrap() error { return d.Err }

// settle returns the chain's own copy of a denial by the gate with this name.
func (d *Denial) settle(gate string) *Denial {
	code := clean(d.Code, MaxCode)
	if code == "" {
		code = CodeDenied
	}
	return &Denial{
		Gate:    gate,
		Code:    code,
		Message: clean(d.Message, MaxMessage),
		Details: copyDetails(d.Details),
		Err:     d.Err,
	}
}

// clean returns s as valid UTF-8 of at most limit bytes.
func clean(s string, limit int) string {
	if len(s) > limit {
		for limit > 0 && !utf8.RuneStart(s[limit]) { // not in the middle of a character
			limit--
		}
		s = s[:limit]
	}
	return strings.ToValidUTF8(s, "?") // never longer
}

// Panic is what a gate panicked with. It is found by errors.As in a denial with CodeDefect.
type Panic struct {
	Value any
	Stack []byte // of the goroutine, in the form of debug.Stack
}

// Error names the type of the value. It does not quote it, because it may hold a payload.
func (p *Panic) Error() string { return fmt.Sprintf("panic: %T", p.Value) }

// defect returns the denial of a gate that panicked.
func defect(gate string, p *Panic) *Denial {
	kind := clean(fmt.Sprintf("%T", p.Value), 128)
	return &Denial{
		Gate:    gate,
		Code:    CodeDefect,
		Message: "the gate panicked: " + kind,
		Details: map[string]any{"panic": kind},
		Err:     p,
	}
}
