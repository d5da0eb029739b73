package keystore

import (
	"encoding/binary"
	"fmt"
)

func appendScope(b []byte, s Scope) []byte {
	switch s.granularity {
	case Entity:
		return appendName(appendName(b, s.name), s.entity)
	case Category:
		return append(b, byte(s.number))
	case Kind:
		return binary.BigEndian.AppendUint16(b, s.number)
	case Event:
		return append(b, s.event[:]...)
	case Subject:
		return appendName(b, s.name)
	}
	return b
}

func appendName(b []byte, name string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(name))), name...)
}

// decoder reads from the front of data. Past the end it gives nothing and sets
// short; what was read is then not to be used.
type decoder struct {
	data  []byte
	size  int // of the data at first
	short bool
}

func (d *decoder) damaged(reason string, args ...any) error {
	return &DamageError{File: fileName, Offset: int64(d.size - len(d.data)), Reason: fmt.Sprintf(reason, args...)}
}

func (d *decoder) take(n int) []byte {
	if n > len(d.data) {
		d.short = true
		return nil
	}
	b := d.data[:n]
	d.data = d.data[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint16() uint16 {
	if b := d.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// name copies, because the file's bytes are wiped.
func (d *decoder) name() string { return string(d.take(int(d.uint16()))) }

func (d *decoder) scope(g Granularity) Scope {
	s := Scope{granularity: g}
	switch g {
	case Entity:
		s.name = d.name()
		s.entity = d.name()
	case Category:
		s.number = uint16(d.byte())
	case Kind:
		s.number = d.uint16()
	case Event:
		copy(s.event[:], d.take(len(s.event)))
	case Subject:
		s.name = d.name()
	}
	return s
}

func (d *decoder) uint32() uint32 {
	if b := d.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}
