package codec

import (
	"encoding/binary"
	"time"
)

// timestampExt is the type of MessagePack's timestamp extension.
const timestampExt = -1

// Timestamp reads a MessagePack extension as a time in UTC, in each of its three sizes. It returns
// false for another extension, and for a time that RFC 3339 has no text for.
func Timestamp(ext int8, b []byte) (t time.Time, ok bool) {
	if ext != timestampExt {
		return t, false
	}
	var nanos uint64
	var seconds int64
	switch len(b) {
	case 4:
		seconds = int64(binary.BigEndian.Uint32(b))
	case 8:
		n := binary.BigEndian.Uint64(b)
		nanos, seconds = n>>34, int64(n&(1<<34-1))
	case 12:
		nanos, seconds = uint64(binary.BigEndian.Uint32(b)), int64(binary.BigEndian.Uint64(b[4:]))
	default:
		return t, false
	}
	const first, last = -62167219200, 253402300799 // the years 0000 to 9999
	if nanos > 999_999_999 || seconds < first || seconds > last {
		return t, false
	}
	return time.Unix(seconds, int64(nanos)).UTC(), true
}
