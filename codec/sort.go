package codec

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// span is one entry of a map that was just written: its key's content and where the entry
// begins and ends.
type span struct{ start, key, keyEnd, end int }

// mapSorter puts the entries of maps into the order of their keys' bytes. Its buffers are
// used again for every map.
type mapSorter struct {
	spans []span
	moved []byte
}

// repeats says what to do with a key that is in a map more than once.
type repeats uint8

const (
	repeatsRefused repeats = iota
	repeatsKept
	lastOnly // earlier ones are dropped
)

// sort orders the entries spans[first:], which lie one after the other at the end of dst. It
// returns dst, how many entries are left, and whether a repeated key was refused.
func (m *mapSorter) sort(dst []byte, first int, rule repeats) (out []byte, keys int, refused bool) {
	spans := m.spans[first:]
	order := func(a, b span) int {
		if c := bytes.Compare(dst[a.key:a.keyEnd], dst[b.key:b.keyEnd]); c != 0 {
			return c
		}
		return bytes.Compare(dst[a.start:a.keyEnd], dst[b.start:b.keyEnd])
	}
	sorted := true
	for i := 1; i < len(spans) && sorted; i++ {
		sorted = order(spans[i-1], spans[i]) < 0
	}
	if sorted {
		return dst, len(spans), false
	}
	begin := spans[0].start
	slices.SortStableFunc(spans, order)
	m.moved = m.moved[:0]
	for i, s := range spans {
		if rule != repeatsKept && i+1 < len(spans) && order(s, spans[i+1]) == 0 {
			if rule == repeatsRefused {
				return dst, 0, true
			}
			continue
		}
		m.moved = append(m.moved, dst[s.start:s.end]...)
		keys++
	}
	return append(dst[:begin], m.moved...), keys, false
}

// widenHead makes room for the head of n elements at byte at of dst, where one byte was left
// for it, and writes it there: a fix head with the base code fix, or wide and a length.
func widenHead(dst []byte, at int, fix, wide byte, n int) []byte {
	var head [5]byte
	h := head[:0]
	switch {
	case n <= 0x0f:
		h = append(h, fix|byte(n))
	case n <= 0xffff:
		h = binary.BigEndian.AppendUint16(append(h, wide), uint16(n))
	default:
		h = binary.BigEndian.AppendUint32(append(h, wide+1), uint32(n))
	}
	return slices.Replace(dst, at, at+1, h...)
}

// appendSorted appends the next value of r, which was checked before, with the entries of
// every map in it sorted by the bytes of their keys.
func (m *mapSorter) appendSorted(dst []byte, r *reader) []byte {
	start := r.off
	h := r.head()
	switch h.class {
	case classStr, classBin, classExt:
		r.take(h.n)
		return append(dst, r.b[start:r.off]...)
	case classArray:
		dst = appendArrayHead(dst, int(h.n))
		for range h.n {
			dst = m.appendSorted(dst, r)
		}
		return dst
	case classMap:
		dst = appendMapHead(dst, int(h.n))
		first := len(m.spans)
		for range h.n {
			s := span{start: len(dst)}
			dst = m.appendSorted(dst, r)
			s.key, s.keyEnd = keyContent(dst[s.start:], s.start), len(dst)
			dst = m.appendSorted(dst, r)
			s.end = len(dst)
			m.spans = append(m.spans, s)
		}
		dst, _, _ = m.sort(dst, first, repeatsKept)
		m.spans = m.spans[:first]
		return dst
	default:
		return append(dst, r.b[start:r.off]...)
	}
}

// keyContent returns where the content of the key at the start of b is, off being the place
// of b: behind the head of a string, at the head of anything else.
func keyContent(b []byte, off int) int {
	r := reader{b: b}
	if h := r.head(); h.class == classStr {
		return off + r.off
	}
	return off
}
