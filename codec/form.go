package codec

import (
	"math"
	"strconv"
	"sync"
)

// Format is how a body is written.
type Format uint8

const (
	Msgpack Format = iota // MessagePack
	JSON                  // JSON, with text for ids, hashes and bytes
)

// Body is a request or reply body of the protocol, such as *Append or *Receipt. Its fields
// are described once, for both formats and both directions.
type Body interface {
	fields(f *form)
}

// Marshal appends a body in a format. The error, an *Error, is about a payload that is not
// one MessagePack value, an envelope that is none, or details that cannot be written.
func Marshal(dst []byte, format Format, body Body) ([]byte, error) {
	f := forms.Get().(*form)
	defer f.release()
	f.mode, f.text = encoding, format == JSON
	if !f.text {
		f.b = dst
		body.fields(f.object())
		f.endObject()
		if f.err != nil {
			return dst, f.failure()
		}
		return f.b, nil
	}
	// JSON is written as MessagePack that has text where JSON needs it, and then turned over.
	f.b = make([]byte, 0, 512)
	body.fields(f.object())
	f.endObject()
	if f.err != nil {
		return dst, f.failure()
	}
	return msgpackToJSON(dst, f.b, maxBodyDepth)
}

// Unmarshal reads a body in a format into body, which should be zero. Payloads and envelopes
// in it alias b when the format is Msgpack; strings are copies. Errors are of type *Error and match
// ErrMalformed or ErrTooLarge: not exactly one well-formed map, a repeated key, a wrong type, a
// required key that is missing, a limit that is passed, and in a request an unknown key. In a
// reply unknown keys are passed over, so that old clients can talk to new nodes. No bytes at all
// are an empty map. What is allocated is at most a small multiple of len(b).
func Unmarshal(b []byte, format Format, body Body) error {
	f := forms.Get().(*form)
	defer f.release()
	f.mode, f.text = decoding, format == JSON
	_, f.lenient = body.(interface{ reply() })
	f.empty = len(b) == 0
	if f.text && !f.empty {
		rules := jsonRules{depth: maxBodyDepth}
		if f.lenient {
			rules.repeats = lastOnly // a payload in a reply may have them, see MsgpackToJSON
		}
		packed, err := jsonToMsgpack(make([]byte, 0, len(b)), b, rules)
		if err != nil {
			err.Op = "body"
			return err
		}
		b = packed
	}
	f.reader = reader{b: b}
	if len(b) > math.MaxInt32 {
		f.fail(0, "is longer than 2 GiB")
	}
	if !f.empty {
		f.index()
		if f.err == nil && f.off < len(b) {
			f.fail(f.off, "bytes follow the body")
		}
	}
	body.fields(f)
	f.endObject()
	if f.err != nil {
		return f.failure()
	}
	return nil
}

type mode uint8

const (
	decoding mode = iota
	encoding
)

// presence says when a field is there.
type presence uint8

const (
	required presence = iota // always; decoding fails without it
	optional                 // left out when it has its zero value
	always                   // always written, may be absent when read
)

// form is one pass over one map: a body's fields method calls it once per field, and it
// either writes the field or looks it up in what was read. The bytes written, or read, are in
// reader.b. Forms are pooled, and each keeps one for the maps inside its map.
type form struct {
	reader
	mode    mode
	text    bool // ids, hashes and bytes are text, for JSON
	lenient bool // unknown keys are passed over
	empty   bool // there was no body at all
	key     string
	sub     *form

	// Encoding: where the head of the map is, and how many keys were written.
	start, count int

	// Decoding: the keys of the map and where their values are.
	slots   [maxKeys]slot
	used    int
	claimed uint32 // bit i: a field has asked for slot i
}

// maxKeys is how many keys a body's map may have: more than any body knows.
const maxKeys = 24

// slot is one entry of an indexed map.
type slot struct {
	key, keyEnd int32
	value       int32
}

var forms = sync.Pool{New: func() any { return new(form) }}

// release gives the form back without the caller's bytes in it.
func (f *form) release() {
	for s := f; s != nil; s = s.sub {
		*s = form{sub: s.sub}
	}
	forms.Put(f)
}

// failure finishes the error of the whole body.
func (f *form) failure() *Error {
	f.err.Op = "body"
	if f.mode == encoding || f.text {
		f.err.Offset = -1 // it would be one in the MessagePack in between
	}
	return f.err
}

// bad records that the value at byte off of the current key is not what it should be.
func (f *form) bad(off int, reason string) {
	if f.err == nil {
		f.err = &Error{Offset: off, Key: f.key, Reason: reason}
	}
}

