package codec

import (
	"encoding/binary"
	"math"
	"unicode/utf8"

	"batpak/causal"
)

// DecodeEnvelope reads an envelope and fills the event, hash included. It accepts only the
// bytes that AppendEnvelope makes of what it returns: keys in their order, shortest forms,
// nothing zero or empty that could be left out, an unsealed payload that passes Check.
// Envelope and Data alias b; strings are copies. Its errors match ErrMalformed.
func DecodeEnvelope(b []byte) (causal.Event, error) {
	var ev causal.Event
	err := DecodeEnvelopeInto(b, &ev)
	return ev, err
}

// DecodeEnvelopeInto is DecodeEnvelope for a run of envelopes: strings and gates that equal
// the ones which ev has are kept instead of copied, so neighbours share them. Nothing that ev
// points to is written to: an event that was copied out of ev before stays as it is. After an
// error ev is unchanged.
func DecodeEnvelopeInto(b []byte, ev *causal.Event) error {
	d := envelopeReader{reader: reader{b: b}}
	if len(b) > math.MaxInt32 {
		d.fail(0, "is longer than 2 GiB")
	}
	next := causal.Event{Envelope: b}
	d.event(&next, ev)
	if d.err != nil {
		return d.failure()
	}
	next.Hash = causal.HashEnvelope(b)
	*ev = next
	return nil
}

// envelopeReader reads an envelope's keys one after the other.
type envelopeReader struct {
	reader
	left int    // keys that are still to come
	key  string // the key being read
	word uint64 // what look saw

	// bare: everything is checked, and nothing is copied. The event gets no strings, causes, meta, gates and
	// Enc; scope and entity are here, as bytes.
	bare          bool
	scope, entity []byte
}

// failure is the reader's error, with the key that it is about.
func (d *envelopeReader) failure() error {
	d.err.Op = "envelope"
	if d.err.Key == "" {
		d.err.Key = d.key
	}
	return d.err
}

// event reads all keys. Strings that old has too are taken from there.
func (d *envelopeReader) event(ev, old *causal.Event) {
	d.left = int(d.length(classMap, math.MaxInt32))
	d.need(keyV)
	if d.uint(1, math.MaxUint64) != envelopeVersion {
		d.fail(d.off, "is not 1")
	}
	d.need(keyLineage)
	d.bytes(ev.Lineage[:])
	d.need(keyId)
	d.bytes(ev.ID[:])
	d.need(keySeq)
	ev.Seq = d.uint(1, math.MaxUint64)
	d.coordinate(&ev.Coordinate, old.Coordinate)
	if d.look(); d.has(keyLane) {
		ev.Lane = uint32(d.uint(1, math.MaxUint32))
	}
	d.need(keyVersion)
	ev.Version = d.uint(1, math.MaxUint64)
	d.need(keyKind)
	ev.Kind = causal.Kind(d.uint(0, math.MaxUint16))
	if d.look(); d.has(keySchema) {
		ev.Schema = d.uint(1, math.MaxUint64)
	}
	d.need(keyTime)
	ev.Time.Millis = d.uint(0, math.MaxUint64)
	if d.look(); d.has(keyTick) {
		ev.Time.Tick = uint16(d.uint(1, math.MaxUint16))
		d.look()
	}
	if d.has(keyCauses) {
		ev.Causes = d.causes()
		d.look()
	}
	if d.has(keyCorr) {
		d.bytes(ev.Correlation[:])
		d.look()
	}
	if d.has(keySubject) {
		ev.Subject = d.name(old.Subject)
		d.look()
	}
	if d.has(keyKey) {
		ev.Key = d.name(old.Key)
		d.look()
	}
	if d.has(keyMeta) {
		ev.Meta = d.meta()
		d.look()
	}
	if d.has(keyGates) {
		ev.Gates = d.gates(old.Gates)
		d.look()
	}
	if d.has(keyBatch) {
		ev.Batch = d.batch()
		d.look()
	}
	if d.has(keyPrev) {
		d.bytes(ev.Prev[:])
		d.look()
	}
	if d.err == nil && (ev.Version == 1) != ev.Prev.IsZero() {
		d.key = "prev"
		d.fail(d.off, "must be there, unless the version is 1")
	}
	sealed := d.has(keyEnc)
	if sealed && d.bare {
		d.enc(&causal.Enc{})
	} else if sealed {
		ev.Enc = new(causal.Enc)
		d.enc(ev.Enc)
	}
	d.need(keyData)
	ev.Data = d.data(sealed)
}

