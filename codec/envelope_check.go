package codec

import (
	"math"

	"batpak/causal"
)

// Link is what an envelope says of its place in a journal and in a stream's chain, and its hash.
type Link struct {
	Lineage causal.Lineage
	Seq     uint64
	Scope   []byte // part of the envelope, as Entity is
	Entity  []byte
	Lane    uint32
	Version uint64
	Prev    causal.Hash
	Hash    causal.Hash
}

// CheckEnvelope checks an envelope as DecodeEnvelope does, and fills in its link alone. For good bytes it
// allocates nothing, unless scope or entity is long and not ASCII. Its errors match ErrMalformed; after one
// the link is unchanged.
func CheckEnvelope(b []byte, l *Link) error {
	d := envelopeReader{reader: reader{b: b}, bare: true}
	if len(b) > math.MaxInt32 {
		d.fail(0, "is longer than 2 GiB")
	}
	var ev causal.Event
	d.event(&ev, &noEvent)
	if d.err != nil {
		return d.failure()
	}
	*l = Link{Lineage: ev.Lineage, Seq: ev.Seq, Scope: d.scope, Entity: d.entity, Lane: ev.Lane,
		Version: ev.Version, Prev: ev.Prev, Hash: causal.HashEnvelope(b)}
	return nil
}

// noEvent is for who has no event to take strings from.
var noEvent causal.Event
