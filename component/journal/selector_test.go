package journal_test

import (
	"errors"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/component/journal"
	"batpak/keystore"
)

func TestASelectorFitsTheGranularityOrNothingHappens(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, seal := range []keystore.Granularity{keystore.None, keystore.Entity, keystore.Category, keystore.Kind, keystore.Event, keystore.Subject} {
		j := openFS(t, newDisk(t), journal.Options{Name: "shred", Seal: seal, SegmentBytes: small})
		a := event("e", 1)
		a.Subject = "p"
		r := mustAppend(t, j, one(a))
		good := map[keystore.Granularity]journal.Erasure{
			keystore.Entity:   {Entity: ptr(at("e"))},
			keystore.Category: {Category: ptr(uint8(1))},
			keystore.Kind:     {Kind: ptr(causal.Kind(0x1001))},
			keystore.Event:    {Event: r[0].ID},
			keystore.Subject:  {Subject: "p"},
		}
		unknown := map[keystore.Granularity]journal.Erasure{
			keystore.Entity:   {Entity: ptr(at("other"))},
			keystore.Category: {Category: ptr(uint8(2))},
			keystore.Kind:     {Kind: ptr(causal.Kind(0x1002))},
			keystore.Event:    {Event: causal.EventID{1}},
			keystore.Subject:  {Subject: "q"},
		}
		refuse := func(what string, e journal.Erasure, want error) {
			t.Helper()
			if got, err := j.Shred(ctx, e); !errors.Is(err, want) || got.Receipt.Seq != 0 {
				t.Errorf("%s: %s: got %+v, %v, want %v", seal, what, got, err, want)
			}
			if j.Visible() != 1 || (seal != keystore.None && stateOf(t, j, 1) != causal.Opened) {
				t.Fatalf("%s: %s: something happened", seal, what)
			}
		}
		for by, e := range good {
			e.Reason = "r"
			if by != seal {
				refuse("by "+by.String(), e, journal.ErrInvalid)
				continue
			}
			two := e
			if two.Subject = "x"; by == keystore.Subject {
				two.Kind = ptr(causal.Kind(0x1001))
			}
			refuse("two selectors", two, journal.ErrInvalid)
			for what, change := range map[string]func(*journal.Erasure){
				"no reason":       func(e *journal.Erasure) { e.Reason = "" },
				"a long reason":   func(e *journal.Erasure) { e.Reason = strings.Repeat("r", journal.MaxReason+1) },
				"a reason of \\n": func(e *journal.Erasure) { e.Reason = "a\nb" },
				"a torn reason":   func(e *journal.Erasure) { e.Reason = "a\xff" },
				"a long actor":    func(e *journal.Erasure) { e.Actor = strings.Repeat("a", 257) },
				"a bad actor":     func(e *journal.Erasure) { e.Actor = "a\x00" },
			} {
				bad := e
				change(&bad)
				refuse(what, bad, journal.ErrInvalid)
			}
		}
		refuse("no selector", journal.Erasure{Reason: "r"}, journal.ErrInvalid)
		for what, e := range map[string]journal.Erasure{
			"no entity":        {Entity: &causal.Coordinate{Scope: "s"}},
			"the own entity":   {Entity: &causal.Coordinate{Scope: causal.SystemScope, Entity: "erasures"}},
			"a large category": {Category: ptr(uint8(16))},
			"the own category": {Category: ptr(causal.CategorySystem)},
			"the own kind":     {Kind: ptr(causal.KindShred)},
			"a bad subject":    {Subject: "p\x00"},
			"a long subject":   {Subject: strings.Repeat("p", 257)},
		} {
			e.Reason = "r"
			refuse(what, e, journal.ErrInvalid)
		}
		if seal == keystore.None {
			continue
		}
		e := unknown[seal]
		e.Reason = "r"
		refuse("a scope without a key", e, journal.ErrNotFound)
		e = good[seal]
		e.Reason = "r"
		if s := mustShred(t, j, e); len(s.Keys) != 1 || s.Events != 1 {
			t.Errorf("%s: %+v", seal, s)
		}
		wantStates(t, j, causal.Shredded)
	}
}
