package codec

import (
	"encoding/binary"
	"math"
)

// The functions below append one msgpack value, or the head of one, in its shortest form.

func appendNil(dst []byte) []byte { return append(dst, 0xc0) }

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 0xc3)
	}
	return append(dst, 0xc2)
}

func appendUint(dst []byte, v uint64) []byte {
	switch {
	case v <= 0x7f:
		return append(dst, byte(v))
	case v <= 0xff:
		return append(dst, 0xcc, byte(v))
	case v <= 0xffff:
		return append(dst, 0xcd, byte(v>>8), byte(v))
	case v <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, 0xce), uint32(v))
	default:
		return binary.BigEndian.AppendUint64(append(dst, 0xcf), v)
	}
}

func appendInt(dst []byte, v int64) []byte {
	switch {
	case v >= 0:
		return appendUint(dst, uint64(v))
	case v >= -32:
		return append(dst, byte(v))
	case v >= math.MinInt8:
		return append(dst, 0xd0, byte(v))
	case v >= math.MinInt16:
		return append(dst, 0xd1, byte(v>>8), byte(v))
	case v >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(dst, 0xd2), uint32(v))
	default:
		return binary.BigEndian.AppendUint64(append(dst, 0xd3), uint64(v))
	}
}

func appendFloat(dst []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, 0xcb), math.Float64bits(v))
}

func appendStr[T string | []byte](dst []byte, s T) []byte {
	return append(appendStrHead(dst, len(s)), s...)
}

func appendStrHead(dst []byte, n int) []byte {
	switch {
	case n <= 0x1f:
		return append(dst, 0xa0|byte(n))
	case n <= 0xff:
		return append(dst, 0xd9, byte(n))
	case n <= 0xffff:
		return append(dst, 0xda, byte(n>>8), byte(n))
	default:
		return binary.BigEndian.AppendUint32(append(dst, 0xdb), uint32(n))
	}
}

// binHeadSize is how many bytes appendBinHead appends.
func binHeadSize(n int) int {
	switch {
	case n <= 0xff:
		return 2
	case n <= 0xffff:
		return 3
	default:
		return 5
	}
}

func appendBinHead(dst []byte, n int) []byte {
	switch binHeadSize(n) {
	case 2:
		return append(dst, 0xc4, byte(n))
	case 3:
		return append(dst, 0xc5, byte(n>>8), byte(n))
	default:
		return binary.BigEndian.AppendUint32(append(dst, 0xc6), uint32(n))
	}
}

func appendBin(dst, b []byte) []byte { return append(appendBinHead(dst, len(b)), b...) }

func appendArrayHead(dst []byte, n int) []byte { return appendContainerHead(dst, 0x90, 0xdc, n) }

func appendMapHead(dst []byte, n int) []byte { return appendContainerHead(dst, 0x80, 0xde, n) }

// appendContainerHead appends the head of n elements or entries: fix with n in it, or wide
// and 16 bits, or the code after wide and 32 bits.
func appendContainerHead(dst []byte, fix, wide byte, n int) []byte {
	switch {
	case n <= 0x0f:
		return append(dst, fix|byte(n))
	case n <= 0xffff:
		return append(dst, wide, byte(n>>8), byte(n))
	default:
		return binary.BigEndian.AppendUint32(append(dst, wide+1), uint32(n))
	}
}
