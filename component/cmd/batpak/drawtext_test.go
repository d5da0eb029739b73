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
