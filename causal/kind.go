package causal

import (
	"errors"
	"fmt"
	"strconv"
)

// ErrKind is matched by the errors of ParseKind and MakeKind.
var ErrKind = errors.New("bad kind")

// Kind is what an event is: a category in the high 4 bits and a type in the low 12.
// Categories 0x0 (system) and 0xD are reserved: nobody appends events of them.
type Kind uint16

// Kinds of the events that a node itself writes, all at SystemScope.
const (
	KindShred  Kind = 0x0001 // an erasure
	KindRenew  Kind = 0x0002 // an erased key scope gets a new key
	KindDenial Kind = 0x0003 // a gate refused an append
)

// Reserved categories.
const (
	CategorySystem   uint8 = 0x0
	CategoryReserved uint8 = 0xD
)

// MakeKind joins a category (0 to 15) and a type (0 to 4095). It returns an error that matches
// ErrKind when either is out of range; a reserved category is not an error here.
func MakeKind(category uint8, typ uint16) (Kind, error) {
	if category > 0xF || typ > 0xFFF {
		return 0, fmt.Errorf("%w: category %d of 15, type %d of 4095", ErrKind, category, typ)
	}
	return Kind(uint16(category)<<12 | typ), nil
}

// Category returns the high 4 bits.
func (k Kind) Category() uint8 { return uint8(k >> 12) }

// Type returns the low 12 bits.
func (k Kind) Type() uint16 { return uint16(k & 0xFFF) }

// Reserved says whether the category is one that callers may not use.
func (k Kind) Reserved() bool {
	c := k.Category()
	return c == CategorySystem || c == CategoryReserved
}

// String returns the text form, such as "0x1001".
func (k Kind) String() string { return fmt.Sprintf("0x%04x", uint16(k)) }

// ParseKind reads the text form, hexadecimal with 0x in front, or a decimal number.
// Its errors match ErrKind.
func ParseKind(s string) (Kind, error) {
	digits, base := s, 10
	if len(s) > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') {
		digits, base = s[2:], 16
	}
	n, err := strconv.ParseUint(digits, base, 16)
	if err != nil {
		return 0, fmt.Errorf("%w: %.40q is not a number from 0 to 0xffff", ErrKind, s)
	}
	return Kind(n), nil
}
