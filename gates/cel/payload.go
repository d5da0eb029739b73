package cel

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"github.com/vmihailenco/msgpack/v5"

	"batpak/codec"
)

var (
	errValues = fmt.Errorf("the payload has more than %d values", MaxValues)
	errTwice  = errors.New("the payload has a key twice")
	errKey    = errors.New("the payload has a key that is no string, integer or boolean")
)

// decode returns a payload as CEL sees it. After Check no length is more than there are bytes, and
// nothing is nested deeper than codec.MaxDepth.
func decode(payload []byte) (ref.Val, error) {
	if err := codec.Check(payload); err != nil {
		return nil, err
	}
	r := bytes.NewReader(payload)
	d := decoder{d: msgpack.NewDecoder(r), left: MaxValues}
	return d.value()
}

type decoder struct {
	d    *msgpack.Decoder
	left int
}

func (d *decoder) value() (ref.Val, error) {
	if d.left--; d.left < 0 {
		return nil, errValues
	}
	c, err := d.d.PeekCode()
	if err != nil {
		return nil, err
	}
	switch {
	case c == 0xc0:
		return types.NullValue, d.d.DecodeNil()
	case c == 0xc2, c == 0xc3:
		b, err := d.d.DecodeBool()
		return types.Bool(b), err
	case c <= 0x7f, c >= 0xe0, c >= 0xd0 && c <= 0xd3:
		n, err := d.d.DecodeInt64()
		return types.Int(n), err
	case c >= 0xcc && c <= 0xcf:
		n, err := d.d.DecodeUint64()
		if n > math.MaxInt64 {
			return types.Uint(n), err
		}
		return types.Int(n), err
	case c == 0xca, c == 0xcb:
		f, err := d.d.DecodeFloat64()
		return types.Double(f), err
	case c >= 0xa0 && c <= 0xbf, c >= 0xd9 && c <= 0xdb:
		s, err := d.d.DecodeString()
		return types.String(s), err
	case c >= 0xc4 && c <= 0xc6:
		b, err := d.d.DecodeBytes()
		return types.Bytes(b), err
	case c >= 0x90 && c <= 0x9f, c == 0xdc, c == 0xdd:
		return d.list()
	case c >= 0x80 && c <= 0x8f, c == 0xde, c == 0xdf:
		return d.table()
	}
	return d.extension()
}

func (d *decoder) list() (ref.Val, error) {
	n, err := d.d.DecodeArrayLen()
	if err != nil {
		return nil, err
	}
	if n > d.left {
		return nil, errValues
	}
	elems := make([]ref.Val, n)
	for i := range elems {
		if elems[i], err = d.value(); err != nil {
			return nil, err
		}
	}
	return types.NewRefValList(types.DefaultTypeAdapter, elems), nil
}

func (d *decoder) table() (ref.Val, error) {
	n, err := d.d.DecodeMapLen()
	if err != nil {
		return nil, err
	}
	if n > d.left/2 {
		return nil, errValues
	}
	entries := make(map[ref.Val]ref.Val, n)
	for range n {
		key, err := d.value()
		if err != nil {
			return nil, err
		}
		switch key.(type) {
		case types.String, types.Int, types.Uint, types.Bool:
		default:
			return nil, errKey
		}
		if _, ok := entries[key]; ok {
			return nil, errTwice
		}
		if entries[key], err = d.value(); err != nil {
			return nil, err
		}
	}
	return types.NewRefValMap(types.DefaultTypeAdapter, entries), nil
}

func (d *decoder) extension() (ref.Val, error) {
	ext, n, err := d.d.DecodeExtHeader()
	if err != nil {
		return nil, err
	}
	b := make([]byte, n)
	if err := d.d.ReadFull(b); err != nil {
		return nil, err
	}
	// CEL has no value for the year 0.
	if t, ok := codec.Timestamp(ext, b); ok && t.Year() > 0 {
		return types.Timestamp{Time: t}, nil
	}
	return types.Bytes(b), nil
}
