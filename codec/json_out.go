package codec

import (
	"encoding/base64"
	"math"
	"strconv"
	"time"
)

// MsgpackToJSON appends one MessagePack value as JSON, without spaces and in the order of the
// bytes. JSON has less than MessagePack, so this is a view and not an encoding that leads back:
//
//   - binary is a string in base64
//   - a float that is a whole number keeps a fraction ("1.0"); NaN and the infinities are null
//   - a timestamp is a string in RFC 3339 with nanoseconds, every other extension is
//     {"ext":TYPE,"data":BASE64}
//   - a key that is not a string is its JSON text as a string, or the base64 of its bytes when
//     it is an array, a map or binary; keys that are the same are all written
//
// The value is checked like Check does, with the same errors. The result is at most about six
// times as long.
func MsgpackToJSON(dst, b []byte) ([]byte, error) {
	return msgpackToJSON(dst, b, MaxDepth)
}

func msgpackToJSON(dst, b []byte, depth int) ([]byte, error) {
	r := reader{b: b}
	if len(b) > math.MaxInt32 {
		r.fail(0, "is longer than 2 GiB")
	}
	r.skip(depth)
	if r.err == nil && r.off < len(b) {
		r.fail(r.off, "bytes follow the value")
	}
	if r.err != nil {
		r.err.Op = "value"
		return dst, r.err
	}
	r.off = 0
	return appendJSON(dst, &r), nil
}

// appendJSON appends the next value of r, which was checked before.
func appendJSON(dst []byte, r *reader) []byte {
	wide32 := r.off < len(r.b) && r.b[r.off] == 0xca
	h := r.head()
	switch h.class {
	case classBool:
		return strconv.AppendBool(dst, h.n == 1)
	case classUint:
		return strconv.AppendUint(dst, h.n, 10)
	case classInt:
		return strconv.AppendInt(dst, int64(h.n), 10)
	case classFloat:
		return appendJSONFloat(dst, math.Float64frombits(h.n), wide32)
	case classStr:
		return appendJSONString(dst, r.take(h.n))
	case classBin:
		return appendJSONBase64(dst, r.take(h.n))
	case classExt:
		return appendJSONExt(dst, h.ext, r.take(h.n))
	case classArray:
		dst = append(dst, '[')
		for i := range h.n {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, r)
		}
		return append(dst, ']')
	case classMap:
		dst = append(dst, '{')
		for i := range h.n {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendJSONKey(dst, r), ':')
			dst = appendJSON(dst, r)
		}
		return append(dst, '}')
	default:
		return append(dst, "null"...)
	}
}

// appendJSONKey appends a map's key. Arrays and maps are not written as JSON text here: keys
// within keys would double their backslashes with every level.
func appendJSONKey(dst []byte, r *reader) []byte {
	start := r.off
	switch h := r.head(); h.class {
	case classStr:
		return appendJSONString(dst, r.take(h.n))
	case classBin:
		return appendJSONBase64(dst, r.take(h.n))
	case classArray, classMap:
		r.off = start
		r.skip(maxBodyDepth)
		return appendJSONBase64(dst, r.b[start:r.off])
	default:
		r.off = start
		text := appendJSON(nil, r)
		if text[0] == '"' {
			return append(dst, text...)
		}
		return appendJSONString(dst, text)
	}
}

func appendJSONFloat(dst []byte, v float64, single bool) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(dst, "null"...)
	}
	bits, format := 64, byte('f')
	if single {
		bits = 32
	}
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, v, format, -1, bits)
	for _, c := range dst[start:] {
		if c == '.' || c == 'e' {
			return dst
		}
	}
	return append(dst, ".0"...)
}

func appendJSONExt(dst []byte, ext int8, b []byte) []byte {
	if t, ok := Timestamp(ext, b); ok {
		dst = t.AppendFormat(append(dst, '"'), time.RFC3339Nano)
		return append(dst, '"')
	}
	dst = strconv.AppendInt(append(dst, `{"ext":`...), int64(ext), 10)
	dst = appendJSONBase64(append(dst, `,"data":`...), b)
	return append(dst, '}')
}

func appendJSONBase64(dst, b []byte) []byte {
	dst = base64.StdEncoding.AppendEncode(append(dst, '"'), b)
	return append(dst, '"')
}

const lowerHex = "0123456789abcdef"

// appendJSONString appends UTF-8 as a string, escaping what must be.
func appendJSONString(dst, s []byte) []byte {
	dst = append(dst, '"')
	done := 0
	for i, c := range s {
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[done:i]...)
		done = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', lowerHex[c>>4], lowerHex[c&0xf])
		}
	}
	return append(append(dst, s[done:]...), '"')
}
