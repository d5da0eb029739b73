package gates

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// MaxGates is how many gates a chain may have: an event carries the names of all of them.
const MaxGates = 256

// ErrProposal is returned when there is no proposal to judge.
var ErrProposal = errors.New("gates: no proposal")

// Chain is the gates of a journal, in the order in which they are asked. It does not change after
// NewChain. A nil *Chain is an empty one.
type Chain struct {
	gates []Gate
	names []string // names[i] was gates[i].Name() once, and is what counts
}

// Verdict is what one gate said.
type Verdict struct {
	Gate    string
	Denial  *Denial // nil when it permits
	Elapsed time.Duration
}

// NewChain makes a chain. Its errors match ErrGate: a nil gate, a gate that was made wrongly, a name that is bad (see Gate) or
// is there twice, more than MaxGates.
func NewChain(gates ...Gate) (*Chain, error) {
	if len(gates) > MaxGates {
		return nil, fmt.Errorf("gates: %w: a chain has %d, the limit is %d", ErrGate, len(gates), MaxGates)
	}
	c := &Chain{gates: slices.Clone(gates)} // names stays nil in an empty chain
	for i, g := range gates {
		name, bad := nameOf(g)
		if bad == "" && slices.Contains(c.names, name) {
			bad = fmt.Sprintf("the name %q is there twice", name)
		}
		if bad != "" {
			return nil, fmt.Errorf("gates: %w: gate %d: %s", ErrGate, i, bad)
		}
		c.names = append(c.names, name)
	}
	return c, nil
}

// nameOf returns the gate's name, or what is wrong with the gate.
func nameOf(g Gate) (name, bad string) {
	if g == nil {
		return "", "is nil"
	}
	defer func() {
		if v := recover(); v != nil {
			bad = fmt.Sprintf("Name panicked: %T", v)
		}
	}()
	if c, ok := g.(checked); ok {
		if bad := c.defect(); bad != "" {
			return "", bad
		}
	}
	name = strings.Clone(g.Name())
	if bad = checkText(name, MaxName); bad != "" {
		return "", "the name " + bad
	}
	if name[0] == '!' {
		return "", `the name begins with "!", which marks a bypass`
	}
	return name, ""
}

// Names returns the names of the gates, in order. The caller may keep and change the slice.
func (c *Chain) Names() []string {
	if c == nil {
		return nil
	}
	return slices.Clone(c.names)
}

// Judge asks the gates in order and stops at the first that denies: then the error is its *Denial.
// When all permit, it returns a permit that carries a copy of p. The only other error is
// ErrProposal, for a nil p.
func (c *Chain) Judge(p *Proposal, v View) (*Permit, error) {
	permit := new(Permit)
	if err := c.JudgeInto(permit, p, v); err != nil {
		return nil, err
	}
	return permit, nil
}

// JudgeInto is Judge for a caller that judges much and brings the memory: it makes permit the
// permit, whatever it was before, and allocates nothing itself. After an error the permit cannot
// be used. What an earlier Use of the same permit returned is overwritten. Nobody else may use
// the permit meanwhile.
func (c *Chain) JudgeInto(permit *Permit, p *Proposal, v View) error {
	permit.self = nil
	if p == nil {
		return ErrProposal
	}
	permit.proposal = *p
	if c == nil {
		permit.arm(nil)
		return nil
	}
	for i := range c.gates {
		show(&permit.shown, &permit.proposal)
		if d := c.ask(i, &permit.shown, v); d != nil {
			return d
		}
	}
	permit.arm(c.names)
	return nil
}

// Evaluate asks every gate, whatever the others say, and returns a verdict for each, in order. It
// is for diagnosis, and permits nothing.
func (c *Chain) Evaluate(p *Proposal, v View) []Verdict {
	if c == nil || p == nil {
		return nil
	}
	verdicts := make([]Verdict, len(c.gates))
	original, shown := *p, new(Proposal)
	for i := range c.gates {
		show(shown, &original)
		start := time.Now()
		d := c.ask(i, shown, v)
		verdicts[i] = Verdict{Gate: c.names[i], Denial: d, Elapsed: time.Since(start)}
	}
	return verdicts
}

// Forget makes every gate that is a Forgetter drop what it derived from events. The journal calls
// it after it destroyed keys and before it says so. A gate that panics is passed over: its panic
// is in the error, which joins one *Panic per such gate.
func (c *Chain) Forget() error {
	if c == nil {
		return nil
	}
	var failed []error
	for i, g := range c.gates {
		if f, ok := g.(Forgetter); ok {
			if err := forget(f); err != nil {
				failed = append(failed, fmt.Errorf("gates: %s: forget: %w", c.names[i], err))
			}
		}
	}
	return errors.Join(failed...)
}

// Rewind tells every gate that is a Rewinder that nothing from seq on came about. The journal calls it
// when it takes back what it staged. A gate that panics is passed over.
func (c *Chain) Rewind(seq uint64) {
	if c == nil {
		return
	}
	for _, g := range c.gates {
		if r, ok := g.(Rewinder); ok {
			rewind(r, seq)
		}
	}
}

func rewind(r Rewinder, seq uint64) {
	defer func() { _ = recover() }() // the gate has its own count wrong then, and nobody else's
	r.Rewind(seq)
}

func forget(f Forgetter) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &Panic{Value: v, Stack: debug.Stack()}
		}
	}()
	f.Forget()
	return nil
}

// show makes dst the proposal that a gate gets: a copy of p whose slices have no room behind their
// end, so that an append to one of them cannot reach shared memory.
func show(dst, p *Proposal) {
	*dst = *p
	dst.Data = slices.Clip(dst.Data)
	dst.Header.Causes = slices.Clip(dst.Header.Causes)
	dst.Header.Gates = slices.Clip(dst.Header.Gates)
}

// ask returns what gate i says, as the chain's own denial. It never panics.
func (c *Chain) ask(i int, p *Proposal, v View) (d *Denial) {
	defer func() {
		if value := recover(); value != nil {
			d = defect(c.names[i], &Panic{Value: value, Stack: debug.Stack()})
		}
	}()
	if d := c.gates[i].Judge(p, v); d != nil {
		return d.settle(c.names[i])
	}
	return nil
}
