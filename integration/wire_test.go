package integration

// This file is a client of the protocol, written from its page and nothing else.

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
)

// fields is a MessagePack map in the order in which it is written.
type fields []field

type field struct {
	name  string
	value any
}

// raw is MessagePack that goes in as it is.
type raw []byte

// get returns the value of a key; nil when there is none.
func (f fields) get(name string) any {
	for _, x := range f {
		if x.name == name {
			return x.value
		}
	}
	return nil
}

func (f fields) num(name string) uint64 { n, _ := f.get(name).(uint64); return n }
func (f fields) str(name string) string { s, _ := f.get(name).(string); return s }
func (f fields) bin(name string) []byte { b, _ := f.get(name).([]byte); return b }

// pack writes a value as MessagePack, everything in its shortest form.
func pack(v any) []byte { return appendPacked(nil, v) }

func appendPacked(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, 0xc0)
	case bool:
		if v {
			return append(dst, 0xc3)
		}
		return append(dst, 0xc2)
	case int:
		if v < 0 {
			return binary.BigEndian.AppendUint64(append(dst, 0xd3), uint64(v))
		}
		return appendPacked(dst, uint64(v))
	case uint64:
		switch {
		case v < 0x80:
			return append(dst, byte(v))
		case v <= math.MaxUint8:
			return append(dst, 0xcc, byte(v))
		case v <= math.MaxUint16:
			return binary.BigEndian.AppendUint16(append(dst, 0xcd), uint16(v))
		case v <= math.MaxUint32:
			return binary.BigEndian.AppendUint32(append(dst, 0xce), uint32(v))
		}
		return binary.BigEndian.AppendUint64(append(dst, 0xcf), v)
	case float64:
		return binary.BigEndian.AppendUint64(append(dst, 0xcb), math.Float64bits(v))
	case string:
		return append(appendHead(dst, len(v), 0xa0, 31, 0xd9, 0xda), v...)
	case []byte:
		return append(appendHead(dst, len(v), 0, -1, 0xc4, 0xc5), v...)
	case raw:
		return append(dst, v...)
	case []any:
		dst = appendHead(dst, len(v), 0x90, 15, 0, 0xdc)
		for _, x := range v {
			dst = appendPacked(dst, x)
		}
		return dst
	case fields:
		dst = appendHead(dst, len(v), 0x80, 15, 0, 0xde)
		for _, x := range v {
			dst = appendPacked(appendPacked(dst, x.name), x.value)
		}
		return dst
	default:
		panic(fmt.Sprintf("pack: %T", v))
	}
}

// appendHead writes the head of what has a length: in the byte small up to most, then in the forms
// with 8, 16 and 32 bits. Arrays and maps have none with 8 bits: code8 is 0.
func appendHead(dst []byte, n int, small byte, most int, code8, code16 byte) []byte {
	switch {
	case n <= most:
		return append(dst, small|byte(n))
	case n <= math.MaxUint8 && code8 != 0:
		return append(dst, code8, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, code16), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, code16+1), uint32(n))
}

var errShort = errors.New("unpack: bytes end within a value")

// unpack reads one MessagePack value, and nothing behind it. Unsigned integers are uint64, signed
// ones int64 when they are below 0, maps are fields. What is binary or text aliases b.
func unpack(b []byte) (any, error) {
	v, rest, err := unpackValue(b, 0)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("unpack: %d bytes behind the value", len(rest))
	}
	return v, err
}

