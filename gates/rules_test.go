package gates_test

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"batpak/causal"
	"batpak/gates"
)

func TestPatternMatchesWholeNames(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "a.b/c", true}, {"a", "a", true}, {"a", "ab", false},
		{"a*", "a", true}, {"a*", "abc", true}, {"a*", "ba", false}, {"*a", "bca", true}, {"*a", "ab", false},
		{"a*b*c", "aXbYc", true}, {"a*b*c", "aXcYb", false}, {"*ab*ab", "abab", true}, {"*ab*ab", "ab", false},
		{"tenant-*", "tenant-ä", true}, {"**", "x", true}, {"?", "x", false},
	} {
		if got := gates.Pattern(c.pattern).Match(c.name); got != c.want {
			t.Errorf("%q matches %q: %v", c.pattern, c.name, got)
		}
	}
}

func TestKindRanges(t *testing.T) {
	for s, want := range map[string]gates.KindRange{
		"0x1001": gates.OneKind(0x1001), "0x1000-0x1fff": gates.Category(1), "*": {To: 0xFFFF}, "16": gates.OneKind(16),
	} {
		if got, err := gates.ParseKinds(s); err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		} else if again, err := gates.ParseKinds(got.String()); err != nil || again != got {
			t.Errorf("%s came back as %v, %v", got, again, err)
		}
	}
	for _, s := range []string{"", "-", "0x1002-0x1001", "0x10000", "0x1*", "a", "1-2-3"} {
		if r, err := gates.ParseKinds(s); !errors.Is(err, gates.ErrPattern) {
			t.Errorf("%q: %v, %v", s, r, err)
		}
	}
}

// found is a view that knows some events.
type found struct {
	gates.View
	kinds map[causal.EventID]causal.Kind
}

func (f found) Find(id causal.EventID) (causal.Header, error) {
	kind, ok := f.kinds[id]
	if !ok {
		return causal.Header{}, errors.New("rot")
	}
	return causal.Header{ID: id, Kind: kind}, nil
}

func TestRules(t *testing.T) {
	order, payment, lost := causal.EventID{1}, causal.EventID{2}, causal.EventID{3}
	view := found{kinds: map[causal.EventID]causal.Kind{order: 0x1001, payment: 0x2001}}
	here, elsewhere := causal.Lineage{1}, causal.Lineage{2}
	at := func(scope string, kind causal.Kind, size int, causes ...causal.Cause) *gates.Proposal {
		return &gates.Proposal{
			Header: causal.Header{Lineage: here, Coordinate: causal.Coordinate{Scope: scope, Entity: "e"}, Kind: kind, Causes: causes},
			Data:   make([]byte, size),
		}
	}
	by := func(id causal.EventID) causal.Cause { return causal.Cause{ID: id} }
	abroad := causal.Cause{Lineage: elsewhere, ID: order}
	size := gates.MaxSize("g", 10)
	kinds := gates.AllowKinds("g",
		gates.KindRule{Scope: "shop-*", Kinds: []gates.KindRange{gates.Category(1)}},
		gates.KindRule{Scope: "shop-7", Kinds: []gates.KindRange{gates.Category(2)}},
		gates.KindRule{Scope: "bank", Kinds: []gates.KindRange{gates.OneKind(0x2001), gates.OneKind(0x2003)}})
	two := gates.RequireCauses("g", 2)
	paid := gates.RequireCauses("g", 1, gates.Category(2))
	for _, c := range []struct {
		what string
		gate gates.Gate
		p    *gates.Proposal
		view gates.View
		code string
	}{
		{"size at the limit", size, at("s", 1, 10), nil, ""},
		{"size over it", size, at("s", 1, 11), nil, gates.CodeSize},
		{"kind of the scope", kinds, at("shop-1", 0x1234, 0), nil, ""},
		{"kind of another scope", kinds, at("shop-1", 0x2001, 0), nil, gates.CodeKind},
		{"the first rule counts", kinds, at("shop-7", 0x2001, 0), nil, gates.CodeKind},
		{"one of two kinds", kinds, at("bank", 0x2003, 0), nil, ""},
		{"a kind between them", kinds, at("bank", 0x2002, 0), nil, gates.CodeKind},
		{"a scope without a rule", kinds, at("other", 0x1001, 0), nil, gates.CodeKind},
		{"no causes", two, at("s", 1, 0), nil, gates.CodeCauses},
		{"the same cause twice", two, at("s", 1, 0, by(order), by(order)), nil, gates.CodeCauses},
		{"two causes", two, at("s", 1, 0, by(order), abroad), nil, ""},
		{"a cause of the kind", paid, at("s", 1, 0, by(order), by(payment), by(lost)), view, ""},
		{"a cause of another kind", paid, at("s", 1, 0, by(order)), view, gates.CodeCauses},
		{"a cause in another journal", paid, at("s", 1, 0, causal.Cause{Lineage: elsewhere, ID: payment}), view, gates.CodeCauses},
		{"a cause said to be in this one", paid, at("s", 1, 0, causal.Cause{Lineage: here, ID: payment}), view, ""},
		{"a cause that cannot be read", paid, at("s", 1, 0, by(lost)), view, gates.CodeView},
		{"a view that cannot find", paid, at("s", 1, 0, by(order)), nil, gates.CodeView},
	} {
		_, err := chain(t, c.gate).Judge(c.p, c.view)
		d, _ := err.(*gates.Denial)
		if got := d != nil; got != (c.code != "") || got && d.Code != c.code {
			t.Errorf("%s: %v, want %q", c.what, err, c.code)
		}
		if d != nil && d.Details["dropped"] != nil {
			t.Errorf("%s: details %v", c.what, d.Details)
		}
	}
}

