package codec

import (
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// JSONToMsgpack appends the MessagePack of one JSON value (RFC 8259). Maps are sorted by the
// bytes of their keys; a number without fraction and exponent that fits 64 bits becomes an
// integer in its shortest form, every other number a float64. Errors are of type *Error and
// match ErrMalformed: a repeated key, nesting deeper than MaxDepth, text that is not UTF-8, an
// escaped surrogate without its other half, a number that no float64 can hold, anything behind
// the value. Equal JSON values, whatever their spacing and order, give equal bytes. What is
// allocated is at most a small multiple of len(json).
func JSONToMsgpack(dst, json []byte) ([]byte, error) {
	out, err := jsonToMsgpack(dst, json, jsonRules{depth: MaxDepth})
	if err != nil {
		return dst, err
	}
	return out, nil
}

// jsonRules are what the protocol and its payloads do not share.
type jsonRules struct {
	depth   int
	repeats repeats
}

func jsonToMsgpack(dst, b []byte, rules jsonRules) ([]byte, *Error) {
	p := jsonParser{b: b, rules: rules}
	if len(b) > math.MaxInt32 {
		p.fail(0, "is longer than 2 GiB")
	}
	dst = p.value(dst, 0)
	p.space()
	if p.err == nil && p.off < len(b) {
		p.fail(p.off, "bytes follow the value")
	}
	return dst, p.err
}

// jsonParser reads JSON and appends MessagePack as it goes. Its first failure sticks.
type jsonParser struct {
	b     []byte
	off   int
	err   *Error
	rules jsonRules

	mapSorter
	unescaped []byte
}

func (p *jsonParser) fail(off int, reason string) {
	if p.err == nil {
		p.err = &Error{Op: "JSON", Offset: off, Reason: reason}
	}
	p.off = len(p.b)
}

func (p *jsonParser) space() {
	for p.off < len(p.b) {
		switch p.b[p.off] {
		case ' ', '\t', '\n', '\r':
			p.off++
		default:
			return
		}
	}
}

// peek returns the next byte that is not space, 0 at the end.
func (p *jsonParser) peek() byte {
	p.space()
	if p.off == len(p.b) {
		return 0
	}
	return p.b[p.off]
}

// next passes over the byte c if it is the next one that is not space.
func (p *jsonParser) next(c byte) bool {
	if p.peek() != c || p.off == len(p.b) {
		return false
	}
	p.off++
	return true
}

// value reads one value; depth is how many containers are around it.
func (p *jsonParser) value(dst []byte, depth int) []byte {
	switch c := p.peek(); {
	case p.off == len(p.b):
		p.fail(p.off, truncated)
	case c == '{' || c == '[':
		if depth == p.rules.depth {
			p.fail(p.off, tooDeep)
			return dst
		}
		p.off++
		if c == '{' {
			return p.object(dst, depth+1)
		}
		return p.array(dst, depth+1)
	case c == '"':
		p.off++
		return appendStr(dst, p.str())
	case c == '-' || '0' <= c && c <= '9':
		return p.number(dst)
	case p.literal("null"):
		return appendNil(dst)
	case p.literal("true"):
		return appendBool(dst, true)
	case p.literal("false"):
		return appendBool(dst, false)
	default:
		p.fail(p.off, "no value starts with this byte")
	}
	return dst
}

func (p *jsonParser) literal(word string) bool {
	end := p.off + len(word)
	if end > len(p.b) || string(p.b[p.off:end]) != word {
		return false
	}
	p.off = end
	return true
}

// array reads the elements of an array and its closing bracket.
func (p *jsonParser) array(dst []byte, depth int) []byte {
	at, n := len(dst), 0
	dst = append(dst, 0x90)
	if p.next(']') {
		return dst
	}
	for p.err == nil {
		dst = p.value(dst, depth)
		n++
		if p.next(']') {
			break
		}
		if !p.next(',') {
			p.fail(p.off, "is not a comma or the end of the array")
		}
	}
	return widenHead(dst, at, 0x90, 0xdc, n)
}

// object reads the entries of an object and its closing brace, and sorts them.
func (p *jsonParser) object(dst []byte, depth int) []byte {
	start, at, first := p.off-1, len(dst), len(p.spans)
	dst = append(dst, 0x80)
	if p.next('}') {
		return dst
	}
	for p.err == nil {
		if !p.next('"') {
			p.fail(p.off, "is not the key of an object")
			break
		}
		s := span{start: len(dst)}
		key := p.str()
		dst = appendStr(dst, key)
		s.key, s.keyEnd = len(dst)-len(key), len(dst)
		if !p.next(':') {
			p.fail(p.off, "is not a colon")
		}
		dst = p.value(dst, depth)
		s.end = len(dst)
		p.spans = append(p.spans, s)
		if p.next('}') {
			break
		}
		if !p.next(',') {
			p.fail(p.off, "is not a comma or the end of the object")
		}
	}
	if p.err != nil {
		return dst
	}
	dst, n, refused := p.sort(dst, first, p.rules.repeats)
	p.spans = p.spans[:first]
	if refused {
		p.fail(start, "has a key twice")
	}
	return widenHead(dst, at, 0x80, 0xde, n)
}

// number reads a number in JSON's grammar, which is narrower than strconv's.
func (p *jsonParser) number(dst []byte) []byte {
	start := p.off
	negative := p.next('-')
	switch {
	case p.off < len(p.b) && p.b[p.off] == '0':
		p.off++
	case !p.digits():
		p.fail(start, "is not a number")
		return dst
	}
	whole := true
	if p.off < len(p.b) && p.b[p.off] == '.' {
		p.off++
		whole = false
		if !p.digits() {
			p.fail(start, "is not a number")
			return dst
		}
	}
	if p.off < len(p.b) && p.b[p.off]|0x20 == 'e' {
		p.off++
		whole = false
		if p.off < len(p.b) && (p.b[p.off] == '+' || p.b[p.off] == '-') {
			p.off++
		}
		if !p.digits() {
			p.fail(start, "is not a number")
			return dst
		}
	}
	text := string(p.b[start:p.off])
	if whole && negative {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return appendInt(dst, n)
		}
	} else if whole {
		if n, err := strconv.ParseUint(text, 10, 64); err == nil {
			return appendUint(dst, n)
		}
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		p.fail(start, "is a number out of range")
		return dst
	}
	return appendFloat(dst, v)
}

