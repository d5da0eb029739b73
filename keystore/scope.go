package keystore

import (
	"fmt"

	"batpak/causal"
)

// Granularity says which events share a key. The values are stored.
type Granularity uint8

const (
	Unspecified Granularity = iota // not a granularity
	None                           // nothing is sealed
	Entity                         // one key per coordinate, all lanes together
	Category                       // one per kind category
	Kind                           // one per kind
	Event                          // one per event
	Subject                        // one per data subject; events without one are not sealed
)

var granularities = [...]string{"unspecified", "none", "entity", "category", "kind", "event", "subject"}

// String is the name that ParseGranularity reads.
func (g Granularity) String() string {
	if int(g) < len(granularities) {
		return granularities[g]
	}
	return fmt.Sprintf("granularity %d", uint8(g))
}

// ParseGranularity reads "none", "entity", "category", "kind", "event" or
// "subject". Its error is ErrGranularity.
func ParseGranularity(s string) (Granularity, error) {
	for g := None; int(g) < len(granularities); g++ {
		if granularities[g] == s {
			return g, nil
		}
	}
	return Unspecified, fmt.Errorf("keystore: %w: there is none called %q", ErrGranularity, s)
}

func (g Granularity) valid() bool { return g > Unspecified && int(g) < len(granularities) }

// Scope is the set of events that share a key. It is comparable; scopes of two
// granularities are never equal. The zero value is the scope of nothing.
type Scope struct {
	granularity Granularity

	// Only those of the granularity are set.
	name   string // coordinate's scope, or subject
	entity string
	number uint16 // category or kind
	event  causal.EventID
}

// Scope is the scope of the event with this header; ok is false when the event
// is not sealed: with None always, with Subject when it names no subject, and
// always for events at causal.SystemScope, which must be readable when the keys
// are gone. It looks only at what the granularity is about: Coordinate, Kind, ID
// or Subject. It does not check them; a key is not given for a scope that is
// bad.
func (g Granularity) Scope(h *causal.Header) (s Scope, ok bool) {
	if h.Coordinate.Scope == causal.SystemScope {
		return Scope{}, false
	}
	switch g {
	case Entity:
		return Scope{granularity: g, name: h.Coordinate.Scope, entity: h.Entity}, true
	case Category:
		return Scope{granularity: g, number: uint16(h.Kind.Category())}, true
	case Kind:
		return Scope{granularity: g, number: uint16(h.Kind)}, true
	case Event:
		return Scope{granularity: g, event: h.ID}, true
	case Subject:
		return Scope{granularity: g, name: h.Subject}, h.Subject != ""
	}
	return Scope{}, false
}

// String is for people, such as "entity tenant/order-7". It is not reversible.
func (s Scope) String() string {
	switch s.granularity {
	case Entity:
		return "entity " + s.name + "/" + s.entity
	case Category:
		return fmt.Sprintf("category %#x", s.number)
	case Kind:
		return "kind " + causal.Kind(s.number).String()
	case Event:
		return "event " + s.event.String()
	case Subject:
		return "subject " + s.name
	}
	return "nothing"
}

// check says whether the scope can have a key in a keyset of granularity g. What
// passes here can be written, and what was written passes when it is loaded.
func (s Scope) check(g Granularity) error {
	bad := ""
	switch {
	case s.granularity != g || g == None:
		bad = "the keyset's granularity is " + g.String()
	case g == Entity && (!nameFits(s.name) || !nameFits(s.entity)), g == Subject && !nameFits(s.name):
		bad = fmt.Sprintf("a name has 1 to %d bytes", causal.MaxName)
	case g == Category && s.number > 0xF:
		bad = "a category is at most 15"
	case g == Event && s.event.IsZero():
		bad = "the event has no id"
	default:
		return nil
	}
	return fmt.Errorf("%w: %.80q: %s", ErrScope, s.String(), bad)
}

func nameFits(s string) bool { return len(s) >= 1 && len(s) <= causal.MaxName }
