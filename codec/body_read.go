package codec

import "batpak/causal"

const (
	DefaultLimit = 100  // events of a page, when limit is absent
	MaxLimit     = 1000 // largest limit of a request
	DefaultDepth = 10   // of a graph request, when depth is absent
	MaxGraph     = 1000 // largest depth of a graph request
)

// HeadRequest asks where a stream stands.
type HeadRequest struct{ Lane uint32 }

func (h *HeadRequest) fields(f *form) { uintField(f, "lane", &h.Lane, optional) }

// HeadReply is a stream's last event; all zero when the stream is empty.
type HeadReply struct {
	Version, Seq uint64
	Hash         causal.Hash
}

func (*HeadReply) reply() {}

func (h *HeadReply) fields(f *form) {
	uintField(f, "version", &h.Version, required)
	uintField(f, "seq", &h.Seq, required)
	hashField(f, "hash", &h.Hash, optional)
}

// GetRequest asks for one event, by id or by sequence.
type GetRequest struct {
	ID  causal.EventID
	Seq uint64
}

func (g *GetRequest) fields(f *form) {
	eventIDField(f, "id", &g.ID, optional)
	uintField(f, "seq", &g.Seq, optional)
	if f.mode == decoding && g.ID.IsZero() == (g.Seq == 0) {
		f.reject("", "needs either id or seq, and not zero")
	}
}

// GetReply is one event.
type GetReply struct {
	Event []byte // the envelope
	Hash  causal.Hash
}

func (*GetReply) reply() {}

func (g *GetReply) fields(f *form) {
	envelopeField(f, "event", &g.Event, required)
	hashField(f, "hash", &g.Hash, required)
}

// Selection says which events: those with a sequence above After, in ascending order, that
// fit every filter that is set.
type Selection struct {
	After   uint64
	Limit   uint64 // 1 to MaxLimit; 0 is absent, see Max
	Scope   string
	Entity  string
	Lane    *uint32 // nil is every lane
	Kinds   []causal.Kind
	Subject string
	Until   uint64 // the last sequence to look at; 0 is no bound
}

// Max returns how many events a page has at most: Limit, or DefaultLimit when it is absent.
func (s *Selection) Max() int { return orDefault(s.Limit, DefaultLimit, MaxLimit) }

// orDefault is a limit of a request, or what it is when it is absent.
func orDefault(n, absent, most uint64) int {
	if n == 0 {
		return int(absent)
	}
	return int(min(n, most))
}

func (s *Selection) fields(f *form) {
	uintField(f, "after", &s.After, optional)
	limitField(f, "limit", &s.Limit, MaxLimit)
	coordinateField(f, "scope", &s.Scope, optional)
	coordinateField(f, "entity", &s.Entity, optional)
	uintPtrField(f, "lane", &s.Lane)
	listField(f, "kinds", &s.Kinds, optional, MaxKinds, uintValue[causal.Kind])
	nameField(f, "subject", &s.Subject)
	uintField(f, "until", &s.Until, optional)
}

// limitField is an optional number from 1 to most.
func limitField(f *form, key string, p *uint64, most uint64) {
	uintField(f, key, p, optional)
	if f.has(key) && (*p == 0 || *p > most) {
		f.reject(key, "is not from 1 to 1000")
	}
}

// ReadReply is a page of events.
type ReadReply struct {
	Events [][]byte // envelopes
	Next   uint64   // After of the next page
	Head   uint64   // the journal's last visible sequence
	More   bool     // whether to ask again at once
}

func (*ReadReply) reply() {}

func (r *ReadReply) fields(f *form) {
	listField(f, "events", &r.Events, required, unlimited, envelopeValue)
	uintField(f, "next", &r.Next, required)
	uintField(f, "head", &r.Head, required)
	boolField(f, "more", &r.More, required)
}

// OpenRequest asks for events with their payloads opened: a selection, or some ids.
type OpenRequest struct {
	Selection
	IDs []causal.EventID
}

func (o *OpenRequest) fields(f *form) {
	o.Selection.fields(f)
	listField(f, "ids", &o.IDs, optional, MaxIDs, eventIDValue)
	if f.has("ids") && (f.used > 1 || len(o.IDs) == 0) {
		f.reject("ids", "has at least one id, and no selection beside it")
	}
}

// OpenState is what became of a payload that was to be opened.
type OpenState string

