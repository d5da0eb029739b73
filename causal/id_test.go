package causal_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"

	"batpak/causal"
)

const then uint64 = 1_760_000_000_000 // October 2025

// checkV7 fails unless id is a UUIDv7 as RFC 9562 draws it: time, version 7, variant 10.
func checkV7(t *testing.T, id causal.EventID, ms uint64) {
	t.Helper()
	if id.Millis() != ms || id[6]>>4 != 7 || id[8]>>6 != 0b10 {
		t.Errorf("%s: time %d (want %d), version %d, variant %b", id, id.Millis(), ms, id[6]>>4, id[8]>>6)
	}
}

func TestEventIDIsUUIDv7(t *testing.T) {
	var ids causal.IDs
	for _, ms := range []uint64{0, 1, then, 1<<48 - 1} {
		checkV7(t, ids.Next(ms), ms)
	}
	var a, b causal.IDs
	if x, y := a.Next(then), b.Next(then); x == y {
		t.Errorf("two sources gave %s", x)
	}
	for _, ms := range []uint64{1 << 48, 1<<48 + 5, math.MaxUint64} { // past the 48 bits
		var late causal.IDs
		checkV7(t, late.Next(ms), 1<<48-1)
	}
}

func TestIDsAscendStrictly(t *testing.T) {
	var ids causal.IDs
	last := causal.EventID{}
	next := func(ms, want uint64) {
		t.Helper()
		id := ids.Next(ms)
		checkV7(t, id, want)
		if id.Compare(last) <= 0 {
			t.Fatalf("%s after %s", id, last)
		}
		last = id
	}
	for range 4096 { // all that the counter holds
		next(then, then)
	}
	for range 100 { // the overflow moves the time on
		next(then, then+1)
	}
	next(then-3_600_000, then+1) // the clock went back
	next(then+1, then+1)
	next(then+2, then+2)
	for i := range uint64(10_000) { // many refills of the random pool
		next(then+10+i, then+10+i)
	}
}

