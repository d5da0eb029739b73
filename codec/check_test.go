package codec_test

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"batpak/codec"
)

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func nested(levels int) []byte { return append(bytes.Repeat([]byte{0x91}, levels), 0xc0) }

var goodValues = []string{
	"\x00", "\xe0", "\xc0", "\xc2", "\xc3", "\x80", "\x90", "\xa0", "\xc4\x00", "\xcb\x00\x00\x00\x00\x00\x00\x00\x00", "\xca\x00\x00\x00\x00",
	"\xcc\x00", "\xcd\x00\x00", "\xce\x00\x00\x00\x00", "\xcf\x00\x00\x00\x00\x00\x00\x00\x00", "\xd0\xff", "\xd1\xff\xff", "\xd2\xff\xff\xff\xff", "\xd3\xff\xff\xff\xff\xff\xff\xff\xff",
	"\xd4\x05a", "\xd5\x05aa", "\xd6\xffaaaa", "\xd7\x05aaaaaaaa", "\xd8\x05aaaaaaaaaaaaaaaa", "\xc7\x00\x05", "\xc8\x00\x01\x05a", "\xc9\x00\x00\x00\x01\x05a",
	"\xd9\x01a", "\xda\x00\x01a", "\xdb\x00\x00\x00\x01a", "\xdc\x00\x01a", "\xdd\x00\x00\x00\x01\x00", "\xde\x00\x01\x00\x00", "\xdf\x00\x00\x00\x01\x00\x00",
	"\x82\x01\x02\x01\x03", "\xa3\xe2\x82\xac", string(nested(codec.MaxDepth)),
}

var badValues = map[string]string{
	"nothing":               "",
	"c1":                    "\xc1",
	"trailing":              "\xc0\xc0",
	"2^32-1 elements":       "\xdd\xff\xff\xff\xff",
	"2^32-1 entries":        "\xdf\xff\xff\xff\xff",
	"2^32-1 bytes":          "\xc6\xff\xff\xff\xff",
	"one element short":     "\x92\xc0",
	"one entry short":       "\x82\xc0\xc0\xc0",
	"same bytes claimed":    "\x93\x93\x93\xc0\xc0\xc0\xc0",
	"string cut off":        "\xa2a",
	"not UTF-8":             "\xa1\xff",
	"not UTF-8 inside":      "\x91\xa1\xff",
	"overlong UTF-8":        "\xa2\xc0\x80",
	"surrogate UTF-8":       "\xa3\xed\xa0\x80",
	"extension cut off":     "\xd6\x05aaa",
	"extension type cutoff": "\xd4",
	"number cut off":        "\xcf\x00",
	"c1 inside":             "\x91\xc1",
	"one level too deep":    string(nested(codec.MaxDepth + 1)),
	"maps too deep":         strings.Repeat("\x81\x00", codec.MaxDepth+1) + "\x00",
	"100,000 levels":        string(nested(100_000)),
	"levels of 65535":       strings.Repeat("\xdc\xff\xff", 30_000),
}

func TestCheckPassesExactlyOneWholeValue(t *testing.T) {
	for _, b := range goodValues {
		if err := codec.Check([]byte(b)); err != nil {
			t.Errorf("%x: %v", b, err)
		}
	}
	for name, b := range badValues {
		err := codec.Check([]byte(b))
		var e *codec.Error
		if !errors.Is(err, codec.ErrMalformed) || errors.Is(err, codec.ErrTooLarge) || !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(b) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckAllocatesNothing(t *testing.T) {
	for _, b := range goodValues {
		v := []byte(b)
		if n := testing.AllocsPerRun(10, func() { codec.Check(v) }); n != 0 {
			t.Errorf("%x: %v allocations", b, n)
		}
	}
	for name, b := range badValues {
		v := []byte(b)
		if n := allocated(func() { codec.Check(v) }); n > 4<<10 {
			t.Errorf("%s: %d bytes", name, n)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, b := range goodValues {
		f.Add([]byte(b))
	}
	for _, b := range badValues {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if codec.Check(b) != nil {
			return
		}
		// What passes is safe for the library, and all of it is one value to it.
		r := bytes.NewReader(b)
		d := msgpack.NewDecoder(r)
		if err := d.Skip(); err != nil && !strings.Contains(err.Error(), "unknown code") {
			t.Errorf("%x: the library stumbles: %v", b, err)
		}
		n := allocated(func() {
			var v any
			_ = msgpack.Unmarshal(b, &v)
		})
		if limit := uint64(64<<10 + 200*len(b)); n > limit {
			t.Errorf("%x: the library allocates %d bytes for %d", b, n, len(b))
		}
		if _, err := codec.MsgpackToJSON(nil, b); err != nil {
			t.Errorf("%x: no JSON: %v", b, err)
		}
	})
}