// The keys of an envelope, and of its enc.
var (
	keyV       = newKeyword("v")
	keyLineage = newKeyword("lineage")
	keyId      = newKeyword("id")
	keySeq     = newKeyword("seq")
	keyLane    = newKeyword("lane")
	keyVersion = newKeyword("version")
	keyKind    = newKeyword("kind")
	keySchema  = newKeyword("schema")
	keyTime    = newKeyword("time")
	keyTick    = newKeyword("tick")
	keyCauses  = newKeyword("causes")
	keyCorr    = newKeyword("corr")
	keySubject = newKeyword("subject")
	keyKey     = newKeyword("key")
	keyMeta    = newKeyword("meta")
	keyGates   = newKeyword("gates")
	keyBatch   = newKeyword("batch")
	keyPrev    = newKeyword("prev")
	keyEnc     = newKeyword("enc")
	keyScope   = newKeyword("scope")
	keyEntity  = newKeyword("entity")
	keyAlg     = newKeyword("alg")
	keyNonce   = newKeyword("nonce")
	keyData    = newKeyword("data")
)

// keyword is a key of an envelope: with the byte before it that says how long it is, its 8 bytes at most are compared
// at once.
type keyword struct {
	name       string
	want, mask uint64
}

func newKeyword(name string) *keyword {
	var b, mask [8]byte
	b[0] = 0xa0 | byte(len(name))
	copy(b[1:], name)
	for i := range 1 + len(name) {
		mask[i] = 0xff
	}
	return &keyword{name, binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(mask[:])}
}

// has says whether the key that look saw is this one, and if so passes over it.
func (d *envelopeReader) has(k *keyword) bool { return d.word&k.mask == k.want && d.pass(k) }

// look sees the next 8 bytes, with zeros behind the last one.
func (d *envelopeReader) look() {
	if len(d.b)-d.off >= 8 {
		d.word = binary.LittleEndian.Uint64(d.b[d.off:])
		return
	}
	var b [8]byte
	copy(b[:], d.b[d.off:])
	d.word = binary.LittleEndian.Uint64(b[:])
}

func (d *envelopeReader) pass(k *keyword) bool {
	if d.left == 0 || d.err != nil { // after a failure, what look saw is not there any more
		return false
	}
	d.off += 1 + len(k.name)
	d.left--
	d.key = k.name
	return true
}

func (d *envelopeReader) need(k *keyword) {
	if d.look(); d.err == nil && !d.has(k) {
		d.key = k.name
		d.fail(d.off, "is missing here")
	}
}

// length reads a head in its shortest form and returns its number, at most limit.
func (d *envelopeReader) length(c class, limit uint64) uint64 {
	start := d.off
	h := d.head()
	switch {
	case d.err != nil:
	case h.class != c:
		d.fail(start, "is "+h.class.String()+", not "+c.String())
	case !h.short:
		d.fail(start, "is not in its shortest form")
	case h.n > limit:
		d.fail(start, "is out of range")
	default:
		return h.n
	}
	return 0
}

func (d *envelopeReader) uint(least, most uint64) uint64 {
	// What is right is read at once; the rest is for those who say what is wrong.
	if p := d.b[d.off:]; len(p) >= 9 {
		n, size := uint64(p[0]), 1
		if wide := p[0] - 0xcc; wide <= 3 {
			n, size = binary.BigEndian.Uint64(p[1:])>>(64-8<<wide), 1+1<<wide
			if n <= mostBefore[wide] {
				n = math.MaxUint64
			}
		} else if n > 0x7f {
			n = math.MaxUint64
		}
		if n >= least && n <= most && n < math.MaxUint64 {
			d.off += size
			return n
		}
	}
	start := d.off
	n := d.length(classUint, most)
	if d.err == nil && n < least {
		d.fail(start, "is out of range")
	}
	return n
}

