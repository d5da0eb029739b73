package gates

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"

	"batpak/causal"
)

// MaxName is the longest name of a gate, in bytes.
const MaxName = 256

// ErrGate is matched by the errors of NewChain.
var ErrGate = errors.New("bad gate")

// Gate is a rule over proposals. Name is its name in the event, in denials and in the status of
// a node: 1 to MaxName bytes of UTF-8 without control characters, not beginning with "!".
//
// Judge returns nil to permit. It must not wait, must not write to what p and v hold, and must
// keep neither after it returned. The journal calls it from one goroutine at a time; a gate that
// sits in several chains is called from several.
type Gate interface {
	Name() string
	Judge(p *Proposal, v View) *Denial
}

// Forgetter is a gate that keeps something it derived from events. Forget makes it drop all of
// that; it is called, from any goroutine, when payload keys were destroyed.
type Forgetter interface {
	Forget()
}

// Rewinder is a gate that keeps something it derived from what it permitted. Rewind says that nothing
// with this sequence or a later one came about of all that was judged so far. It is called where
// Judge is, with a sequence that is judged for again or goes to an event that no gate is asked about.
type Rewinder interface {
	Rewind(seq uint64)
}

// Proposal is an append that has not been judged.
type Proposal struct {
	// Header is the event's header as it would be: Version, Seq and Time are those that the event
	// gets when it is appended. ID, Prev and Enc are not assigned yet and zero.
	Header causal.Header
	// Data is the payload in clear: one MessagePack value.
	Data []byte
}

// View is the journal as it will be just before the proposed event. It is valid until Judge
// returns.
type View interface {
	// Head returns where a stream stands, zero when it has no events.
	Head(s causal.Stream) causal.Head

	// Events returns a stream's events with a version greater than after, in order, up to Head.
	// An error ends them. What an Event holds must not be written to, and must be copied to be
	// kept after Judge.
	Events(s causal.Stream, after uint64) iter.Seq2[Event, error]
}

// Event is a committed or staged event with its payload in clear.
type Event struct {
	causal.Event
	// Payload is the payload in clear when State is causal.Plain or causal.Opened, else nil.
	Payload []byte
	State   causal.PayloadState
}

// checked is a gate that can tell what it was made wrongly from.
type checked interface {
	Gate
	defect() string // "" when nothing is wrong
}

const noFunction = "has a nil function"

// New makes a gate from a function. NewChain refuses it when the name is bad or judge is nil.
func New(name string, judge func(p *Proposal, v View) *Denial) Gate {
	return &function{name: name, judge: judge}
}

type function struct {
	name  string
	judge func(*Proposal, View) *Denial
}

func (f *function) Name() string                      { return f.name }
func (f *function) Judge(p *Proposal, v View) *Denial { return f.judge(p, v) }
func (f *function) defect() string                    { return unless(f.judge != nil, noFunction) }

// checkText says what is wrong with a name or a reason: "" when nothing is.
func checkText(s string, limit int) string {
	switch {
	case s == "":
		return "is empty"
	case len(s) > limit:
		return fmt.Sprintf("has %d bytes, the limit is %d", len(s), limit)
	case !utf8.ValidString(s):
		return "is not UTF-8"
	case strings.ContainsFunc(s, unicode.IsControl):
		return "has a control character"
	}
	return ""
}
