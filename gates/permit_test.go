package gates_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"batpak/gates"
)

func TestPermitIsUsedOnce(t *testing.T) {
	permit, err := chain(t, permits("a")).Judge(proposal(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var used, refused atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			switch p, _, err := permit.Use(); {
			case err == nil && p != nil:
				used.Add(1)
			case errors.Is(err, gates.ErrUsed) && p == nil:
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	if used.Load() != 1 || refused.Load() != 15 {
		t.Errorf("used %d times, refused %d", used.Load(), refused.Load())
	}
}

func TestForgedPermitIsRefused(t *testing.T) {
	good, err := gates.Bypass(proposal(), "reason")
	if err != nil {
		t.Fatal(err)
	}
	// A plain copy is what vet finds; reflection copies unseen.
	copied := reflect.New(reflect.TypeFor[gates.Permit]())
	copied.Elem().Set(reflect.ValueOf(good).Elem())

	denied := new(gates.Permit)
	if err := chain(t, asked("a", new(int), &gates.Denial{})).JudgeInto(denied, proposal(), nil); err == nil {
		t.Fatal("not denied")
	}
	redenied := new(gates.Permit)
	if err := chain(t).JudgeInto(redenied, proposal(), nil); err != nil {
		t.Fatal(err)
	}
	if err := chain(t, asked("a", new(int), &gates.Denial{})).JudgeInto(redenied, proposal(), nil); err == nil {
		t.Fatal("not denied")
	}
	for what, permit := range map[string]*gates.Permit{
		"nil": nil, "zero": new(gates.Permit), "copy": copied.Interface().(*gates.Permit), "denied": denied, "good, then denied": redenied,
	} {
		if p, names, err := permit.Use(); p != nil || names != nil || !errors.Is(err, gates.ErrForged) {
			t.Errorf("%s: %v, %v, %v", what, p, names, err)
		}
	}
	if _, _, err := good.Use(); err != nil {
		t.Errorf("the original: %v", err)
	}
}

func TestGateCannotAlterWhatIsAppended(t *testing.T) {
	want := proposal()
	var kept *gates.Proposal
	alters := gates.New("alters", func(p *gates.Proposal, _ gates.View) *gates.Denial {
		kept = p
		_ = append(p.Data, "behind the end"...)
		_ = append(p.Header.Causes, p.Header.Causes...)
		p.Header.Entity, p.Header.Kind, p.Header.Meta = "mallory", 0xFFFF, nil
		p.Data = []byte("other")
		return nil
	})
	looks := gates.New("looks", func(p *gates.Proposal, _ gates.View) *gates.Denial {
		if !reflect.DeepEqual(p, want) {
			return &gates.Denial{Code: "altered"}
		}
		return nil
	})
	c := chain(t, alters, looks)
	p := proposal()
	behind := p.Data[:cap(p.Data)]
	permit, err := c.Judge(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range c.Evaluate(proposal(), nil) {
		if v.Denial != nil {
			t.Errorf("evaluate: %v", v.Denial)
		}
	}
	kept.Data, kept.Header.Entity = nil, "mallory"
	got, _, err := permit.Use()
	if err != nil || !reflect.DeepEqual(got, want) || !reflect.DeepEqual(p, want) {
		t.Errorf("error %v, permit carries %+v, the caller has %+v", err, got, p)
	}
	if slices.ContainsFunc(behind[len(p.Data):], func(b byte) bool { return b != 0 }) {
		t.Errorf("memory behind the payload was written: %q", behind)
	}
}

func TestPermitCarriesWhatWasJudged(t *testing.T) {
	p := proposal()
	permit, err := chain(t, permits("a")).Judge(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Header.Entity, p.Data = "mallory", nil
	if got, _, _ := permit.Use(); !reflect.DeepEqual(got, proposal()) {
		t.Errorf("permit carries %+v", got)
	}
}

func TestJudgeIntoRearmsAndAllocatesNothing(t *testing.T) {
	for what, c := range map[string]*gates.Chain{"empty": nil, "two gates": chain(t, permits("a"), permits("b"))} {
		var permit gates.Permit
		p := proposal()
		allocs := testing.AllocsPerRun(100, func() {
			if err := c.JudgeInto(&permit, p, nil); err != nil {
				t.Fatal(err)
			}
			if _, _, err := permit.Use(); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", what, allocs)
		}
		if allocs = testing.AllocsPerRun(100, func() { c.Judge(p, nil) }); allocs > 1 {
			t.Errorf("%s: Judge: %v allocations", what, allocs)
		}
		if _, _, err := permit.Use(); !errors.Is(err, gates.ErrUsed) {
			t.Errorf("%s: used twice: %v", what, err)
		}
	}
}

func TestBypassLeavesItsReason(t *testing.T) {
	for _, reason := range []string{"x", "migrated from the old ledger", strings.Repeat("é", gates.MaxReason/2) + "."} {
		p := proposal()
		permit, err := gates.Bypass(p, reason)
		if err != nil {
			t.Fatal(err)
		}
		p.Data = nil
		got, names, err := permit.Use()
		if err != nil || !reflect.DeepEqual(got, proposal()) || !slices.Equal(names, []string{"!" + reason}) {
			t.Errorf("%+v, %q, %v", got, names, err)
		}
		got.Header.Gates = names
		if back, ok := got.Header.Bypassed(); !ok || back != reason {
			t.Errorf("event tells %q, %v", back, ok)
		}
		if _, _, err := permit.Use(); !errors.Is(err, gates.ErrUsed) {
			t.Errorf("used twice: %v", err)
		}
	}
	for _, reason := range []string{"", strings.Repeat("x", gates.MaxReason+1), "a\x00", "a\u009f", "\xff"} {
		if permit, err := gates.Bypass(proposal(), reason); permit != nil || !errors.Is(err, gates.ErrReason) {
			t.Errorf("%q: %v, %v", reason, permit, err)
		}
	}
}
