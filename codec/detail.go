package codec

import (
	"bytes"
	"encoding/base64"
	"maps"
	"math"
	"slices"

	"batpak/causal"
)

// detailsValue is a map of anything.
func detailsValue(f *form, p *map[string]any) {
	if f.mode == encoding {
		b, err := appendDetail(f.b, *p, f.text, 0)
		if err != nil {
			f.bad(-1, err.Error())
			return
		}
		f.b = b
		return
	}
	start := f.off
	if f.skip(maxBodyDepth) > MaxDepth {
		f.bad(start, tooDeep)
	}
	if f.err != nil {
		return
	}
	f.off = start
	m, ok := anyValue(&f.reader).(map[string]any)
	if !ok {
		f.bad(start, "is not a map with strings as keys")
		return
	}
	*p = m
}

// anyValue reads a value that was checked before into Go's own types. An extension other than
// a timestamp becomes its bytes, a map with another key than a string becomes nil.
func anyValue(r *reader) any {
	h := r.head()
	switch h.class {
	case classBool:
		return h.n == 1
	case classUint:
		return h.n
	case classInt:
		return int64(h.n)
	case classFloat:
		return math.Float64frombits(h.n)
	case classStr:
		return string(r.take(h.n))
	case classBin:
		return bytes.Clone(r.take(h.n))
	case classExt:
		b := r.take(h.n)
		if t, ok := Timestamp(h.ext, b); ok {
			return t
		}
		return bytes.Clone(b)
	case classArray:
		list := make([]any, h.n)
		for i := range list {
			list[i] = anyValue(r)
		}
		return list
	case classMap:
		m := make(map[string]any, h.n)
		for range h.n {
			key, ok := anyValue(r).(string)
			value := anyValue(r)
			if !ok {
				m = nil
			}
			if m != nil {
				m[key] = value
			}
		}
		if m == nil {
			return nil
		}
		return m
	default:
		return nil
	}
}

// appendDetail appends any value; maps are sorted by key.
func appendDetail(dst []byte, v any, text bool, depth int) ([]byte, error) {
	if depth > MaxDepth {
		return dst, &Error{Offset: -1, Reason: tooDeep}
	}
	switch v := v.(type) {
	case nil:
		return appendNil(dst), nil
	case bool:
		return appendBool(dst, v), nil
	case int:
		return appendInt(dst, int64(v)), nil
	case int64:
		return appendInt(dst, v), nil
	case uint64:
		return appendUint(dst, v), nil
	case float64:
		return appendFloat(dst, v), nil
	case string:
		return appendStr(dst, v), nil
	case []byte:
		if text {
			return appendBase64(dst, v), nil
		}
		return appendBin(dst, v), nil
	case causal.Kind:
		return appendUint(dst, uint64(v)), nil
	case causal.EventID:
		return appendID(dst, v[:], v.String, text), nil
	case causal.Lineage:
		return appendID(dst, v[:], v.String, text), nil
	case causal.Hash:
		return appendID(dst, v[:], v.String, text), nil
	case causal.KeyID:
		return appendID(dst, v[:], v.String, text), nil
	case Envelopes:
		return appendEnvelopes(dst, v, text)
	case []string:
		dst = appendArrayHead(dst, len(v))
		for _, s := range v {
			dst = appendStr(dst, s)
		}
		return dst, nil
	case []any:
		dst = appendArrayHead(dst, len(v))
		var err error
		for _, e := range v {
			if dst, err = appendDetail(dst, e, text, depth+1); err != nil {
				return dst, err
			}
		}
		return dst, nil
	case map[string]any:
		dst = appendMapHead(dst, len(v))
		var err error
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if dst, err = appendDetail(appendStr(dst, k), v[k], text, depth+1); err != nil {
				return dst, err
			}
		}
		return dst, nil
	default:
		b, err := encodeGo(v)
		if err != nil {
			return dst, err
		}
		return append(dst, b...), nil
	}
}

func appendID(dst, id []byte, str func() string, text bool) []byte {
	if text {
		return appendStr(dst, str())
	}
	return appendBin(dst, id)
}

func appendEnvelopes(dst []byte, list Envelopes, text bool) ([]byte, error) {
	dst = appendArrayHead(dst, len(list))
	for _, e := range list {
		if !text {
			dst = appendBin(dst, e)
			continue
		}
		var err error
		if dst, err = appendEnvelopeText(dst, e); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// uintOf reads a number out of details.
func uintOf(v any) (uint64, bool) {
	switch n := v.(type) {
	case uint64:
		return n, true
	case int64:
		return uint64(n), n >= 0
	default:
		return 0, false
	}
}

// envelopesOf reads envelopes out of details, as either format has them.
func envelopesOf(v any) (Envelopes, bool) {
	list, ok := v.([]any)
	if !ok || len(list) > math.MaxInt32 {
		return nil, false
	}
	out := make(Envelopes, 0, len(list))
	for _, e := range list {
		switch e := e.(type) {
		case []byte:
			out = append(out, e)
		case map[string]any:
			s, _ := e["envelope"].(string)
			b, err := base64.StdEncoding.DecodeString(s)
			if err != nil || s == "" {
				return nil, false
			}
			out = append(out, b)
		default:
			return nil, false
		}
	}
	return out, true
}
