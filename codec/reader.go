package codec

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// class is what a msgpack value is, whatever the width of its encoding.
type class uint8

const (
	classNone class = iota // the reader has failed
	classNil
	classBool
	classUint  // zero or positive, in a signed or an unsigned form
	classInt   // negative
	classFloat // n holds the bits of a float64
	classStr
	classBin
	classArray
	classMap
	classExt
)

func (c class) String() string {
	return [...]string{"nothing", "nil", "a boolean", "an unsigned integer", "a negative integer", "a float", "a string", "binary", "an array", "a map", "an extension"}[c]
}

// head is the start of a msgpack value. It is small enough to travel in registers.
type head struct {
	class class
	short bool   // in its shortest form; not said of floats, extensions and negative integers
	ext   int8   // the type of an extension
	n     uint64 // value of an integer or boolean, bits of a float, length of everything else
}

// reader walks msgpack bytes without copying them. Its first failure sticks: every read after
// it gives zero values. It reads no byte and believes no length beyond the end of b.
type reader struct {
	b   []byte
	off int
	err *Error
}

// fail records the first failure, at byte off.
func (r *reader) fail(off int, reason string) {
	if r.err == nil {
		r.err = &Error{Offset: off, Reason: reason}
	}
	r.off = len(r.b)
}

const truncated = "ends in the middle of a value"

// head reads the start of the next value. For a string, binary or extension the bytes that
// follow are there; for an array or a map at least as many bytes as it has elements are.
func (r *reader) head() head {
	start := r.off
	if r.err != nil || start >= len(r.b) {
		r.fail(start, truncated)
		return head{}
	}
	c := r.b[start]
	r.off = start + 1
	h := head{short: true}
	least := uint64(0) // bytes that must follow
	switch {
	case c <= 0x7f:
		return head{class: classUint, short: true, n: uint64(c)}
	case c <= 0x8f:
		h.class, h.n = classMap, uint64(c&0x0f)
		least = 2 * h.n
	case c <= 0x9f:
		h.class, h.n = classArray, uint64(c&0x0f)
		least = h.n
	case c <= 0xbf:
		h.class, h.n = classStr, uint64(c&0x1f)
		least = h.n
	case c >= 0xe0:
		return head{class: classInt, short: true, n: uint64(int64(int8(c)))}
	default:
		h = r.wideHead(c)
		switch h.class {
		case classStr, classBin, classExt, classArray:
			least = h.n
		case classMap:
			least = 2 * h.n
		}
	}
	if least > uint64(len(r.b)-r.off) {
		r.fail(start, "claims more than the bytes that are left")
		return head{}
	}
	return h
}

// wideHead reads the head of a value whose first byte c says how many bytes follow.
func (r *reader) wideHead(c byte) (h head) {
	start := r.off - 1
	h.short = true
	switch c {
	case 0xc0:
		h.class = classNil
	case 0xc2, 0xc3:
		h.class, h.n = classBool, uint64(c&1)
	case 0xc4, 0xc5, 0xc6:
		h.class = classBin
		h.n = r.fixed(1 << (c - 0xc4))
		h.short = c == 0xc4 || h.n > 0xff && c == 0xc5 || h.n > 0xffff
	case 0xc7, 0xc8, 0xc9:
		h.class = classExt
		h.n = r.fixed(1 << (c - 0xc7))
		h.ext = int8(r.fixed(1))
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8:
		h.class, h.n = classExt, 1<<(c-0xd4)
		h.ext = int8(r.fixed(1))
	case 0xca:
		h.class = classFloat
		h.n = math.Float64bits(float64(math.Float32frombits(uint32(r.fixed(4)))))
	case 0xcb:
		h.class, h.n = classFloat, r.fixed(8)
	case 0xcc, 0xcd, 0xce, 0xcf:
		h.class = classUint
		h.n = r.fixed(1 << (c - 0xcc))
		h.short = h.n > mostBefore[c-0xcc]
	case 0xd0, 0xd1, 0xd2, 0xd3:
		size := 1 << (c - 0xd0)
		shift := 64 - 8*size
		v := int64(r.fixed(size)<<shift) >> shift
		h.class, h.n, h.short = classUint, uint64(v), false
		if v < 0 {
			h.class = classInt
		}
	case 0xd9, 0xda, 0xdb:
		h.class = classStr
		h.n = r.fixed(1 << (c - 0xd9))
		h.short = h.n > 0x1f && (c == 0xd9 || h.n > mostBefore[c-0xd9])
	case 0xdc, 0xdd:
		h.class = classArray
		h.n = r.fixed(2 << (c - 0xdc))
		h.short = h.n > 0x0f && (c == 0xdc || h.n > 0xffff)
	case 0xde, 0xdf:
		h.class = classMap
		h.n = r.fixed(2 << (c - 0xde))
		h.short = h.n > 0x0f && (c == 0xde || h.n > 0xffff)
	default:
		r.fail(start, "the byte 0xc1 starts no value")
	}
	if r.err != nil {
		return head{}
	}
	return h
}