// reject records that the value of a key is not what it should be.
func (f *form) reject(key, reason string) {
	f.key = key
	f.bad(-1, reason)
}

// exceed records that the current key passes a limit.
func (f *form) exceed(limit int, what string) {
	if f.err == nil {
		f.err = &Error{Offset: f.off, Key: f.key, Limit: limit,
			Reason: "has more than the limit of " + strconv.Itoa(limit) + " " + what}
	}
}

// named puts the current key into a failure of the reader, which knows of no keys.
func (f *form) named() {
	if f.err != nil && f.err.Key == "" {
		f.err.Key = f.key
	}
}

// object starts writing a map.
func (f *form) object() *form {
	f.start, f.count = len(f.b), 0
	f.b = append(f.b, 0x80)
	return f
}

// index reads a map: where its keys and values are. Every value in it is checked here, so the
// reads that follow stay inside it.
func (f *form) index() {
	f.used, f.claimed = 0, 0
	n := f.expect(classMap)
	if n > maxKeys {
		f.fail(f.off, "has more keys than there are fields")
	}
	for range n {
		start := f.off
		key := f.str()
		if f.err != nil {
			break
		}
		s := slot{key: int32(f.off - len(key)), keyEnd: int32(f.off), value: int32(f.off)}
		for i := range f.used {
			if string(f.keyOf(i)) == string(key) {
				f.key = string(key)
				f.bad(start, "is there twice")
				return
			}
		}
		f.skip(maxBodyDepth)
		if f.err != nil {
			f.key = string(key)
			f.named()
			return
		}
		f.slots[f.used] = s
		f.used++
	}
}

func (f *form) keyOf(i int) []byte { return f.b[f.slots[i].key:f.slots[i].keyEnd] }

// find returns the index of a key's slot, or -1.
func (f *form) find(key string) int {
	for i := range f.used {
		if string(f.keyOf(i)) == key {
			return i
		}
	}
	return -1
}

// has says whether the key is in what was read.
func (f *form) has(key string) bool { return f.mode == decoding && f.find(key) >= 0 }

// field starts a field: it returns whether the caller should now write its value, or read it.
// zero says whether the value is the zero value, which matters for writing.
func (f *form) field(key string, when presence, zero bool) bool {
	if f.err != nil {
		f.named()
		return false
	}
	f.key = key
	if f.mode == encoding {
		if when == optional && zero {
			return false
		}
		f.b = appendStr(f.b, key)
		f.count++
		return true
	}
	i := f.find(key)
	if i < 0 {
		if when == required {
			if f.empty {
				f.key = ""
				f.bad(0, "is empty")
			} else {
				f.bad(f.off, "is missing")
			}
		}
		return false
	}
	f.claimed |= 1 << i
	f.off = int(f.slots[i].value)
	return true
}

// endObject finishes a map: the count of keys written, or the keys that no field asked for.
func (f *form) endObject() {
	if f.err != nil {
		f.named()
		return
	}
	if f.mode == encoding {
		if f.count > 0x0f {
			f.reject("", "has more keys than fit its head")
			return
		}
		f.b[f.start] = 0x80 | byte(f.count)
		return
	}
	if f.lenient {
		return
	}
	for i := range f.used {
		if f.claimed&(1<<i) == 0 {
			f.key = printable(f.keyOf(i))
			f.bad(int(f.slots[i].key), "is not a key of this body")
			return
		}
	}
}

// printable shortens a key that somebody sent for an error message.
func printable(key []byte) string {
	const most = 64
	s := strconv.Quote(string(key[:min(len(key), most)]))
	return s[1 : len(s)-1]
}

// nested writes or reads the map of another body as the current value.
func (f *form) nested(body Body, path string) {
	if f.err != nil {
		return
	}
	if f.sub == nil {
		f.sub = new(form)
	}
	s := f.sub
	s.reader, s.mode, s.text, s.lenient, s.key = f.reader, f.mode, f.text, f.lenient, ""
	if f.mode == encoding {
		s.object()
		body.fields(s)
	} else {
		s.index()
		end := s.off
		body.fields(s)
		if s.err == nil {
			s.off = end
		}
	}
	s.endObject()
	f.b, f.off, f.err = s.b, s.off, s.err
	switch {
	case f.err == nil:
	case f.err.Key == "":
		f.err.Key = path
	default:
		f.err.Key = path + "." + f.err.Key
	}
}
