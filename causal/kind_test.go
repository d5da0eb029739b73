package causal_test

import (
	"errors"
	"strings"
	"testing"

	"batpak/causal"
)

func TestEveryKindKeepsItsTextAndParts(t *testing.T) {
	for n := range 1 << 16 {
		k := causal.Kind(n)
		if back, err := causal.ParseKind(k.String()); err != nil || back != k {
			t.Fatalf("%s: %s, %v", k, back, err)
		}
		if back, err := causal.MakeKind(k.Category(), k.Type()); err != nil || back != k {
			t.Fatalf("%s: %s, %v", k, back, err)
		}
		if want := n>>12 == 0 || n>>12 == 13; k.Reserved() != want {
			t.Fatalf("%s: reserved %v", k, !want)
		}
	}
	if k := causal.Kind(0x1001); k.String() != "0x1001" || k.Category() != 1 || k.Type() != 1 {
		t.Errorf("%s: category %d, type %d", k, k.Category(), k.Type())
	}
	for _, k := range []causal.Kind{causal.KindShred, causal.KindRenew, causal.KindDenial} {
		if !k.Reserved() || k.Category() != causal.CategorySystem {
			t.Errorf("%s is not a system kind", k)
		}
	}
}

func TestMakeKindRefusesWhatDoesNotFit(t *testing.T) {
	for _, c := range []struct {
		category uint8
		typ      uint16
	}{{16, 0}, {255, 0}, {0, 0x1000}, {1, 65535}} {
		if k, err := causal.MakeKind(c.category, c.typ); k != 0 || !errors.Is(err, causal.ErrKind) {
			t.Errorf("%v: %s, %v", c, k, err)
		}
	}
}

func TestParseKind(t *testing.T) {
	for s, want := range map[string]causal.Kind{
		"0": 0, "4097": 0x1001, "65535": 0xffff, "0x1001": 0x1001, "0X1001": 0x1001, "0xABCD": 0xabcd, "0x1": 1,
		"010": 10, // decimal, not octal
	} {
		if k, err := causal.ParseKind(s); err != nil || k != want {
			t.Errorf("%q: %s, %v", s, k, err)
		}
	}
	for _, s := range []string{"", "0x", "x1", "-1", "+1", "65536", "0x10000", "1001h", " 1", "1_0", "0b1", "0o17", "0x1_0", "1e3", strings.Repeat("9", 1<<16)} {
		if k, err := causal.ParseKind(s); k != 0 || !errors.Is(err, causal.ErrKind) || len(err.Error()) > 200 {
			t.Errorf("%.20q: %s, %.200v", s, k, err)
		}
	}
}
