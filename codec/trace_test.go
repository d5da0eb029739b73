package codec_test

import (
	"testing"

	"batpak/codec"
)

func TestOnlyATraceContextThatFitsAHeaderIsPassedOn(t *testing.T) {
	long := make([]byte, 129)
	for i := range long {
		long[i] = 'a'
	}
	for v, want := range map[string]bool{
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01": true,
		string(long[:128]): true,
		string(long):       false,
		"":                 false,
		"a b":              false,
		"a\r\nX: y":        false,
		"a\x00":            false,
		"ä":                false,
	} {
		if got := codec.ValidTraceparent(v); got != want {
			t.Errorf("%q: %t", v, got)
		}
	}
}
