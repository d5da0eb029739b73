package causal_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"batpak/causal"
)

func TestCoordinateRules(t *testing.T) {
	for _, c := range []struct {
		name string
		text string
		good bool
	}{
		{"one byte", "a", true},
		{"longest", strings.Repeat("a", 256), true},
		{"longest in bytes, not characters", strings.Repeat("é", 128), true},
		{"any punctuation", "a.b/c*d>e f%g", true},
		{"beyond the basic plane", "🦇", true},
		{"replacement character", "\uFFFD", true},
		{"after the C1 controls", "\u00a0", true},
		{"empty", "", false},
		{"too long", strings.Repeat("a", 257), false},
		{"too long in bytes", strings.Repeat("é", 129), false},
		{"NUL", "a\x00", false},
		{"newline", "\na", false},
		{"last C0", "a\x1f", false},
		{"DEL", "a\x7f", false},
		{"first C1", "a\u0080", false},
		{"NEL", "é\u0085", false},
		{"last C1", "a\u009f", false},
		{"control after UTF-8", "é\t", false},
		{"bare continuation", "a\x80", false},
		{"cut off", "a\xc3", false},
		{"overlong", "\xc0\xaf", false},
		{"surrogate", "\xed\xa0\x80", false},
		{"beyond Unicode", "\xf4\x90\x80\x80", false},
	} {
		for _, coord := range []causal.Coordinate{{Scope: c.text, Entity: "e"}, {Scope: "s", Entity: c.text}} {
			err := coord.Validate()
			if c.good != (err == nil) || err != nil && !errors.Is(err, causal.ErrCoordinate) {
				t.Errorf("%s: %v", c.name, err)
			}
			if what := map[bool]string{true: "entity", false: "scope"}[coord.Scope == "s"]; err != nil && !strings.Contains(err.Error(), what) {
				t.Errorf("%s: %q does not say which: %s", c.name, err, what)
			}
			if err != nil && (len(err.Error()) > 200 || !utf8.ValidString(err.Error())) {
				t.Errorf("%s: %q", c.name, err)
			}
		}
	}
}

// FuzzCheckName compares the rule's fast form with the rule as it is said.
func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"", "a", "é", "\u0085", "\x7f", "\xff", strings.Repeat("é", 129)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		good := len(s) >= 1 && len(s) <= 256 && utf8.ValidString(s)
		for _, r := range s {
			good = good && r >= 0x20 && (r < 0x7f || r > 0x9f)
		}
		if err := causal.CheckName("name", s); good != (err == nil) {
			t.Fatalf("%q: %v", s, err)
		}
	})
}

func TestLanesAreDifferentStreams(t *testing.T) {
	h := causal.Header{Coordinate: causal.Coordinate{Scope: "s", Entity: "e"}, Lane: 3}
	s := h.Stream()
	if s == (causal.Stream{Coordinate: h.Coordinate}) || s != (causal.Stream{Coordinate: h.Coordinate, Lane: 3}) {
		t.Errorf("%v", s)
	}
	if s.String() != "s/e@3" || (causal.Stream{Coordinate: h.Coordinate}).String() != "s/e" {
		t.Errorf("%s", s)
	}
}