// mostBefore is the largest number that needs no form as wide as this one: of 8, 16, 32 and
// 64 bits.
var mostBefore = [...]uint64{0x7f, 0xff, 0xffff, math.MaxUint32}

// fixed reads a big-endian number of 1, 2, 4 or 8 bytes.
func (r *reader) fixed(size int) uint64 {
	if r.err != nil || len(r.b)-r.off < size {
		r.fail(r.off, truncated)
		return 0
	}
	p := r.b[r.off:]
	r.off += size
	switch size {
	case 1:
		return uint64(p[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(p))
	case 4:
		return uint64(binary.BigEndian.Uint32(p))
	default:
		return binary.BigEndian.Uint64(p)
	}
}

// take returns the next n bytes, which the caller knows to be there unless the reader failed.
func (r *reader) take(n uint64) []byte {
	if r.err != nil {
		return nil
	}
	end := r.off + int(n)
	p := r.b[r.off:end:end]
	r.off = end
	return p
}

// expect reads a head of class c and returns its value or length; another class fails.
func (r *reader) expect(c class) uint64 {
	start := r.off
	h := r.head()
	if h.class != c && r.err == nil {
		r.fail(start, "is "+h.class.String()+", not "+c.String())
		return 0
	}
	return h.n
}

// str reads a string and checks that it is UTF-8. The bytes alias b.
func (r *reader) str() []byte {
	start := r.off
	s := r.take(r.expect(classStr))
	if !utf8.Valid(s) {
		r.fail(start, "is not UTF-8")
		return nil
	}
	return s
}

// fixedSizes is how many bytes a value takes that starts with a byte, where that byte alone says so; else 0.
var fixedSizes = func() (sizes [256]uint8) {
	for c := range sizes {
		if c <= 0x7f || c >= 0xe0 {
			sizes[c] = 1
		}
	}
	for c, n := range map[byte]uint8{
		0xc0: 1, 0xc2: 1, 0xc3: 1, 0xca: 5, 0xcb: 9, 0xcc: 2, 0xcd: 3, 0xce: 5, 0xcf: 9, 0xd0: 2, 0xd1: 3, 0xd2: 5, 0xd3: 9,
		0xd4: 3, 0xd5: 4, 0xd6: 6, 0xd7: 10, 0xd8: 18,
	} {
		sizes[c] = n
	}
	return sizes
}()

// skip passes over one value, whatever it is, and checks all of it: every length against the
// bytes that are left, every string for UTF-8, and that arrays and maps are nested at most
// limit deep. It returns how deep they are: 0 for a value that is neither.
func (r *reader) skip(limit int) (depth int) {
	start := r.off
	if start < len(r.b) { // what most values are, at once
		c, left := r.b[start], len(r.b)-start
		if n := int(fixedSizes[c]); n > 0 && n <= left {
			r.off += n
			return 0
		}
		if n := 1 + int(c&0x1f); c&0xe0 == 0xa0 && n <= left && utf8.Valid(r.b[start+1:start+n]) {
			r.off += n
			return 0
		}
	}
	h := r.head()
	switch h.class {
	case classStr:
		if !utf8.Valid(r.take(h.n)) {
			r.fail(start, "is not UTF-8")
		}
	case classBin, classExt:
		r.take(h.n)
	case classArray:
		return r.skipElements(start, h.n, limit)
	case classMap:
		return r.skipElements(start, 2*h.n, limit)
	}
	return 0
}

// skipElements passes over the n elements of an array or map that starts at byte start. Most have no arrays and maps
// in them.
func (r *reader) skipElements(start int, n uint64, limit int) (depth int) {
	if limit < 1 {
		r.fail(start, tooDeep)
		return 0
	}
	for ; n > 0 && r.err == nil; n-- {
		if r.nests() {
			return r.skipNested(n, limit)
		}
		r.skip(0)
	}
	return 1
}

// nests says whether an array or a map is next.
func (r *reader) nests() bool {
	if r.off >= len(r.b) {
		return false
	}
	c := r.b[r.off]
	return c&0xe0 == 0x80 || c&0xfc == 0xdc
}

// skipNested passes over the last n elements of an array or map. It keeps its own stack, so nesting costs no goroutine
// stack.
func (r *reader) skipNested(n uint64, limit int) (depth int) {
	// pending[i] is how many elements of the container at depth i are still to come. Claims
	// cost nothing here: what a container claims must be walked over, and is there or is not.
	var pending [maxBodyDepth]uint32
	limit = min(limit, maxBodyDepth)
	pending[0], depth = uint32(n), 1
	level := 0
	for level >= 0 && r.err == nil {
		if pending[level] == 0 {
			level--
			continue
		}
		pending[level]--
		if !r.nests() {
			r.skip(0)
			continue
		}
		at := r.off
		h := r.head()
		if level+1 >= limit {
			r.fail(at, tooDeep)
			return 0
		}
		if h.class == classMap {
			h.n *= 2
		}
		level++
		pending[level] = uint32(h.n)
		depth = max(depth, level+1)
	}
	return depth
}
