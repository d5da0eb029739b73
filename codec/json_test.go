package codec_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"batpak/codec"
)

func TestJSONBecomesSortedShortMsgpack(t *testing.T) {
	for in, want := range map[string]string{
		`null`: "\xc0", ` true `: "\xc3", `false`: "\xc2", `""`: "\xa0", `[]`: "\x90", `{}`: "\x80", "\t[\n1 ,\r2 ]": "\x92\x01\x02",
		`0`: "\x00", `-0`: "\x00", `127`: "\x7f", `128`: "\xcc\x80", `-32`: "\xe0", `-33`: "\xd0\xdf", `-129`: "\xd1\xff\x7f", `65536`: "\xce\x00\x01\x00\x00",
		`18446744073709551615`: "\xcf\xff\xff\xff\xff\xff\xff\xff\xff", `-9223372036854775808`: "\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
		`18446744073709551616`: "\xcb\x43\xf0\x00\x00\x00\x00\x00\x00", `-9223372036854775809`: "\xcb\xc3\xe0\x00\x00\x00\x00\x00\x00",
		`1.0`: "\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00", `1e0`: "\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00", `-0.0`: "\xcb\x80\x00\x00\x00\x00\x00\x00\x00",
		`{"b":1,"a":{"d":[{"y":1,"x":2}],"c":null}}`: "\x82\xa1a\x82\xa1c\xc0\xa1d\x91\x82\xa1x\x02\xa1y\x01\xa1b\x01",
		`{"aa":1,"b":2,"a":3}`:                       "\x83\xa1a\x03\xa2aa\x01\xa1b\x02",
		`"\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t"`:       "\xae\xc3\xa9\xf0\x9f\x98\x80\"\\/\b\f\n\r\t",
		`"é€"`:                                       "\xa5\xc3\xa9\xe2\x82\xac",
	} {
		got, err := codec.JSONToMsgpack([]byte("x"), []byte(in))
		if err != nil || string(got) != "x"+want {
			t.Errorf("%s: %x, %v, want %x", in, got, err, want)
		}
	}
	long := "[" + strings.Repeat("1,", 69_999) + "1]"
	if got, err := codec.JSONToMsgpack(nil, []byte(long)); err != nil || string(got[:5]) != "\xdd\x00\x01\x11\x70" || len(got) != 70_005 {
		t.Errorf("70,000 elements: %x, %v", got[:5], err)
	}
}

func TestJSONThatIsNotOneValueIsRefused(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	if _, err := codec.JSONToMsgpack(nil, []byte(deep(codec.MaxDepth))); err != nil {
		t.Error(err)
	}
	for _, in := range []string{
		"", " ", "nul", "nulll", "True", "1 2", "{} x", "[1,]", "[1 2]", "[", "]", "[1", `{"a":1,}`, `{"a"}`, `{"a":}`, `{a:1}`, `{1:1}`, `{"a":1`, `{,}`, "{",
		"01", "-", "+1", "1.", ".1", "1e", "1e+", "0x1", "1_0", "NaN", "Infinity", "1e999", "-01", "- 1", `"`, `"\"`, `"\x"`, `"\u12"`, `"\u12G4"`, `"\u+123"`, "\"\n\"", "\"\xff\"", "\"\\", "\"\xed\xa0\x80\"",
		`"\ud800"`, `"\udc00"`, `"\ud800\ud800"`, `"\ud800x"`, `"\ud800\n"`, `"\ud800\u0041"`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `[{"a":1,"b":1,"a":2}]`, "\xef\xbb\xbf1", "'a'", "/**/1",
		deep(codec.MaxDepth + 1), strings.Repeat("[", 100_000), strings.Repeat(`{"a":`, 100_000),
	} {
		got, err := codec.JSONToMsgpack(nil, []byte(in))
		var e *codec.Error
		if !errors.As(err, &e) || !errors.Is(err, codec.ErrMalformed) || len(got) != 0 {
			t.Errorf("%.40q: %x, %v", in, got, err)
		}
	}
}