// bin reads a bin of any size.
func (d *envelopeReader) bin() []byte {
	if p := d.b[d.off:]; len(p) >= 2 && p[0] == 0xc4 && len(p)-2 >= int(p[1]) {
		n := 2 + int(p[1])
		d.off += n
		return p[2:n:n]
	}
	return d.take(d.length(classBin, math.MaxInt32))
}

// bytes reads a bin of exactly len(dst) bytes, not all of them zero.
func (d *envelopeReader) bytes(dst []byte) {
	start := d.off
	b := d.bin()
	if d.err == nil && len(b) != len(dst) {
		d.fail(start, "has the wrong size")
		return
	}
	copy(dst, b)
	for _, c := range b {
		if c != 0 {
			return
		}
	}
	d.fail(start, "is zero")
}

func (d *envelopeReader) text() []byte {
	start := d.off
	s := d.raw()
	if !utf8.Valid(s) {
		d.fail(start, "is not UTF-8")
		return nil
	}
	return s
}

// raw is text of which only the length was checked.
func (d *envelopeReader) raw() []byte {
	if p := d.b[d.off:]; len(p) > 0 && p[0]&0xe0 == 0xa0 && len(p) > int(p[0]&0x1f) {
		d.off += 1 + int(p[0]&0x1f)
		return p[1 : 1+p[0]&0x1f]
	}
	return d.take(d.length(classStr, math.MaxInt32))
}

// name reads a string of 1 to causal.MaxName bytes; old is returned when it is the same.
func (d *envelopeReader) name(old string) string {
	start := d.off
	s := d.text()
	if d.err == nil && (len(s) == 0 || len(s) > causal.MaxName) {
		d.fail(start, "is not of 1 to 256 bytes")
		return ""
	}
	if string(s) == old || d.bare {
		return old
	}
	return string(s)
}

// coordinate reads the keys scope and entity. When they are new, one copy holds both.
func (d *envelopeReader) coordinate(c *causal.Coordinate, old causal.Coordinate) {
	d.need(keyScope)
	scope := d.raw()
	start := d.off - len(scope)
	d.need(keyEntity)
	entity := d.raw()
	if d.err != nil {
		return
	}
	plain := plainName(scope) && plainName(entity)
	if d.bare {
		if d.scope, d.entity = scope, entity; plain {
			return
		}
	}
	if *c = old; string(scope) != old.Scope || string(entity) != old.Entity {
		both := string(d.b[start:d.off])
		*c = causal.Coordinate{Scope: both[:len(scope)], Entity: both[len(both)-len(entity):]}
	}
	if plain {
		return
	}
	if err := c.Validate(); err != nil {
		d.fail(start, err.Error())
	}
}

// plainName says whether a scope or entity is one of 1 to causal.MaxName bytes of printable ASCII, as nearly all are.
func plainName(s []byte) bool {
	for _, c := range s {
		if c < 0x20 || c >= 0x7f {
			return false
		}
	}
	return len(s) > 0 && len(s) <= causal.MaxName
}

// smallestCause is how many bytes a cause takes at least.
const smallestCause = 18

func (d *envelopeReader) causes() []causal.Cause {
	start := d.off
	n := d.uintLength(classArray)
	if n > (len(d.b)-d.off)/smallestCause {
		d.fail(start, "claims more than the bytes that are left")
		return nil
	}
	var causes []causal.Cause
	if !d.bare {
		causes = make([]causal.Cause, 0, n)
	}
	for range n {
		at := d.off
		var c causal.Cause
		if !causeOf(&c, d.bin()) {
			d.fail(at, "a cause is 16 or 32 bytes and not zero")
			return nil
		}
		if !d.bare {
			causes = append(causes, c)
		}
	}
	return causes
}

