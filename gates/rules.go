package gates

import (
	"fmt"
	"slices"

	"batpak/causal"
)

// Codes of the gates that this package makes.
const (
	CodeSize   = "payload_too_large" // MaxSize: details bytes, limit
	CodeKind   = "kind_not_allowed"  // AllowKinds: details scope, kind, and allowed, or no allowed when no rule is about the scope
	CodeCauses = "causes_missing"    // RequireCauses: details have, need, and kinds when only some count
	CodeRate   = "rate_exceeded"     // MaxRate: details scope, entity when it counts by entity, events, per_ms, burst, retry_after_ms
)

// MaxSize makes a gate that denies payloads of more than limit bytes of MessagePack, with CodeSize.
// NewChain refuses it when limit is not positive. For other limits for other events, see When.
func MaxSize(name string, limit int) Gate {
	return &rule{name: name, bad: unless(limit > 0, "has no positive limit"), judge: func(p *Proposal, _ View) *Denial {
		if len(p.Data) <= limit {
			return nil
		}
		return &Denial{
			Code:    CodeSize,
			Message: fmt.Sprintf("the payload has %d bytes, the limit is %d", len(p.Data), limit),
			Details: map[string]any{"bytes": len(p.Data), "limit": limit},
		}
	}}
}

// KindRule says which kinds the scopes that match may have.
type KindRule struct {
	Scope Pattern
	Kinds []KindRange
}

// AllowKinds makes a gate that permits only the kinds that the first rule for the scope names, and
// denies the others with CodeKind. A scope that no rule is about may have none: a last rule with
// the Scope "*" is about all others. NewChain refuses the gate without rules.
func AllowKinds(name string, rules ...KindRule) Gate {
	rules = slices.Clone(rules)
	return &rule{name: name, bad: unless(len(rules) > 0, "has no rules"), judge: func(p *Proposal, _ View) *Denial {
		details := map[string]any{"scope": p.Header.Scope, "kind": p.Header.Kind.String()}
		for _, r := range rules {
			if !r.Scope.Match(p.Header.Scope) {
				continue
			}
			if anyKind(r.Kinds, p.Header.Kind) {
				return nil
			}
			details["allowed"] = texts(r.Kinds)
			break
		}
		return &Denial{
			Code:    CodeKind,
			Message: fmt.Sprintf("kind %s is not allowed in scope %s", p.Header.Kind, p.Header.Scope),
			Details: details,
		}
	}}
}

// RequireCauses makes a gate that denies events with fewer than least different causes, with
// CodeCauses. When kinds are given, only causes of these kinds count, and causes in other journals
// do not: their kinds cannot be known here. That needs a View that is a Finder; without one it
// denies with CodeView. NewChain refuses the gate when least is not positive.
func RequireCauses(name string, least int, kinds ...KindRange) Gate {
	kinds = slices.Clone(kinds)
	return &rule{name: name, bad: unless(least > 0, "asks for no causes"), judge: func(p *Proposal, v View) *Denial {
		have, d := countCauses(p, v, kinds, least)
		if d != nil || have >= least {
			return d
		}
		details := map[string]any{"have": have, "need": least}
		if len(kinds) > 0 {
			details["kinds"] = texts(kinds)
		}
		return &Denial{
			Code:    CodeCauses,
			Message: fmt.Sprintf("the event names %d of the causes that count, and needs %d", have, least),
			Details: details,
		}
	}}
}

// countCauses counts different causes up to enough.
func countCauses(p *Proposal, v View, kinds []KindRange, enough int) (n int, d *Denial) {
	causes := p.Header.Causes
	if len(causes) < enough {
		enough = len(causes)
	}
	finder, ok := v.(Finder)
	if len(kinds) > 0 && !ok {
		return 0, &Denial{Code: CodeView, Message: "the view cannot find causes"}
	}
	for i, cause := range causes {
		if n == enough {
			break
		}
		if slices.Contains(causes[:i], cause) {
			continue
		}
		if len(kinds) > 0 {
			if !cause.Lineage.IsZero() && cause.Lineage != p.Header.Lineage {
				continue
			}
			h, err := finder.Find(cause.ID)
			if err != nil {
				return n, &Denial{Code: CodeView, Message: "a cause cannot be read", Details: map[string]any{"event": cause.ID}, Err: err}
			}
			if !anyKind(kinds, h.Kind) {
				continue
			}
		}
		n++
	}
	return n, nil
}

// Finder is a View that finds events by id, staged ones too. A journal's view is one.
type Finder interface {
	// Find returns the header of an event, or an error when there is none or it cannot be read.
	// What it holds must not be written to, and must be copied to be kept after Judge.
	Find(id causal.EventID) (causal.Header, error)
}

// rule is a gate of this package. bad says why NewChain refuses it.
type rule struct {
	name, bad string
	judge     func(*Proposal, View) *Denial
}

func (r *rule) Name() string                      { return r.name }
func (r *rule) Judge(p *Proposal, v View) *Denial { return r.judge(p, v) }
func (r *rule) defect() string                    { return r.bad }

func unless(good bool, bad string) string {
	if good {
		return ""
	}
	return bad
}

func texts(ranges []KindRange) []string {
	out := make([]string, len(ranges))
	for i, r := range ranges {
		out[i] = r.String()
	}
	return out
}