func TestIDsAscendFromObserved(t *testing.T) {
	parse := func(s string) causal.EventID {
		id, err := causal.ParseEventID(s)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	for _, s := range []string{
		"0199c8e2-2000-7000-8000-000000000000",
		"0199c8e2-2000-7abc-bfff-ffffffffffff",
		"0199c8e2-2000-7fff-bfff-ffffffffffff", // the counter is at its end
		"0199c8e2-2000-0fff-ffff-ffffffffffff",
		"0199c8e2-2000-f000-ffff-ffffffffffff", // not a UUIDv7
		"0199c8e2-2000-8fff-ffff-ffffffffffff",
	} {
		observed := parse(s)
		for _, ms := range []uint64{observed.Millis() - 1, observed.Millis(), observed.Millis() + 1} {
			var ids causal.IDs
			ids.Observe(observed)
			if id := ids.Next(ms); id.Compare(observed) <= 0 || id[6]>>4 != 7 || id.Millis() > observed.Millis()+1 {
				t.Errorf("%s after observing %s at %+d ms", id, s, int64(ms-observed.Millis()))
			}
		}
	}
	var ids causal.IDs
	ids.Next(then)
	id := ids.Next(then)
	ids.Observe(parse("00000000-0001-7000-8000-000000000000")) // earlier: changes nothing
	if next := ids.Next(then); next.Compare(id) <= 0 {
		t.Errorf("%s after %s", next, id)
	}
}

func TestIDsAreUniqueUnderConcurrency(t *testing.T) {
	const workers, each = 8, 2000
	var ids causal.IDs
	var wg sync.WaitGroup
	got := make([][]causal.EventID, workers)
	for w := range got {
		wg.Go(func() {
			for i := range each {
				got[w] = append(got[w], ids.Next(then+uint64(i/100)))
			}
		})
	}
	wg.Wait()
	seen := map[causal.EventID]bool{}
	for _, list := range got {
		for i, id := range list {
			if seen[id] || i > 0 && id.Compare(list[i-1]) <= 0 {
				t.Fatalf("%s is there twice or not after the one before", id)
			}
			seen[id] = true
		}
	}
}

func TestNextDoesNotAllocate(t *testing.T) {
	ids := new(causal.IDs)
	if n := testing.AllocsPerRun(1000, func() { ids.Next(then) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestLineageIsRandomUUIDv4(t *testing.T) {
	a, b := causal.NewLineage(), causal.NewLineage()
	if a == b || a.IsZero() || a[6]>>4 != 4 || a[8]>>6 != 0b10 {
		t.Errorf("%s, %s", a, b)
	}
}

func TestIdentifiersKeepTheirTextForm(t *testing.T) {
	type all struct {
		ID      causal.EventID
		Lineage causal.Lineage
		Key     causal.KeyID
		Hash    causal.Hash
	}
	want := all{causal.EventID{0: 0x01, 6: 0x7a, 8: 0x80, 15: 0xff}, causal.Lineage{0: 0xab}, causal.KeyID{15: 1}, causal.Hash{0: 0xcd}}
	b, err := json.Marshal(want)
	const text = `{"ID":"01000000-0000-7a00-8000-0000000000ff","Lineage":"ab000000-0000-0000-0000-000000000000",` +
		`"Key":"00000000000000000000000000000001","Hash":"cd00000000000000000000000000000000000000000000000000000000000000"}`
	if err != nil || string(b) != text {
		t.Fatalf("%s, %v", b, err)
	}
	var back all
	if err := json.Unmarshal([]byte(strings.ReplaceAll(text, "cd", "CD")), &back); err != nil || back != want {
		t.Errorf("%+v, %v", back, err)
	}

	if id, err := causal.ParseEventID(want.ID.String()); err != nil || id != want.ID {
		t.Error(id, err)
	}
	if l, err := causal.ParseLineage(want.Lineage.String()); err != nil || l != want.Lineage {
		t.Error(l, err)
	}
	if k, err := causal.ParseKeyID(want.Key.String()); err != nil || k != want.Key {
		t.Error(k, err)
	}
	if h, err := causal.ParseHash(want.Hash.String()); err != nil || h != want.Hash {
		t.Error(h, err)
	}
	zero := all{}
	if !zero.ID.IsZero() || !zero.Lineage.IsZero() || !zero.Key.IsZero() || !zero.Hash.IsZero() || want.ID.IsZero() || want.Lineage.IsZero() || want.Key.IsZero() || want.Hash.IsZero() {
		t.Error("IsZero is wrong")
	}
}

func TestBadTextIsRefusedAndChangesNothing(t *testing.T) {
	const good = "0198c5f2-7d3e-7abc-8def-0123456789ab"
	bad := []string{
		"", "-", good[:35], good + "0", "{" + good[1:35] + "}", strings.Replace(good, "c", "g", 1),
		"0198c5f27-d3e-7abc-8def-0123456789ab", good[:35] + "\x00", good[:34] + "é", strings.Repeat("0", 1<<20),
	}
	for _, s := range bad {
		id, l := causal.EventID{1}, causal.Lineage{1}
		for _, err := range []error{id.UnmarshalText([]byte(s)), l.UnmarshalText([]byte(s))} {
			if !errors.Is(err, causal.ErrID) || len(err.Error()) > 300 {
				t.Errorf("%.50q: %.300v", s, err)
			}
		}
		k, h := causal.KeyID{1}, causal.Hash{1}
		for _, err := range []error{k.UnmarshalText([]byte(s)), h.UnmarshalText([]byte(s))} {
			if !errors.Is(err, causal.ErrID) || len(err.Error()) > 300 {
				t.Errorf("%.50q: %.300v", s, err)
			}
		}
		if (id != causal.EventID{1} || l != causal.Lineage{1} || k != causal.KeyID{1} || h != causal.Hash{1}) {
			t.Errorf("%.50q: a refused text was taken", s)
		}
	}
	var id causal.EventID
	if err := id.UnmarshalText([]byte(strings.ReplaceAll(good, "-", ""))); !errors.Is(err, causal.ErrID) {
		t.Errorf("without hyphens: %s, %v", id, err)
	}
	k, h := causal.KeyID{1}, causal.Hash{1}
	if err := k.UnmarshalText([]byte(strings.Repeat("0", 31) + "g")); !errors.Is(err, causal.ErrID) || k != (causal.KeyID{1}) {
		t.Errorf("key id %s: %v", k, err)
	}
	if err := h.UnmarshalText([]byte(strings.Repeat("0", 63) + "g")); !errors.Is(err, causal.ErrID) || h != (causal.Hash{1}) {
		t.Errorf("hash %s: %v", h, err)
	}
}

// FuzzParseUUID: what parses has one text form, the lower-case one of what was read.
func FuzzParseUUID(f *testing.F) {
	for _, s := range []string{"", "0198c5f2-7d3e-7abc-8def-0123456789ab", "0198C5F2-7D3E-7ABC-8DEF-0123456789AB", "00000000000000000000000000000000-----"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := causal.ParseEventID(s)
		l, lerr := causal.ParseLineage(s)
		if (err == nil) != (lerr == nil) || [16]byte(id) != [16]byte(l) {
			t.Fatalf("%q: event id %v, lineage %v", s, err, lerr)
		}
		switch {
		case err != nil:
			if !errors.Is(err, causal.ErrID) || !id.IsZero() {
				t.Fatalf("%q: %s, %v", s, id, err)
			}
		case id.String() != strings.ToLower(s):
			t.Fatalf("%q became %s", s, id)
		}
	})
}

// FuzzParseHash: the same for the identifiers in hex.
func FuzzParseHash(f *testing.F) {
	for _, s := range []string{"", strings.Repeat("0", 32), strings.Repeat("aB", 32), strings.Repeat("g", 64)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if h, err := causal.ParseHash(s); err == nil && h.String() != strings.ToLower(s) || err != nil && !errors.Is(err, causal.ErrID) {
			t.Fatalf("%q: hash %s, %v", s, h, err)
		}
		if k, err := causal.ParseKeyID(s); err == nil && k.String() != strings.ToLower(s) || err != nil && !errors.Is(err, causal.ErrID) {
			t.Fatalf("%q: key id %s, %v", s, k, err)
		}
	})
}
