package main

import (
	"strings"
	"testing"

	"batpak/causal"
)

// named is a drawing of one event with this entity.
func named(t *testing.T, entity string) *drawing {
	t.Helper()
	h := causal.Header{ID: causal.EventID{6: 0x70, 8: 0x80}, Seq: 1, Coordinate: causal.Coordinate{Scope: "shop", Entity: entity}, Version: 1, Kind: 0x1001}
	d, err := newDrawing([]causal.Event{{Header: h}}, nil, h.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestNoNameIsADirectiveOfMermaid(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"%%{init: {'theme':'dark'}}%%", "%%%{x}", "%% comment", "`**bold**`", "a&percnt;b"} {
		text := drawnAs(t, named(t, name), "mermaid", false)
		if label, _, _ := strings.Cut(text, "classDef"); strings.ContainsAny(label, "%`") {
			t.Errorf("%q is drawn as %s", name, label)
		}
	}
	if text := drawnAs(t, named(t, "5% `a`"), "mermaid", false); !strings.Contains(text, "shop/5&percnt; &grave;a&grave;  v1") {
		t.Errorf("drawn as %s", text)
	}
}

func TestNoNameIsAnEntityOfGraphviz(t *testing.T) {
	t.Parallel()
	if text := drawnAs(t, named(t, `a&#34; "b" \N`), "dot", false); !strings.Contains(text, `shop/a&amp;#34; \"b\" \\N  v1`) {
		t.Errorf("drawn as %s", text)
	}
}

func TestNoNameTurnsWhatIsShownAround(t *testing.T) {
	t.Parallel()
	for _, r := range "\u061c\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\x1b\u009b" {
		name := "a" + string(r) + "b"
		for _, format := range []string{"text", "svg", "dot", "mermaid"} {
			if text := drawnAs(t, named(t, name), format, false); strings.ContainsRune(text, r) || !strings.Contains(text, "a\ufffdb") {
				t.Errorf("%U in %s: %q", r, format, text)
			}
		}
		if got := printable(name); got != "a\ufffdb" {
			t.Errorf("%U is shown as %q", r, got)
		}
	}
	for _, name := range []string{"Zoë", "日本", "עברית", "a b", "—‘’…", "€", "🙂"} {
		if got := printable(name); got != name {
			t.Errorf("%q is shown as %q", name, got)
		}
	}
}
