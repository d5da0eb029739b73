package gates

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// MaxReason is the longest reason of a bypass, in bytes.
const MaxReason = 255

var (
	// ErrUsed is returned by the second and every later use of a permit.
	ErrUsed = errors.New("gates: permit: already used")
	// ErrForged is returned by the use of a permit that was not made by a chain or by Bypass,
	// or is a copy of one that was.
	ErrForged = errors.New("gates: permit: not made by a chain")
	// ErrReason is matched by the error of Bypass for a reason that is not 1 to MaxReason bytes of
	// UTF-8 without control characters.
	ErrReason = errors.New("bad reason")
)

// Permit is the proof that a proposal may be appended, and carries it. Only Chain.Judge,
// Chain.JudgeInto and Bypass make one that can be used, and it can be used once. It must not be
// copied: a copy cannot be used.
type Permit struct {
	self     *Permit // itself: nil, or another one, in a permit that nobody gave
	used     atomic.Bool
	gates    []string
	proposal Proposal // no gate has a pointer to it
	shown    Proposal // what the gates get: a copy, made anew for each
}

// arm makes the permit good for one use.
func (p *Permit) arm(gates []string) {
	p.gates = gates
	p.used.Store(false)
	p.self = p
}

// Use returns the proposal that was judged and what the event's header has to say of its gates:
// the names of those that permitted it, nil when there were none, or "!reason" alone for a bypass.
// The names must not be changed. The proposal is the permit's own copy and from now on the
// caller's.
//
// The errors are ErrUsed and ErrForged. Of several goroutines that use one permit, one succeeds.
func (p *Permit) Use() (*Proposal, []string, error) {
	if p == nil || p.self != p {
		return nil, nil, ErrForged
	}
	if p.used.Swap(true) {
		return nil, nil, ErrUsed
	}
	return &p.proposal, p.gates, nil
}

// Bypass returns a permit that no gate was asked for. The reason stays in the event, behind a "!"
// in place of the gates' names. The errors are ErrProposal, and one that matches ErrReason.
func Bypass(p *Proposal, reason string) (*Permit, error) {
	if p == nil {
		return nil, ErrProposal
	}
	if bad := checkText(reason, MaxReason); bad != "" {
		return nil, fmt.Errorf("gates: bypass: %w: it %s", ErrReason, bad)
	}
	permit := &Permit{proposal: *p}
	permit.arm([]string{"!" + reason})
	return permit, nil
}
