package codec

import (
	"math"
	"strconv"
)

const (
	// MaxDepth is how deep the arrays and maps of a payload may be nested.
	MaxDepth = 64

	// maxBodyDepth leaves room for the levels of the body around a payload.
	maxBodyDepth = MaxDepth + 8
)

var tooDeep = "nested deeper than " + strconv.Itoa(MaxDepth)

// Check reports, as an *Error that matches ErrMalformed, whether b is anything but exactly one
// MessagePack value: every declared length fits the bytes that are left, arrays and maps are
// nested at most MaxDepth deep, strings are UTF-8, and nothing follows. It allocates nothing for good bytes,
// takes time proportional to len(b), and is the guard before any other decoder sees b: what
// passes has no more elements than bytes. Repeated map keys and longer forms than needed pass.
func Check(b []byte) error {
	if err := check(b); err != nil {
		return err
	}
	return nil
}

// check is Check with a typed result.
func check(b []byte) *Error {
	r := reader{b: b}
	switch {
	case len(b) == 0:
		r.fail(0, "is empty")
	case len(b) > math.MaxInt32:
		r.fail(0, "is longer than 2 GiB")
	default:
		r.skip(MaxDepth)
	}
	if r.err == nil && r.off < len(b) {
		r.fail(r.off, "bytes follow the value")
	}
	if r.err != nil {
		r.err.Op = "value"
	}
	return r.err
}
