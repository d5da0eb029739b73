package codec

import (
	"bytes"
	"encoding/base64"
	"math"
	"strconv"

	"batpak/causal"
)

// The functions below write or read one value at the form's place, whatever its key.

func uintValue[T ~uint8 | ~uint16 | ~uint32 | ~uint64](f *form, p *T) {
	if f.mode == encoding {
		f.b = appendUint(f.b, uint64(*p))
		return
	}
	start := f.off
	n := f.expect(classUint)
	if n > uint64(^T(0)) {
		f.bad(start, "is larger than "+strconv.FormatUint(uint64(^T(0)), 10))
		return
	}
	*p = T(n)
}

func boolValue(f *form, p *bool) {
	if f.mode == encoding {
		f.b = appendBool(f.b, *p)
		return
	}
	*p = f.expect(classBool) == 1
}

// textual is a string type of the protocol.
type textual interface{ ~string }

func strValue[T textual](f *form, p *T) {
	if f.mode == encoding {
		f.b = appendStr(f.b, string(*p))
		return
	}
	*p = T(f.str())
}

// nameValue is a string of 1 to causal.MaxName bytes.
func nameValue(f *form, p *string) {
	if f.mode == encoding {
		f.b = appendStr(f.b, *p)
		return
	}
	start := f.off
	s := f.str()
	if len(s) == 0 || len(s) > causal.MaxName {
		f.bad(start, "is not of 1 to 256 bytes")
		return
	}
	*p = string(s)
}

// fixedText is an identifier of a fixed size with a text form.
type fixedText interface {
	MarshalText() ([]byte, error)
	UnmarshalText([]byte) error
}

// idValue is an identifier: id is its memory, text its text form.
func idValue(f *form, id []byte, text fixedText) {
	switch {
	case f.mode == encoding && f.text:
		s, _ := text.MarshalText() // the identifiers' never fails
		f.b = appendStr(f.b, s)
	case f.mode == encoding:
		f.b = appendBin(f.b, id)
	case f.text:
		start := f.off
		if err := text.UnmarshalText(f.str()); err != nil {
			f.bad(start, err.Error())
		}
	default:
		start := f.off
		b := f.take(f.expect(classBin))
		if len(b) != len(id) {
			f.bad(start, "has "+strconv.Itoa(len(b))+" bytes, not "+strconv.Itoa(len(id)))
			return
		}
		copy(id, b)
	}
}

func eventIDValue(f *form, p *causal.EventID) { idValue(f, p[:], p) }
func hashValue(f *form, p *causal.Hash)       { idValue(f, p[:], p) }
func keyIDValue(f *form, p *causal.KeyID)     { idValue(f, p[:], p) }

// bytesValue is binary; as text it is standard base64 with padding. What is read aliases the
// form's bytes, or is a copy when it was text.
func bytesValue(f *form, p *[]byte) {
	switch {
	case f.mode == encoding && f.text:
		f.b = appendBase64(f.b, *p)
	case f.mode == encoding:
		f.b = appendBin(f.b, *p)
	case f.text:
		start := f.off
		s := f.str()
		b := make([]byte, base64.StdEncoding.DecodedLen(len(s)))
		n, err := base64.StdEncoding.Strict().Decode(b, s)
		if err != nil {
			f.bad(start, "is not base64")
			return
		}
		*p = b[:n]
	default:
		*p = f.take(f.expect(classBin))
	}
}

// sigValue is an Ed25519 signature.
func sigValue(f *form, p *[64]byte) {
	start, sig := f.off, p[:]
	bytesValue(f, &sig)
	if len(sig) != len(p) {
		f.bad(start, "is not 64 bytes")
	}
	copy(p[:], sig)
}

// appendBase64 appends a string that is b in base64.
func appendBase64(dst, b []byte) []byte {
	n := base64.StdEncoding.EncodedLen(len(b))
	dst = appendStrHead(dst, n)
	return base64.StdEncoding.AppendEncode(dst, b)
}

// rawValue is a payload: any one msgpack value, kept byte for byte.
func rawValue(f *form, p *[]byte) {
	if f.mode == encoding {
		if err := check(*p); err != nil {
			f.bad(-1, err.Reason)
			return
		}
		f.b = append(f.b, *p...)
		return
	}
	start := f.off
	if f.skip(maxBodyDepth) > MaxDepth {
		f.bad(start, tooDeep)
		return
	}
	*p = f.b[start:f.off:f.off]
}