const (
	StatePlain      OpenState = "plain"       // it was never sealed
	StateOpened     OpenState = "opened"      // it was sealed
	StateShredded   OpenState = "shredded"    // its key was destroyed on purpose
	StateKeyMissing OpenState = "key_missing" // its key is not in the keyset, and was never shredded
)

// Opened is the payload of one event in clear.
type Opened struct {
	State OpenState
	Data  []byte // one MessagePack value; nil unless State is StatePlain or StateOpened
}

func (o *Opened) fields(f *form) {
	strField(f, "state", &o.State, required)
	rawField(f, "data", &o.Data, optional)
}

// OpenReply is a page of events with their payloads, one per event.
type OpenReply struct {
	ReadReply
	Data []Opened
}

func (o *OpenReply) fields(f *form) {
	o.ReadReply.fields(f)
	bodiesField(f, "data", &o.Data, required, 0, unlimited)
}

// WalkRequest asks for a stream's events backwards from one of them.
type WalkRequest struct {
	ID    causal.EventID
	Limit uint64 // 1 to MaxLimit; 0 is absent
}

// Max returns how many events a walk has at most: Limit, or DefaultLimit when it is absent.
func (w *WalkRequest) Max() int { return orDefault(w.Limit, DefaultLimit, MaxLimit) }

func (w *WalkRequest) fields(f *form) {
	eventIDField(f, "id", &w.ID, required)
	limitField(f, "limit", &w.Limit, MaxLimit)
}

// Why a walk ended.
const (
	EndGenesis = "genesis" // the last event is the first of its stream
	EndLimit   = "limit"   // there are more
	EndMissing = "missing" // the event before is not in the journal
)

// WalkReply is a stream backwards.
type WalkReply struct {
	Events [][]byte
	End    string // EndGenesis, EndLimit or EndMissing
}

func (*WalkReply) reply() {}

func (w *WalkReply) fields(f *form) {
	listField(f, "events", &w.Events, required, unlimited, envelopeValue)
	strField(f, "end", &w.End, required)
}

// Directions of a graph request.
const (
	DirectionCauses  = "causes"
	DirectionEffects = "effects"
	DirectionBoth    = "both"
)

// GraphRequest asks for the causes or effects of an event.
type GraphRequest struct {
	ID        causal.EventID
	Direction string // DirectionCauses, DirectionEffects or DirectionBoth
	Depth     uint64 // 1 to MaxGraph; 0 is absent: DefaultDepth
	Limit     uint64 // 1 to MaxLimit; 0 is absent: DefaultLimit
}

// Max returns how many events a graph has at most: Limit, or DefaultLimit when it is absent.
func (g *GraphRequest) Max() int { return orDefault(g.Limit, DefaultLimit, MaxLimit) }

// Steps returns how far from the event a graph goes: Depth, or DefaultDepth when it is absent.
func (g *GraphRequest) Steps() int { return orDefault(g.Depth, DefaultDepth, MaxGraph) }

func (g *GraphRequest) fields(f *form) {
	eventIDField(f, "id", &g.ID, required)
	strField(f, "direction", &g.Direction, required)
	if d := g.Direction; f.mode == decoding && d != DirectionCauses && d != DirectionEffects && d != DirectionBoth {
		f.reject("direction", "is not causes, effects or both")
	}
	limitField(f, "depth", &g.Depth, MaxGraph)
	limitField(f, "limit", &g.Limit, MaxLimit)
}

// Edge joins a cause to its effect.
type Edge struct{ Cause, Effect causal.EventID }

func edgeValue(f *form, e *Edge) {
	pair := []causal.EventID{e.Cause, e.Effect}
	start := f.off
	listValue(f, &pair, 2, 2, eventIDValue)
	if len(pair) != 2 {
		f.bad(start, "is not [cause, effect]")
		return
	}
	e.Cause, e.Effect = pair[0], pair[1]
}

// GraphReply is a part of the causal graph.
type GraphReply struct {
	Events [][]byte
	Edges  []Edge
	More   bool
}

func (*GraphReply) reply() {}

func (g *GraphReply) fields(f *form) {
	listField(f, "events", &g.Events, required, unlimited, envelopeValue)
	listField(f, "edges", &g.Edges, required, unlimited, edgeValue)
	boolField(f, "more", &g.More, required)
}
