package gates

import (
	"errors"
	"fmt"
	"strings"

	"batpak/causal"
)

// ErrPattern is matched by the errors of ParseKinds.
var ErrPattern = errors.New("bad pattern")

// Pattern matches names: "*" stands for any characters, also none; all else stands for itself.
type Pattern string

// Match says whether the whole name fits.
func (p Pattern) Match(name string) bool {
	pattern := string(p)
	star, retry := -1, 0 // the last star, and where the name goes on when that one takes more
	i, k := 0, 0
	for k < len(name) {
		switch {
		case i < len(pattern) && pattern[i] == '*':
			star, retry = i, k
			i++
		case i < len(pattern) && pattern[i] == name[k]:
			i++
			k++
		case star >= 0:
			retry++
			i, k = star+1, retry
		default:
			return false
		}
	}
	return strings.Trim(pattern[i:], "*") == ""
}

// KindRange is the kinds from From to To, both included.
type KindRange struct{ From, To causal.Kind }

// OneKind returns the range of one kind.
func OneKind(k causal.Kind) KindRange { return KindRange{From: k, To: k} }

// Category returns the range of a category, 0 to 15.
func Category(category uint8) KindRange {
	from := causal.Kind(category) << 12
	return KindRange{From: from, To: from | 0xFFF}
}

// Has says whether k is in the range.
func (r KindRange) Has(k causal.Kind) bool { return r.From <= k && k <= r.To }

// String returns what ParseKinds reads.
func (r KindRange) String() string {
	if r.From == r.To {
		return r.From.String()
	}
	return r.From.String() + "-" + r.To.String()
}

// ParseKinds reads "0x1001", "0x1000-0x1fff", or "*" for all kinds. Its errors match ErrPattern.
func ParseKinds(s string) (KindRange, error) {
	if s == "*" {
		return KindRange{To: 0xFFFF}, nil
	}
	first, last, between := strings.Cut(s, "-")
	from, err := causal.ParseKind(first)
	to := from
	if err == nil && between {
		to, err = causal.ParseKind(last)
	}
	if err != nil {
		return KindRange{}, fmt.Errorf("gates: %w: %w", ErrPattern, err)
	}
	if from > to {
		return KindRange{}, fmt.Errorf("gates: %w: %.40q ends before it begins", ErrPattern, s)
	}
	return KindRange{From: from, To: to}, nil
}

// Match says which proposals are meant. An empty list means all.
type Match struct {
	Scopes   []Pattern
	Entities []Pattern
	Kinds    []KindRange
}

// Has says whether the proposal is meant.
func (m *Match) Has(p *Proposal) bool {
	return anyPattern(m.Scopes, p.Header.Scope) && anyPattern(m.Entities, p.Header.Entity) &&
		(len(m.Kinds) == 0 || anyKind(m.Kinds, p.Header.Kind))
}

// When makes a gate that asks g about the proposals that match, and permits the others. Its name
// is g's.
func When(m Match, g Gate) Gate { return &when{Gate: g, match: m} }

type when struct {
	Gate
	match Match
}

func (w *when) Judge(p *Proposal, v View) *Denial {
	if !w.match.Has(p) {
		return nil
	}
	return w.Gate.Judge(p, v)
}

// Forget reaches g when that is a Forgetter.
func (w *when) Forget() {
	if f, ok := w.Gate.(Forgetter); ok {
		f.Forget()
	}
}

// Rewind reaches g when that is a Rewinder.
func (w *when) Rewind(seq uint64) {
	if r, ok := w.Gate.(Rewinder); ok {
		r.Rewind(seq)
	}
}

func (w *when) defect() string {
	if w.Gate == nil {
		return "is nil"
	}
	if g, ok := w.Gate.(checked); ok {
		return g.defect()
	}
	return ""
}

func anyPattern(patterns []Pattern, name string) bool {
	for _, p := range patterns {
		if p.Match(name) {
			return true
		}
	}
	return len(patterns) == 0
}

func anyKind(ranges []KindRange, k causal.Kind) bool {
	for _, r := range ranges {
		if r.Has(k) {
			return true
		}
	}
	return false
}