func unpackValue(b []byte, depth int) (any, []byte, error) {
	if depth > 64 {
		return nil, nil, errors.New("unpack: too deep")
	}
	if len(b) == 0 {
		return nil, nil, errShort
	}
	c := b[0]
	b = b[1:]
	// number takes a big-endian number off b.
	number := func(size int) (n uint64, err error) {
		if len(b) < size {
			return 0, errShort
		}
		for _, x := range b[:size] {
			n = n<<8 | uint64(x)
		}
		b = b[size:]
		return n, nil
	}
	switch {
	case c < 0x80:
		return uint64(c), b, nil
	case c < 0x90:
		return unpackMap(b, uint64(c&15), depth)
	case c < 0xa0:
		return unpackArray(b, uint64(c&15), depth)
	case c < 0xc0:
		return unpackText(b, uint64(c&31))
	case c >= 0xe0:
		return int64(int8(c)), b, nil
	}
	var n uint64
	var err error
	switch {
	case c == 0xc0:
		return nil, b, nil
	case c == 0xc2, c == 0xc3:
		return c == 0xc3, b, nil
	case c >= 0xc4 && c <= 0xc6:
		if n, err = number(1 << (c - 0xc4)); err != nil || n > uint64(len(b)) {
			return nil, nil, errShort
		}
		return b[:n:n], b[n:], nil
	case c == 0xcb:
		n, err = number(8)
		return math.Float64frombits(n), b, err
	case c >= 0xcc && c <= 0xcf:
		n, err = number(1 << (c - 0xcc))
		return n, b, err
	case c >= 0xd0 && c <= 0xd3:
		size := 1 << (c - 0xd0)
		n, err = number(size)
		shift := 64 - 8*size
		return int64(n<<shift) >> shift, b, err
	case c >= 0xd9 && c <= 0xdb:
		if n, err = number(1 << (c - 0xd9)); err != nil {
			return nil, nil, err
		}
		return unpackText(b, n)
	case c >= 0xdc && c <= 0xdf:
		if n, err = number(2 << (c & 1)); err != nil {
			return nil, nil, err
		}
		if c >= 0xde {
			return unpackMap(b, n, depth)
		}
		return unpackArray(b, n, depth)
	}
	return nil, nil, fmt.Errorf("unpack: no value starts with %#x here", c)
}

func unpackText(b []byte, n uint64) (any, []byte, error) {
	if n > uint64(len(b)) {
		return nil, nil, errShort
	}
	return string(b[:n]), b[n:], nil
}

func unpackArray(b []byte, n uint64, depth int) (any, []byte, error) {
	if n > uint64(len(b)) {
		return nil, nil, errShort
	}
	list := make([]any, n)
	var err error
	for i := range list {
		if list[i], b, err = unpackValue(b, depth+1); err != nil {
			return nil, nil, err
		}
	}
	return list, b, nil
}

func unpackMap(b []byte, n uint64, depth int) (any, []byte, error) {
	if n > uint64(len(b)) {
		return nil, nil, errShort
	}
	m := make(fields, n)
	for i := range m {
		name, rest, err := unpackValue(b, depth+1)
		if err != nil {
			return nil, nil, err
		}
		text, ok := name.(string)
		if !ok {
			return nil, nil, fmt.Errorf("unpack: a key of type %T", name)
		}
		m[i].name = text
		if m[i].value, b, err = unpackValue(rest, depth+1); err != nil {
			return nil, nil, err
		}
	}
	return m, b, nil
}

func unpackFields(b []byte) (fields, error) {
	v, err := unpack(b)
	if err != nil {
		return nil, err
	}
	f, ok := v.(fields)
	if !ok {
		return nil, fmt.Errorf("unpack: %T instead of a map", v)
	}
	return f, nil
}

// plainBytes stand for themselves in a subject, besides letters and digits.
const plainBytes = "-_:~@+=,!$&'();"

