package codec

import "batpak/causal"

// ShredRequest asks for an erasure. Exactly one of Entity, Kind, Category, Event and Subject
// is set; it must fit the journal's granularity.
type ShredRequest struct {
	Entity   *causal.Coordinate
	Kind     *causal.Kind
	Category *uint8
	Event    causal.EventID
	Subject  string
	Reason   string
	Actor    string
}

func (s *ShredRequest) fields(f *form) {
	selectorFields(f, &s.Entity, &s.Kind, &s.Category, &s.Event, &s.Subject)
	strField(f, "reason", &s.Reason, required)
	strField(f, "actor", &s.Actor, optional)
}

// selectorFields are the five ways to name a key scope, of which there is exactly one.
func selectorFields(f *form, entity **causal.Coordinate, kind **causal.Kind, category **uint8, event *causal.EventID, subject *string) {
	at := (*coordinateBody)(*entity)
	bodyField(f, "entity", &at)
	*entity = (*causal.Coordinate)(at)
	uintPtrField(f, "kind", kind)
	uintPtrField(f, "category", category)
	eventIDField(f, "event", event, optional)
	nameField(f, "subject", subject)
	set := 0
	for _, key := range [...]string{"entity", "kind", "category", "event", "subject"} {
		if f.has(key) {
			set++
		}
	}
	if f.mode == decoding && set != 1 {
		f.reject("", "needs exactly one of entity, kind, category, event and subject")
	}
}

// coordinateBody is a coordinate as a map.
type coordinateBody causal.Coordinate

func (c *coordinateBody) fields(f *form) {
	coordinateField(f, "scope", &c.Scope, required)
	coordinateField(f, "entity", &c.Entity, required)
}

// ShredReply says what an erasure reached.
type ShredReply struct {
	Receipt Receipt // of the erasure's own event
	Keys    []causal.KeyID
	Events  uint64 // how many events it covers
}

func (*ShredReply) reply() {}

func (s *ShredReply) fields(f *form) {
	if f.field("receipt", required, false) {
		f.nested(&s.Receipt, "receipt")
	}
	listField(f, "keys", &s.Keys, required, unlimited, keyIDValue)
	uintField(f, "events", &s.Events, required)
}

// Erasure is the payload of a system event of kind causal.KindShred: what was erased, by whom, and
// why. Keys that are not known are passed over, so that an older node reads what a newer one wrote.
type Erasure struct {
	Entity   *causal.Coordinate // exactly one of these five is set
	Kind     *causal.Kind
	Category *uint8
	Event    causal.EventID
	Subject  string
	Reason   string
	Actor    string
	Keys     []causal.KeyID // that it destroyed; none when the scope had been erased before
	Events   uint64         // how many events were sealed under them
}

func (*Erasure) reply() {}

func (e *Erasure) fields(f *form) {
	selectorFields(f, &e.Entity, &e.Kind, &e.Category, &e.Event, &e.Subject)
	strField(f, "reason", &e.Reason, required)
	strField(f, "actor", &e.Actor, optional)
	listField(f, "keys", &e.Keys, required, unlimited, keyIDValue)
	uintField(f, "events", &e.Events, required)
}

// Renewal is the payload of a system event of kind causal.KindRenew: an erased key scope has a new
// key from here on. Keys that are not known are passed over.
type Renewal struct {
	Entity   *causal.Coordinate // exactly one of these five is set
	Kind     *causal.Kind
	Category *uint8
	Event    causal.EventID
	Subject  string
	Key      causal.KeyID
}

func (*Renewal) reply() {}

func (r *Renewal) fields(f *form) {
	selectorFields(f, &r.Entity, &r.Kind, &r.Category, &r.Event, &r.Subject)
	if f.field("key", required, false) {
		keyIDValue(f, &r.Key)
	}
}

// Denial is the payload of a system event of kind causal.KindDenial: a gate refused an append. It
// has nothing of what the append carried. Keys that are not known are passed over.
type Denial struct {
	Gate, Code    string
	Scope, Entity string // where the event would have been
	Lane          uint32
	Kind          causal.Kind
	Dropped       uint64 // refusals before this one that were not kept
}

func (*Denial) reply() {}

func (d *Denial) fields(f *form) {
	strField(f, "gate", &d.Gate, required)
	strField(f, "code", &d.Code, required)
	coordinateField(f, "scope", &d.Scope, required)
	coordinateField(f, "entity", &d.Entity, required)
	uintField(f, "lane", &d.Lane, optional)
	uintField(f, "kind", &d.Kind, required)
	uintField(f, "dropped", &d.Dropped, optional)
}