func TestWhenAsksOnlyAboutWhatMatches(t *testing.T) {
	asks, forgot := 0, 0
	inner := forgetful{asked("inner", &asks, &gates.Denial{Code: "no"}), func() { forgot++ }}
	c := chain(t, gates.When(gates.Match{
		Scopes: []gates.Pattern{"x", "ban*"}, Entities: []gates.Pattern{"a*"}, Kinds: []gates.KindRange{gates.Category(1)},
	}, inner))
	if d := denialOf(t, c, proposal(), nil); d.Gate != "inner" || d.Code != "no" {
		t.Errorf("%+v", d)
	}
	for _, change := range []func(*causal.Header){
		func(h *causal.Header) { h.Scope = "shop" }, func(h *causal.Header) { h.Entity = "bob" }, func(h *causal.Header) { h.Kind = 0x2001 },
	} {
		p := proposal()
		change(&p.Header)
		if _, err := c.Judge(p, nil); err != nil {
			t.Error(err)
		}
	}
	if c.Forget(); asks != 1 || forgot != 1 {
		t.Errorf("asked %d, forgot %d", asks, forgot)
	}
}

func TestChainRefusesRulesThatWereMadeWrongly(t *testing.T) {
	for what, g := range map[string]gates.Gate{
		"size 0": gates.MaxSize("g", 0), "no rules": gates.AllowKinds("g"), "no causes": gates.RequireCauses("g", 0),
		"no rate": gates.MaxRate("g", gates.Rate{}), "no time": gates.MaxRate("g", gates.Rate{Events: 1}),
		"too fast": gates.MaxRate("g", gates.Rate{Events: 2, Per: 1}), "negative": gates.MaxRate("g", gates.Rate{Events: 2, Per: time.Second, Burst: -1}),
		"too slow":     gates.MaxRate("g", gates.Rate{Events: 1, Per: 1 << 62}),
		"when nothing": gates.When(gates.Match{}, nil), "when wrong": gates.When(gates.Match{}, gates.MaxSize("g", -1)),
	} {
		if _, err := gates.NewChain(g); !errors.Is(err, gates.ErrGate) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func rated(seq, millis uint64, scope string) *gates.Proposal {
	return &gates.Proposal{Header: causal.Header{Coordinate: causal.Coordinate{Scope: scope, Entity: "e"}, Seq: seq, Time: causal.HLC{Millis: millis}}}
}

func TestRateIsATokenBucketForEachScope(t *testing.T) {
	c := chain(t, gates.MaxRate("rate", gates.Rate{Events: 10, Per: time.Second, Burst: 3}))
	var seq uint64 = 1
	judge := func(millis uint64, scope string, permitted bool) {
		t.Helper()
		_, err := c.Judge(rated(seq, millis, scope), nil)
		if (err == nil) != permitted {
			t.Fatalf("at %d in %s: %v", millis, scope, err)
		}
		if err == nil {
			seq++
		}
	}
	for range 3 {
		judge(1000, "a", true)
	}
	judge(1000, "a", false)
	judge(1000, "b", true)
	judge(1099, "a", false)
	d := denialOf(t, c, rated(seq, 1040, "a"), nil)
	if d.Code != gates.CodeRate || d.Details["retry_after_ms"] != int64(60) || d.Details["scope"] != "a" {
		t.Errorf("%+v", d)
	}
	judge(1100, "a", true)
	judge(1199, "a", false)
	for range 3 { // full again, and no fuller
		judge(9000, "a", true)
	}
	judge(9000, "a", false)
}

func TestRateTakesNothingForWhatWasNotAppended(t *testing.T) {
	c := chain(t, gates.MaxRate("rate", gates.Rate{Events: 3, Per: time.Hour}))
	permitted := func(seq uint64) {
		t.Helper()
		if _, err := c.Judge(rated(seq, 1, "a"), nil); err != nil {
			t.Fatal(err)
		}
	}
	for range 9 { // refused by somebody else
		permitted(1)
	}
	permitted(2)
	permitted(3)
	denialOf(t, c, rated(4, 1, "a"), nil)
	permitted(2) // the journal went back
	permitted(3)
	denialOf(t, c, rated(4, 1, "a"), nil)
	if vs := c.Evaluate(rated(0, 1, "b"), nil); vs[0].Denial != nil {
		t.Error(vs[0].Denial)
	}
}

// TestRateAfterRollbacksEqualsRateWithoutThem gives one gate a walk with appends that come to nothing
// and another one only what was left of it.
func TestRateAfterRollbacksEqualsRateWithoutThem(t *testing.T) {
	limit := gates.Rate{Events: 5, Per: 100 * time.Millisecond, Burst: 4}
	type kept struct {
		millis uint64
		scope  string
	}
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 2))
		walked := chain(t, gates.MaxRate("rate", limit))
		var log []kept
		now := uint64(1)
		for range 150 {
			now += r.Uint64N(12)
			if r.IntN(6) == 0 {
				log = log[:len(log)-r.IntN(len(log)+1)]
			}
			e := kept{now, string('a' + rune(r.IntN(3)))}
			_, got := walked.Judge(rated(uint64(len(log)+1), e.millis, e.scope), nil)

			afresh := chain(t, gates.MaxRate("rate", limit))
			for i, k := range log {
				if _, err := afresh.Judge(rated(uint64(i+1), k.millis, k.scope), nil); err != nil {
					t.Fatalf("seed %d: event %d: %v", seed, i+1, err)
				}
			}
			_, want := afresh.Judge(rated(uint64(len(log)+1), e.millis, e.scope), nil)
			if (got == nil) != (want == nil) {
				t.Fatalf("seed %d: %v, afresh %v", seed, got, want)
			}
			if got == nil && r.IntN(4) > 0 { // else another gate denies it
				log = append(log, e)
			}
		}
	}
}

type rewound struct {
	gates.Gate
	rewind func(seq uint64)
}

func (r rewound) Rewind(seq uint64) { r.rewind(seq) }

func TestRewindReachesEveryGate(t *testing.T) {
	var seqs []uint64
	note := func(seq uint64) { seqs = append(seqs, seq) }
	c := chain(t, rewound{permits("a"), func(uint64) { panic("secret") }},
		permits("b"), gates.When(gates.Match{}, rewound{permits("c"), note}), gates.When(gates.Match{}, permits("d")))
	c.Rewind(7)
	(*gates.Chain)(nil).Rewind(8)
	if len(seqs) != 1 || seqs[0] != 7 {
		t.Errorf("rewound to %v", seqs)
	}

	// The sequence goes to an event that no gate is asked about: what was taken for it is given back.
	rate := chain(t, gates.MaxRate("rate", gates.Rate{Events: 1, Per: time.Hour}))
	for seq := range uint64(3) {
		if _, err := rate.Judge(rated(seq+1, 1, "a"), nil); err != nil {
			t.Fatal(err)
		}
		rate.Rewind(seq + 1)
	}
}
