package causal_test

import (
	"errors"
	"strings"
	"testing"

	"batpak/causal"
)

func TestHeadTakesOnlyTheLegalNextEvent(t *testing.T) {
	coord := causal.Coordinate{Scope: "s", Entity: "e"}
	header := func(version, seq uint64, prev causal.Hash) *causal.Header {
		return &causal.Header{Coordinate: coord, Version: version, Seq: seq, Prev: prev}
	}
	var empty causal.Head
	third := causal.Head{Seq: 9, Version: 3, Hash: causal.Hash{3}}
	for _, c := range []struct {
		name string
		head causal.Head
		next *causal.Header
		says string // "" when it is legal
	}{
		{"genesis", empty, header(1, 1, causal.Hash{}), ""},
		{"genesis later in the journal", empty, header(1, 77, causal.Hash{}), ""},
		{"next", third, header(4, 10, causal.Hash{3}), ""},
		{"next after others", third, header(4, 1000, causal.Hash{3}), ""},
		{"genesis with prev", empty, header(1, 1, causal.Hash{1}), "hash"},
		{"genesis without sequence", empty, header(1, 0, causal.Hash{}), "sequence"},
		{"genesis with version 0", empty, header(0, 1, causal.Hash{}), "version"},
		{"genesis with version 2", empty, header(2, 1, causal.Hash{}), "version"},
		{"the same again", third, header(3, 9, causal.Hash{3}), "version"},
		{"a version left out", third, header(5, 10, causal.Hash{3}), "version"},
		{"the same sequence", third, header(4, 9, causal.Hash{3}), "sequence"},
		{"an earlier sequence", third, header(4, 8, causal.Hash{3}), "sequence"},
		{"another prev", third, header(4, 10, causal.Hash{4}), "hash"},
		{"no prev", third, header(4, 10, causal.Hash{}), "hash"},
	} {
		err := c.head.Check(c.next)
		switch {
		case c.says == "":
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		case !errors.Is(err, causal.ErrChain) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "s/e"):
			t.Errorf("%s: %v does not tell of the %s", c.name, err, c.says)
		}
	}
}

func TestHeadMovesToTheLastEvent(t *testing.T) {
	h := causal.Head{}.Next(&causal.Header{Version: 1, Seq: 5}, causal.Hash{1})
	if want := (causal.Head{Seq: 5, Version: 1, Hash: causal.Hash{1}}); h != want {
		t.Errorf("%+v", h)
	}
}

func TestBypassReasonIsReadFromTheHeader(t *testing.T) {
	for _, c := range []struct {
		gates  []string
		reason string
		ok     bool
	}{
		{nil, "", false}, {[]string{"balance"}, "", false}, {[]string{"!moved", "balance"}, "", false}, {[]string{""}, "", false},
		{[]string{"!moved"}, "moved", true}, {[]string{"!!"}, "!", true},
	} {
		h := causal.Header{Gates: c.gates}
		if reason, ok := h.Bypassed(); reason != c.reason || ok != c.ok {
			t.Errorf("%q: %q, %v", c.gates, reason, ok)
		}
	}
}

func TestPayloadStatesHaveNames(t *testing.T) {
	for s, want := range map[causal.PayloadState]string{
		causal.Plain: "plain", causal.Opened: "opened", causal.Shredded: "shredded", causal.KeyMissing: "key_missing", 9: "payload state 9",
	} {
		if s.String() != want {
			t.Errorf("%d: %s", s, s)
		}
	}
}