// token is a scope or an entity as one token of a subject.
func token(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte(plainBytes, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// hash is an event hash; all zero where there is none.
type hash [32]byte

// eventHash is the hash of an event, from its envelope's bytes.
func eventHash(envelope []byte) hash {
	h := sha256.New()
	h.Write([]byte("batpak.event.v1\x00"))
	h.Write(envelope)
	return hash(h.Sum(nil))
}

// receipt is what an append is answered with.
type receipt struct {
	id, lineage          [16]byte
	seq, version, millis uint64
	hash, prev           hash
	durable              string
	duplicate            bool
}

func receiptOf(f fields) (receipt, error) {
	r := receipt{seq: f.num("seq"), version: f.num("version"), millis: f.num("time"), durable: f.str("durable")}
	duplicate, ok := f.get("duplicate").(bool)
	r.duplicate = duplicate
	ok = copy(r.id[:], f.bin("id")) == 16 && ok
	ok = copy(r.lineage[:], f.bin("lineage")) == 16 && ok
	ok = copy(r.hash[:], f.bin("hash")) == 32 && ok
	hasPrev := copy(r.prev[:], f.bin("prev")) == 32
	if !ok || r.seq == 0 || r.version == 0 || r.millis == 0 || hasPrev != (r.version > 1) {
		return r, fmt.Errorf("not a receipt: %v", f)
	}
	return r, nil
}

// envelopeKeys are the keys of an envelope, in their order.
var envelopeKeys = []string{"v", "lineage", "id", "seq", "scope", "entity", "lane", "version", "kind", "schema", "time",
	"tick", "causes", "corr", "subject", "key", "meta", "gates", "batch", "prev", "enc", "data"}

// event is what the tests look at of an envelope.
type event struct {
	envelope      []byte
	hash, prev    hash
	id, lineage   [16]byte
	seq, version  uint64
	scope, entity string
	lane, kind    uint64
	millis        uint64
	key           string
	index, count  uint64 // of its batch; 0, 0 alone
	sealed        bool
	data          []byte // ciphertext when sealed
	meta          fields
}

func eventOf(envelope []byte) (event, error) {
	f, err := unpackFields(envelope)
	if err != nil {
		return event{}, err
	}
	at := -1
	for _, x := range f {
		next := at + 1
		for next < len(envelopeKeys) && envelopeKeys[next] != x.name {
			next++
		}
		if next == len(envelopeKeys) {
			return event{}, fmt.Errorf("envelope: key %q is unknown, or out of order", x.name)
		}
		at = next
	}
	e := event{
		envelope: envelope, hash: eventHash(envelope),
		seq: f.num("seq"), version: f.num("version"), scope: f.str("scope"), entity: f.str("entity"),
		lane: f.num("lane"), kind: f.num("kind"), millis: f.num("time"), key: f.str("key"), data: f.bin("data"),
	}
	e.meta, _ = f.get("meta").(fields)
	hasID := copy(e.id[:], f.bin("id")) == 16
	hasLineage := copy(e.lineage[:], f.bin("lineage")) == 16
	hasPrev := copy(e.prev[:], f.bin("prev")) == 32
	if enc, ok := f.get("enc").(fields); ok {
		e.sealed = true
		if enc.str("alg") != "xc20p" || len(enc.bin("key")) != 16 || len(enc.bin("nonce")) != 24 {
			return e, fmt.Errorf("envelope: enc is %v", enc)
		}
	}
	if batch, ok := f.get("batch").([]any); ok && len(batch) == 2 {
		e.index, _ = batch[0].(uint64)
		e.count, _ = batch[1].(uint64)
	}
	if f.num("v") != 1 || !hasID || !hasLineage || e.seq == 0 || e.version == 0 || hasPrev != (e.version > 1) ||
		e.scope == "" || e.entity == "" || e.data == nil {
		return e, fmt.Errorf("envelope: %v", f)
	}
	return e, nil
}

// onwardSubject is the subject of an event in the onward stream of a journal.
func (e *event) onwardSubject(journal string) string {
	return fmt.Sprintf("batpak.%s.events.%s.%s.%04x", journal, token(e.scope), token(e.entity), e.kind)
}

// stream is what a chain of events is for.
type stream struct {
	scope, entity string
	lane          uint64
}

func (e *event) stream() stream { return stream{e.scope, e.entity, e.lane} }

// chain follows a journal from its first event on: sequences without a gap, and in each stream
// versions without a gap and prev the hash of the event before.
type chain struct {
	lineage [16]byte
	last    uint64
	heads   map[stream]*event
}

func (c *chain) next(e *event) error {
	if c.heads == nil {
		c.heads, c.lineage = map[stream]*event{}, e.lineage
	}
	head := c.heads[e.stream()]
	if head == nil {
		head = &event{}
	}
	switch {
	case e.seq != c.last+1:
		return fmt.Errorf("event %d comes behind event %d", e.seq, c.last)
	case e.lineage != c.lineage:
		return fmt.Errorf("event %d has lineage %x, the first has %x", e.seq, e.lineage, c.lineage)
	case e.version != head.version+1:
		return fmt.Errorf("event %d has version %d, the one before in %v has %d", e.seq, e.version, e.stream(), head.version)
	case e.prev != head.hash:
		return fmt.Errorf("event %d has prev %x, the one before in %v, event %d, has hash %x", e.seq, e.prev, e.stream(), head.seq, head.hash)
	case e.millis < head.millis, bytes.Compare(e.id[:], head.id[:]) <= 0:
		return fmt.Errorf("event %d has time %d and id %x, the one before in %v %d and %x", e.seq, e.millis, e.id, e.stream(), head.millis, head.id)
	}
	c.heads[e.stream()] = e
	c.last = e.seq
	return nil
}
