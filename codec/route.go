package codec

import (
	"math"

	"batpak/causal"
)

// Route is what publishing an envelope onward needs to know of it. The slices alias the
// envelope.
type Route struct {
	ID          causal.EventID
	Seq         uint64
	Scope       []byte
	Entity      []byte
	Kind        causal.Kind
	Traceparent []byte // meta's traceparent; nil when there is none
}

// DecodeRoute reads a Route out of an envelope without allocating. It is for envelopes that
// were decoded before: it stays inside the bytes whatever they are, and its errors match
// ErrMalformed, but it does not check what it passes over.
func DecodeRoute(envelope []byte) (Route, error) {
	d := envelopeReader{reader: reader{b: envelope}}
	var rt Route
	d.left = int(d.length(classMap, math.MaxInt32))
	d.need(keyV)
	d.uint(envelopeVersion, envelopeVersion)
	d.need(keyLineage)
	d.skip(0)
	d.need(keyId)
	d.bytes(rt.ID[:])
	d.need(keySeq)
	rt.Seq = d.uint(1, math.MaxUint64)
	d.need(keyScope)
	rt.Scope = d.text()
	d.need(keyEntity)
	rt.Entity = d.text()
	if d.look(); d.has(keyLane) {
		d.skip(0)
	}
	d.need(keyVersion)
	d.skip(0)
	d.need(keyKind)
	rt.Kind = causal.Kind(d.uint(0, math.MaxUint16))
	for d.left > 0 && d.err == nil {
		if d.look(); d.has(keyData) {
			break
		}
		if d.has(keyMeta) {
			rt.Traceparent = d.traceparent()
			break
		}
		d.str()
		d.skip(MaxDepth)
		d.left--
	}
	if d.err != nil {
		d.err.Op, d.err.Key = "envelope", d.key
		return Route{}, d.err
	}
	return rt, nil
}

// traceparent looks for its value in the map meta.
func (d *envelopeReader) traceparent() []byte {
	for range d.length(classMap, math.MaxInt32) {
		key, value := d.text(), d.text()
		if d.err != nil {
			return nil
		}
		if string(key) == MetaTraceparent {
			return value
		}
	}
	return nil
}

// maxTraceparent is the longest trace context that is passed on, in bytes. The one of W3C's Trace
// Context, version 00, has 55.
const maxTraceparent = 128

// ValidTraceparent says whether a trace context is passed on: when it is 1 to 128 bytes of visible
// ASCII. A header takes nothing else unchanged, and a long one would make a message too large.
func ValidTraceparent[T string | []byte](v T) bool {
	for i := range len(v) {
		if v[i] <= ' ' || v[i] > '~' {
			return false
		}
	}
	return len(v) > 0 && len(v) <= maxTraceparent
}
