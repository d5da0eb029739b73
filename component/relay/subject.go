package relay

import (
	"hash/maphash"

	"batpak/causal"
	"batpak/codec"
)

// subjects builds the subjects of messages and remembers some of them: a journal's next event
// is often about a coordinate that it has just seen. It is for one goroutine.
type subjects struct {
	prefix []byte // PREFIX.JOURNAL.events.
	seed   maphash.Seed
	slots  []subjectSlot // a coordinate and kind has one place, by its hash
}

type subjectSlot struct {
	coordinate causal.Coordinate
	kind       causal.Kind
	subject    string
}

const subjectSlots = 1024

func newSubjects(prefix, journal string) subjects {
	return subjects{
		prefix: []byte(prefix + "." + journal + ".events."),
		seed:   maphash.MakeSeed(),
		slots:  make([]subjectSlot, subjectSlots),
	}
}

// all is the subject that every message's subject matches.
func (s *subjects) all() string { return string(s.prefix) + ">" }

// of returns the subject of an event.
func (s *subjects) of(rt *codec.Route) string {
	h := maphash.Bytes(s.seed, rt.Entity) ^ maphash.Bytes(s.seed, rt.Scope)*31 ^ uint64(rt.Kind)
	slot := &s.slots[h%subjectSlots]
	if slot.subject == "" || slot.kind != rt.Kind ||
		slot.coordinate.Entity != string(rt.Entity) || slot.coordinate.Scope != string(rt.Scope) {
		slot.coordinate = causal.Coordinate{Scope: string(rt.Scope), Entity: string(rt.Entity)}
		slot.kind = rt.Kind
		slot.subject = string(s.append(nil, rt))
	}
	return slot.subject
}

const lowerHex = "0123456789abcdef"

func (s *subjects) append(dst []byte, rt *codec.Route) []byte {
	dst = append(dst, s.prefix...)
	dst = append(codec.AppendToken(dst, rt.Scope), '.')
	dst = append(codec.AppendToken(dst, rt.Entity), '.')
	for shift := 12; shift >= 0; shift -= 4 {
		dst = append(dst, lowerHex[rt.Kind>>shift&0xf])
	}
	return dst
}
