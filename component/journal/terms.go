package journal

import (
	"slices"

	"batpak/causal"
	"batpak/codec"
)

// A term is what the events of a segment are looked up by: the hash of one of these bytes and of what it
// says. Different terms may have one hash, so an event that a term leads to is looked at.
const (
	termCoordinate byte = 1 + iota // scope, 0x00, entity
	termCause                      // the id of a cause that is in the journal
	termScope                      // scope
	termEntity                     // entity, in whatever scope
	termKind                       // kind, 2 bytes
	termSubject                    // data subject, when there is one
	termLane                       // lane, 4 bytes, when it is not 0
)

// hasher is a 64-bit FNV-1a on its way.
type hasher uint64

func hash(tag byte) hasher { return hasher(14695981039346656037).byte(tag) }

func (h hasher) byte(b byte) hasher { return (h ^ hasher(b)) * 1099511628211 }

func (h hasher) string(s string) hasher {
	for i := range len(s) {
		h = h.byte(s[i])
	}
	return h
}

func (h hasher) uint16(n uint16) hasher { return h.byte(byte(n)).byte(byte(n >> 8)) }

func coordinateTerm(c causal.Coordinate) uint64 {
	return uint64(hash(termCoordinate).string(c.Scope).byte(0).string(c.Entity))
}

func causeTerm(id causal.EventID) uint64 {
	h := hash(termCause)
	for _, b := range id {
		h = h.byte(b)
	}
	return uint64(h)
}

func scopeTerm(scope string) uint64 { return uint64(hash(termScope).string(scope)) }

func entityTerm(entity string) uint64 { return uint64(hash(termEntity).string(entity)) }

func kindTerm(k causal.Kind) uint64 { return uint64(hash(termKind).uint16(uint16(k))) }

func subjectTerm(subject string) uint64 { return uint64(hash(termSubject).string(subject)) }

func laneTerm(lane uint32) uint64 {
	return uint64(hash(termLane).uint16(uint16(lane)).uint16(uint16(lane >> 16)))
}

// appendTerms appends the terms of an event, each once. Nearly every event is in lane 0, so that is
// no term; nor is a cause in another journal.
func appendTerms(dst []uint64, h *causal.Header) []uint64 {
	own := len(dst)
	dst = append(dst, scopeTerm(h.Scope), kindTerm(h.Kind), entityTerm(h.Entity), coordinateTerm(h.Coordinate))
	if h.Subject != "" {
		dst = append(dst, subjectTerm(h.Subject))
	}
	if h.Lane != 0 {
		dst = append(dst, laneTerm(h.Lane))
	}
	for _, c := range h.Causes {
		if !local(c, h.Lineage) {
			continue
		}
		if term := causeTerm(c.ID); !slices.Contains(dst[own:], term) {
			dst = append(dst, term)
		}
	}
	return dst
}

// local says whether a cause is in the journal of this lineage.
func local(c causal.Cause, lineage causal.Lineage) bool {
	return c.Lineage.IsZero() || c.Lineage == lineage
}

// filtersOf returns what an event must have to be selected, as far as terms tell: of each filter at least
// one term. The first ones are likely to be the rarest. There are none when only a scan can tell.
func filtersOf(sel *codec.Selection) []filter {
	var filters []filter
	one := func(term uint64) { filters = append(filters, filter{{term: term}}) }
	if sel.Subject != "" {
		one(subjectTerm(sel.Subject))
	}
	switch {
	case sel.Scope != "" && sel.Entity != "":
		one(coordinateTerm(causal.Coordinate{Scope: sel.Scope, Entity: sel.Entity}))
	case sel.Entity != "":
		one(entityTerm(sel.Entity))
	}
	if sel.Lane != nil && *sel.Lane != 0 {
		one(laneTerm(*sel.Lane))
	}
	if len(sel.Kinds) > 0 {
		kinds := make(filter, 0, len(sel.Kinds))
		for _, k := range sel.Kinds {
			kinds = append(kinds, cursor{term: kindTerm(k)})
		}
		filters = append(filters, kinds)
	}
	if sel.Scope != "" && sel.Entity == "" {
		one(scopeTerm(sel.Scope))
	}
	return filters
}