func TestMsgpackAsJSON(t *testing.T) {
	for in, want := range map[string]string{
		"\xc0": `null`, "\xe0": `-32`, "\xcf\xff\xff\xff\xff\xff\xff\xff\xff": `18446744073709551615`, "\xd3\x80\x00\x00\x00\x00\x00\x00\x00": `-9223372036854775808`,
		"\xc4\x03abc": `"YWJj"`, "\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00": `1.0`, "\xca\x3d\xcc\xcc\xcd": `0.1`, "\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00": `null`, "\xcb\xff\xf0\x00\x00\x00\x00\x00\x00": `null`,
		"\xcb\x44\xb5\x2d\x02\xc7\xe1\x4a\xf6": `1e+23`, "\xcb\x80\x00\x00\x00\x00\x00\x00\x00": `-0.0`,
		"\xd6\xff\x00\x00\x00\x01": `"1970-01-01T00:00:01Z"`, "\xd7\xff\x00\x00\x00\x04\x00\x00\x00\x01": `"1970-01-01T00:00:01.000000001Z"`,
		"\xc7\x0c\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff": `"1969-12-31T23:59:59Z"`,
		"\xc7\x0c\xff\x00\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff": `{"ext":-1,"data":"AAAAAH//////////"}`, "\xd4\x05a": `{"ext":5,"data":"YQ=="}`,
		"\x83\x01\x02\xc0\xc3\xa1a\x80": `{"1":2,"null":true,"a":{}}`, "\x81\x91\xa1a\x01": `{"kaFh":1}`, "\x81\xc4\x01a\x01": `{"YQ==":1}`, "\x81\xd6\xff\x00\x00\x00\x01\x01": `{"1970-01-01T00:00:01Z":1}`,
		"\x81\xd4\x05a\x01": `{"{\"ext\":5,\"data\":\"YQ==\"}":1}`, "\xa5\"\\\n\x01\x7f": "\"\\\"\\\\\\n\\u0001\x7f\"", "\x92\x01\x90": `[1,[]]`,
	} {
		got, err := codec.MsgpackToJSON([]byte("x"), []byte(in))
		if err != nil || string(got) != "x"+want || !json.Valid(got[1:]) {
			t.Errorf("%x: %s, %v, want %s", in, got, err, want)
		}
	}
	for name, b := range badValues {
		if got, err := codec.MsgpackToJSON(nil, []byte(b)); !errors.Is(err, codec.ErrMalformed) || len(got) != 0 {
			t.Errorf("%s: %.40s, %v", name, got, err)
		}
	}
}

func TestJSONAllocatesASmallMultiple(t *testing.T) {
	keys := bytes.Repeat([]byte{0x81}, codec.MaxDepth) // maps as keys of maps as keys
	for range codec.MaxDepth + 1 {
		keys = append(keys, 0xc0)
	}
	hostile := map[string]func(b []byte){
		"in":  func(b []byte) { codec.JSONToMsgpack(nil, b) },
		"out": func(b []byte) { codec.MsgpackToJSON(nil, b) },
	}
	for _, b := range [][]byte{
		keys, nested(60), []byte("\xdd\xff\xff\xff\xff"), append([]byte("\xdb\x00\x00\x40\x00"), make([]byte, 0x4000)...),
		[]byte(strings.Repeat("[", 64) + strings.Repeat("]", 64)), []byte("[" + strings.Repeat("{},", 5000) + "0]"), []byte(`"` + strings.Repeat(`\u0001`, 5000) + `"`), manyKeys(2000),
	} {
		for name, f := range hostile {
			if n := allocated(func() { f(b) }); n > uint64(16<<10+40*len(b)) {
				t.Errorf("%s %.20x: %d bytes for %d", name, b, n, len(b))
			}
		}
	}
}

func manyKeys(n int) []byte {
	b := []byte("{")
	for i := range n {
		b = append(b, '"', byte('z'-i%26), byte('a'+i/26%26), byte('a'+i/676), '"', ':', '0', ',')
	}
	b[len(b)-1] = '}'
	return b
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"b":[1,-2,3.5,1e300],"a":null}`, `"\ud83d\ude00"`, `18446744073709551616`, `[[],{}]`, `{"a":1,"a":2}`, `-0.0`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		packed, err := codec.JSONToMsgpack(nil, b)
		if err != nil {
			if !errors.Is(err, codec.ErrMalformed) {
				t.Errorf("%q: %v", b, err)
			}
			return
		}
		if !json.Valid(b) {
			t.Errorf("%q is no JSON", b)
		}
		if err := codec.Check(packed); err != nil {
			t.Errorf("%q: %v", b, err)
		}
		// JSON has a MessagePack that leads back to the same JSON value, so to the same bytes.
		text, err := codec.MsgpackToJSON(nil, packed)
		if err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		again, err := codec.JSONToMsgpack(nil, text)
		if err != nil || !bytes.Equal(again, packed) {
			t.Errorf("%q: %x, then %s, then %x, %v", b, packed, text, again, err)
		}
	})
}