// causeOf reads a cause from its bytes: id, or lineage and id.
func causeOf(c *causal.Cause, b []byte) bool {
	if len(b) == 32 {
		if b = b[copy(c.Lineage[:], b):]; c.Lineage.IsZero() {
			return false
		}
	}
	return len(b) == 16 && copy(c.ID[:], b) == 16 && !c.ID.IsZero()
}

// uintLength reads the head of an array or map that has at least one element.
func (d *envelopeReader) uintLength(c class) int {
	start := d.off
	n := d.length(c, math.MaxInt32)
	if d.err == nil && n == 0 {
		d.fail(start, "is empty")
	}
	return int(n)
}

func (d *envelopeReader) meta() map[string]string {
	n := d.uintLength(classMap)
	var meta map[string]string
	if !d.bare {
		meta = make(map[string]string, min(n, MaxMeta))
	}
	var last []byte
	for i := range n {
		start := d.off
		key := d.text()
		if i > 0 && string(key) <= string(last) {
			d.fail(start, "is not sorted by key")
		}
		value := d.text()
		if d.err != nil {
			return nil
		}
		if !d.bare {
			meta[string(key)] = string(value)
		}
		last = key
	}
	return meta
}

func (d *envelopeReader) gates(old []string) []string {
	n := d.uintLength(classArray)
	start := d.off
	same := n == len(old)
	for i := range n {
		at := d.off
		s := d.text()
		if d.err == nil && (len(s) == 0 || len(s) > causal.MaxName) {
			d.fail(at, "is not of 1 to 256 bytes")
		}
		if d.err != nil {
			return nil
		}
		same = same && string(s) == old[i]
	}
	if same || d.bare {
		return old
	}
	gates := make([]string, n)
	d.off = start
	for i := range gates {
		gates[i] = string(d.text())
	}
	return gates
}

func (d *envelopeReader) batch() (p causal.BatchPos) {
	start := d.off
	if d.length(classArray, math.MaxInt32) != 2 {
		d.fail(start, "is not [index, count]")
		return p
	}
	p.Index = uint32(d.uint(0, math.MaxUint32))
	p.Count = uint32(d.uint(2, math.MaxUint32))
	if p.Index >= p.Count {
		d.fail(start, "has an index that is not below its count")
	}
	return p
}

func (d *envelopeReader) enc(e *causal.Enc) {
	start := d.off
	if d.length(classMap, math.MaxInt32) != 3 {
		d.fail(start, "is not {alg, key, nonce}")
		return
	}
	// The three keys are read like the envelope's own, whose count comes back after them.
	outer := d.left
	d.left = 3
	defer func() { d.left = outer }()

	d.need(keyAlg)
	if at := d.off; string(d.text()) != sealAlgorithm {
		d.fail(at, "is not "+sealAlgorithm)
	}
	d.need(keyKey)
	d.bytes(e.Key[:])
	d.need(keyNonce)
	// A nonce of zeros is as good as any other, so its bytes are not looked at.
	at := d.off
	nonce := d.bin()
	if copy(e.Nonce[:], nonce) != len(e.Nonce) || len(nonce) != len(e.Nonce) {
		d.fail(at, "has the wrong size")
	}
}

// data reads the payload, which must be the last thing in the envelope.
func (d *envelopeReader) data(sealed bool) []byte {
	data := d.bin()
	start := d.off - len(data)
	switch {
	case d.err != nil:
	case d.left > 0:
		d.fail(d.off, "is not the last key")
	case d.off < len(d.b):
		d.fail(d.off, "bytes follow the envelope")
	case sealed && len(data) < sealOverhead:
		d.fail(start, "is too short for a sealed payload")
	case !sealed:
		if err := check(data); err != nil {
			d.fail(start+err.Offset, err.Reason)
		}
	}
	return data
}