// listValue is an array of least to most elements.
func listValue[T any](f *form, list *[]T, least, most int, each func(*form, *T)) {
	if f.mode == encoding {
		f.b = appendArrayHead(f.b, len(*list))
		for i := range *list {
			each(f, &(*list)[i])
		}
		return
	}
	start := f.off
	n := f.expect(classArray)
	switch {
	case f.err != nil:
		return
	case n < uint64(least):
		f.bad(start, "is empty")
		return
	case n > uint64(most):
		f.exceed(most, "elements")
		return
	}
	// Grown as elements turn out well, not by what the head claims.
	out := make([]T, 0, min(int(n), 16))
	for range n {
		out = append(out, *new(T))
		each(f, &out[len(out)-1])
		if f.err != nil {
			return
		}
	}
	*list = out
}

const unlimited = math.MaxInt32

// bodiesValue is an array of maps.
func bodiesValue[T any, P interface {
	*T
	Body
}](f *form, list *[]T, least, most int) {
	key, i := f.key, 0
	listValue(f, list, least, most, func(f *form, p *T) {
		f.nested(P(p), key+"["+strconv.Itoa(i)+"]")
		i++
	})
}

// metaValue is a map of strings within the limits of meta.
func metaValue(f *form, p *map[string]string) {
	if f.mode == encoding {
		f.b = appendMeta(f.b, *p)
		return
	}
	start := f.off
	n := f.expect(classMap)
	if n > MaxMeta {
		f.exceed(MaxMeta, "entries")
	}
	if f.err != nil {
		return
	}
	meta := make(map[string]string, n)
	size := 0
	for range n {
		key, value := f.str(), f.str()
		if size += len(key) + len(value); size > MaxMetaBytes {
			f.exceed(MaxMetaBytes, "bytes")
		}
		if f.err != nil {
			return
		}
		meta[string(key)] = string(value)
	}
	if len(meta) != int(n) {
		f.bad(start, "has a key twice")
	}
	*p = meta
}

// causeValue is 16 or 32 bytes; as text the id, or lineage/id.
func causeValue(f *form, c *causal.Cause) {
	switch {
	case f.mode == encoding && f.text:
		f.b = appendCauseText(f.b, c)
	case f.mode == encoding:
		f.b = appendCause(f.b, c)
	case f.text:
		start := f.off
		if !causeOfText(c, f.str()) {
			f.bad(start, "a cause is an id, or a lineage, a slash and an id")
		}
	default:
		start := f.off
		if !causeOf(c, f.take(f.expect(classBin))) {
			f.bad(start, "a cause is 16 or 32 bytes and not zero")
		}
	}
}

func appendCauseText(dst []byte, c *causal.Cause) []byte {
	if c.Lineage.IsZero() {
		return appendStr(dst, c.ID.String())
	}
	return appendStr(dst, c.Lineage.String()+"/"+c.ID.String())
}

func causeOfText(c *causal.Cause, s []byte) bool {
	if i := bytes.IndexByte(s, '/'); i >= 0 {
		if c.Lineage.UnmarshalText(s[:i]) != nil || c.Lineage.IsZero() {
			return false
		}
		s = s[i+1:]
	}
	return c.ID.UnmarshalText(s) == nil && !c.ID.IsZero()
}

// envelopeValue is an envelope: binary, or as text the object of its keys.
func envelopeValue(f *form, p *[]byte) {
	switch {
	case f.mode == encoding && f.text:
		b, err := appendEnvelopeText(f.b, *p)
		if err != nil {
			f.bad(-1, err.Error())
			return
		}
		f.b = b
	case f.text:
		f.nested((*envelopeText)(p), f.key)
	default:
		bytesValue(f, p)
	}
}

// envelopeText reads the one key of an envelope's object that has all of it.
type envelopeText []byte

func (e *envelopeText) fields(f *form) {
	f.lenient = true
	if f.field("envelope", required, false) {
		bytesValue(f, (*[]byte)(e))
	}
}
