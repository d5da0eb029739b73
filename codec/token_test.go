package codec_test

import (
	"errors"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/codec"
)

func TestTokenHasOneForm(t *testing.T) {
	for name, token := range map[string]string{
		"tenant-a":               "tenant-a",
		"AZaz09-_:~@+=,!$&'();":  "AZaz09-_:~@+=,!$&'();",
		"a.b":                    "a%2Eb",
		"a b*>/%":                "a%20b%2A%3E%2F%25",
		"Zoë":                    "Zo%C3%AB",
		strings.Repeat(".", 256): strings.Repeat("%2E", 256),
	} {
		if got := codec.EscapeToken(name); got != token {
			t.Errorf("%q: escaped %q, want %q", name, got, token)
		}
		if got, err := codec.UnescapeToken(token); got != name || err != nil {
			t.Errorf("%q: %q, %v, want %q", token, got, err, name)
		}
	}
	for _, token := range []string{
		"", "%2e", "%GG", "%", "%2", "a%2", "%41", "%7E", "a.b", "a b", "Zoë", "a*", ">", "\x00", "%00", "%1F", "%7F", "%C2%85", "%FF", "%C3",
		strings.Repeat("x", 257), strings.Repeat("%2E", 257), strings.Repeat("%2E", 256) + "x", "%%32",
	} {
		if got, err := codec.UnescapeToken(token); got != "" || !errors.Is(err, codec.ErrMalformed) {
			t.Errorf("%q: %q, %v", token, got, err)
		}
	}
}

func FuzzToken(f *testing.F) {
	for _, s := range []string{"tenant-a", "a.b", "%2E", "%2e", "Zoë", "%C3%AB", "", "%GG"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if name, err := codec.UnescapeToken(s); err == nil {
			if again := codec.EscapeToken(name); again != s {
				t.Errorf("%q stands for %q, whose form is %q", s, name, again)
			}
		}
		token := codec.EscapeToken(s)
		if strings.ContainsAny(token, ".*> \t\r\n") {
			t.Errorf("%q: %q is not one token", s, token)
		}
		name, err := codec.UnescapeToken(token)
		if good := causal.CheckName("name", s) == nil; good != (err == nil) || good && name != s {
			t.Errorf("%q: back from %q: %q, %v", s, token, name, err)
		}
	})
}