// digits passes over digits and says whether there was one.
func (p *jsonParser) digits() bool {
	start := p.off
	for p.off < len(p.b) && '0' <= p.b[p.off] && p.b[p.off] <= '9' {
		p.off++
	}
	return p.off > start
}

// str reads a string behind its opening quote. What it returns is good until the next call.
func (p *jsonParser) str() []byte {
	start := p.off
	escaped := false
	for p.off < len(p.b) {
		switch c := p.b[p.off]; {
		case c == '"':
			s := p.b[start:p.off]
			p.off++
			if !utf8.Valid(s) {
				p.fail(start, "is not UTF-8")
				return nil
			}
			if escaped {
				return p.unescape(s, start)
			}
			return s
		case c < 0x20:
			p.fail(p.off, "a control character must be escaped")
			return nil
		case c == '\\':
			escaped = true
			p.off++ // whatever it escapes is not the end
		}
		p.off++
	}
	p.fail(len(p.b), truncated)
	return nil
}

// unescape resolves the escapes in a string's content, which is at byte start.
func (p *jsonParser) unescape(s []byte, start int) []byte {
	out := p.unescaped[:0]
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out = append(out, s[i])
			continue
		}
		i++ // str saw to it that a byte follows
		switch s[i] {
		case '"', '\\', '/':
			out = append(out, s[i])
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, ok := hex4(s[i+1:])
			i += 4
			if ok && utf16.IsSurrogate(r) {
				low := rune(-1)
				if i+2 < len(s) && s[i+1] == '\\' && s[i+2] == 'u' {
					low, _ = hex4(s[i+3:])
				}
				r = utf16.DecodeRune(r, low)
				ok = r != utf8.RuneError
				i += 6
			}
			if !ok {
				p.fail(start, "has an escape that is no character")
				return nil
			}
			out = utf8.AppendRune(out, r)
		default:
			p.fail(start, "has an escape that does not exist")
			return nil
		}
	}
	p.unescaped = out
	return out
}

// hex4 reads four hex digits.
func hex4(s []byte) (r rune, ok bool) {
	if len(s) < 4 {
		return -1, false
	}
	n, err := strconv.ParseUint(string(s[:4]), 16, 16)
	if err != nil {
		return -1, false
	}
	return rune(n), true
}
