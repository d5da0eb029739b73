package codec

import (
	"slices"

	"batpak/causal"
)

// Limits of request bodies. Passing one is an error that matches ErrTooLarge.
const (
	MaxBatch     = 1000     // events of a batch
	MaxCauses    = 256      // causes of an event
	MaxMeta      = 64       // entries of meta
	MaxMetaBytes = 16 << 10 // bytes of all keys and values of meta
	MaxKinds     = 256      // kinds of a selection
	MaxIDs       = 1000     // ids of an open request
)

// MetaTraceparent is the key in meta for the W3C trace context of an append.
const MetaTraceparent = "traceparent"

// Ack is a level of durability.
type Ack string

const (
	AckDisk   Ack = "disk"   // synced to the node's disk
	AckStream Ack = "stream" // acknowledged by the onward stream too
)

// Append asks for one event. Scope and Entity are for the events of a batch only: a single
// append has them in its subject.
type Append struct {
	Scope, Entity string
	Kind          causal.Kind
	Data          []byte // the payload: one MessagePack value; nil is none, which is an error
	Schema        uint64
	Lane          uint32
	Causes        []causal.Cause
	Correlation   causal.EventID
	Meta          map[string]string
	Subject       string     // the data subject
	Key           string     // the idempotency key; not in a batch's events
	Expect        *uint64    // the stream's version before; nil does not check
	Unless        *Selection // refuse when an event matches
	Ack           Ack        // empty is AckDisk; not in a batch's events
	Renew         bool       // append into an erased key scope, under a new key
}

func (a *Append) fields(f *form) {
	coordinateField(f, "scope", &a.Scope, optional)
	coordinateField(f, "entity", &a.Entity, optional)
	uintField(f, "kind", &a.Kind, required)
	rawField(f, "data", &a.Data, required)
	uintField(f, "schema", &a.Schema, optional)
	uintField(f, "lane", &a.Lane, optional)
	listField(f, "causes", &a.Causes, optional, MaxCauses, causeValue)
	eventIDField(f, "correlation", &a.Correlation, optional)
	metaField(f, "meta", &a.Meta)
	nameField(f, "subject", &a.Subject)
	nameField(f, "key", &a.Key)
	uintPtrField(f, "expect", &a.Expect)
	bodyField(f, "unless", &a.Unless)
	ackField(f, "ack", &a.Ack, optional)
	boolField(f, "renew", &a.Renew, optional)
}

// Batch asks for 1 to MaxBatch events, all or none.
type Batch struct {
	Events []Append
	Key    string
	Ack    Ack
}

func (b *Batch) fields(f *form) {
	bodiesField(f, "events", &b.Events, required, 1, MaxBatch)
	nameField(f, "key", &b.Key)
	ackField(f, "ack", &b.Ack, optional)
	for i := range b.Events {
		switch e := &b.Events[i]; {
		case e.Key != "":
			f.reject("events", "an event has a key; in a batch the key is the batch's")
		case e.Ack != "":
			f.reject("events", "an event has an ack; in a batch the ack is the batch's")
		}
	}
}

// Receipt says what an append became.
type Receipt struct {
	ID        causal.EventID
	Seq       uint64
	Version   uint64
	Time      uint64 // milliseconds since 1970
	Tick      uint16
	Hash      causal.Hash
	Prev      causal.Hash
	Lineage   causal.Lineage
	Durable   Ack  // the level that was reached
	Duplicate bool // the key had been used; the rest is the first receipt
	Proof     *Proof
}

func (*Receipt) reply() {}

func (r *Receipt) fields(f *form) {
	eventIDField(f, "id", &r.ID, required)
	uintField(f, "seq", &r.Seq, required)
	uintField(f, "version", &r.Version, required)
	uintField(f, "time", &r.Time, required)
	uintField(f, "tick", &r.Tick, optional)
	hashField(f, "hash", &r.Hash, required)
	hashField(f, "prev", &r.Prev, optional)
	lineageField(f, "lineage", &r.Lineage, required)
	ackField(f, "durable", &r.Durable, required)
	boolField(f, "duplicate", &r.Duplicate, always)
	bodyField(f, "proof", &r.Proof)
}

// Proof is a node's signature over the commit batch that an event was part of.
type Proof struct {
	Signer string        // the public nkey
	First  uint64        // first sequence of the commit batch
	Last   uint64        // last sequence of the commit batch
	Path   []causal.Hash // the event's audit path in the batch's Merkle tree
	Sig    [64]byte      // Ed25519
}

// Clone returns a copy that shares no memory with p; nil of nil.
func (p *Proof) Clone() *Proof {
	if p == nil {
		return nil
	}
	c := *p
	c.Path = slices.Clone(p.Path)
	return &c
}

func (p *Proof) fields(f *form) {
	if f.mode == encoding && !f.text {
		f.b, f.count = p.append(f.b), 5
		return
	}
	strField(f, "signer", &p.Signer, required)
	uintField(f, "first", &p.First, required)
	uintField(f, "last", &p.Last, required)
	listField(f, "path", &p.Path, required, 64, hashValue)
	if f.field("sig", required, false) {
		sigValue(f, &p.Sig)
	}
}

// append writes what fields describes, in one go: a proof is two thirds of a receipt.
func (p *Proof) append(b []byte) []byte {
	const hash = len(causal.Hash{})
	b = slices.Grow(b, 128+len(p.Signer)+len(p.Path)*(2+hash))
	b = appendStr(append(b, "\xa6signer"...), p.Signer)
	b = appendUint(append(b, "\xa5first"...), p.First)
	b = appendUint(append(b, "\xa4last"...), p.Last)
	b = appendArrayHead(append(b, "\xa4path"...), len(p.Path))
	for i := range p.Path {
		b = append(append(b, 0xc4, byte(hash)), p.Path[i][:]...)
	}
	return appendBin(append(b, "\xa3sig"...), p.Sig[:])
}

// BatchReply has one receipt for each event of a batch, in order.
type BatchReply struct{ Receipts []Receipt }

func (*BatchReply) reply() {}

func (r *BatchReply) fields(f *form) {
	bodiesField(f, "receipts", &r.Receipts, required, 0, unlimited)
}
