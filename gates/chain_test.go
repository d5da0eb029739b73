package gates_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/gates"
)

var alice = causal.Coordinate{Scope: "bank", Entity: "alice"}

func proposal() *gates.Proposal {
	return &gates.Proposal{
		Header: causal.Header{
			Coordinate: alice, Version: 1, Kind: kindBooked,
			Causes: make([]causal.Cause, 1, 8), Meta: map[string]string{"k": "v"},
		},
		Data: append(make([]byte, 0, 64), "payload"...),
	}
}

// asked is a gate that counts, and answers with denial.
func asked(name string, count *int, denial *gates.Denial) gates.Gate {
	return gates.New(name, func(*gates.Proposal, gates.View) *gates.Denial {
		*count++
		return denial
	})
}

func permits(name string) gates.Gate { return asked(name, new(int), nil) }

func chain(t testing.TB, gs ...gates.Gate) *gates.Chain {
	t.Helper()
	c, err := gates.NewChain(gs...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func denialOf(t *testing.T, c *gates.Chain, p *gates.Proposal, v gates.View) *gates.Denial {
	t.Helper()
	permit, err := c.Judge(p, v)
	var d *gates.Denial
	if permit != nil || !errors.As(err, &d) {
		t.Fatalf("permit %v, error %v: want a denial", permit != nil, err)
	}
	return d
}

type badName struct{ gates.Gate }

func (badName) Name() string { panic("secret") }

func TestChainRefusesBadGates(t *testing.T) {
	fold := func(s int, _ gates.Event) (int, error) { return s, nil }
	many := make([]gates.Gate, gates.MaxGates+1)
	for i := range many {
		many[i] = permits(fmt.Sprint(i))
	}
	for what, gs := range map[string][]gates.Gate{
		"nil":            {permits("a"), nil},
		"nil pointer":    {(*badName)(nil)},
		"nil function":   {gates.New("a", nil)},
		"nil judge":      {gates.Fold("a", fold, nil)},
		"nil fold":       {gates.Fold("a", nil, func(int, *gates.Proposal) *gates.Denial { return nil })},
		"twice":          {permits("a"), permits("b"), permits("a")},
		"empty":          {permits("")},
		"long":           {permits(strings.Repeat("a", gates.MaxName+1))},
		"bypass mark":    {permits("!a")},
		"newline":        {permits("a\nb")},
		"C1 control":     {permits("a\u0085")},
		"not UTF-8":      {permits("a\xff")},
		"name panics":    {badName{}},
		"too many gates": many,
	} {
		c, err := gates.NewChain(gs...)
		if c != nil || !errors.Is(err, gates.ErrGate) {
			t.Errorf("%s: chain %v, error %v", what, c, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v quotes a panic", what, err)
		}
	}
	c := chain(t, permits(strings.Repeat("é", gates.MaxName/2)), permits("a!b c"))
	if n := len(c.Names()); n != 2 {
		t.Errorf("%d names", n)
	}
	c.Names()[1] = "changed"
	if got := c.Names()[1]; got != "a!b c" {
		t.Errorf("name changed to %q by its reader", got)
	}
}

func TestEmptyChainPermitsEverything(t *testing.T) {
	for what, c := range map[string]*gates.Chain{"nil": nil, "empty": chain(t)} {
		permit, err := c.Judge(proposal(), nil)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if p, names, err := permit.Use(); p == nil || names != nil || err != nil {
			t.Errorf("%s: %v, gates %v, error %v", what, p, names, err)
		}
		if vs := c.Evaluate(proposal(), nil); len(vs) != 0 {
			t.Errorf("%s: verdicts %v", what, vs)
		}
		if c.Names() != nil || c.Forget() != nil {
			t.Errorf("%s: has names or gates", what)
		}
	}
}

func TestJudgeStopsAtFirstDenialAndEvaluateDoesNot(t *testing.T) {
	var a, b, c int
	no := &gates.Denial{Code: "no"}
	ch := chain(t, asked("a", &a, nil), asked("b", &b, no), asked("c", &c, no))

	d := denialOf(t, ch, proposal(), nil)
	if d.Gate != "b" || d.Code != "no" || a != 1 || b != 1 || c != 0 {
		t.Errorf("judge: %v; asked %d %d %d", d, a, b, c)
	}
	vs := ch.Evaluate(proposal(), nil)
	if len(vs) != 3 || a != 2 || b != 2 || c != 1 {
		t.Fatalf("evaluate: %v; asked %d %d %d", vs, a, b, c)
	}
	for i, want := range []string{"a", "b", "c"} {
		if v := vs[i]; v.Gate != want || (v.Denial == nil) != (i == 0) || v.Elapsed < 0 || i > 0 && v.Denial.Gate != want {
			t.Errorf("verdict %d: %+v", i, v)
		}
	}
}

func TestPermitNamesGatesInOrder(t *testing.T) {
	permit, err := chain(t, permits("b"), permits("a")).Judge(proposal(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, names, _ := permit.Use(); !slices.Equal(names, []string{"b", "a"}) {
		t.Errorf("gates %q", names)
	}
}

func TestNoProposalIsAnError(t *testing.T) {
	c := chain(t, permits("a"))
	if permit, err := c.Judge(nil, nil); permit != nil || !errors.Is(err, gates.ErrProposal) {
		t.Errorf("judge: %v, %v", permit, err)
	}
	if permit, err := gates.Bypass(nil, "reason"); permit != nil || !errors.Is(err, gates.ErrProposal) {
		t.Errorf("bypass: %v, %v", permit, err)
	}
	if vs := c.Evaluate(nil, nil); len(vs) != 0 {
		t.Errorf("evaluate: %v", vs)
	}
}

// stubborn is a text that cannot be had.
type stubborn struct{}

func (stubborn) Error() string                { panic("secret") }
func (stubborn) MarshalText() ([]byte, error) { panic("secret") }

func TestPanickingGateDenies(t *testing.T) {
	for what, value := range map[string]any{
		"string": "secret", "error": errors.New("secret"), "defiant": stubborn{}, "struct": struct{ s string }{"secret"},
	} {
		c := chain(t, gates.New("g", func(*gates.Proposal, gates.View) *gates.Denial { panic(value) }))
		d := denialOf(t, c, proposal(), nil)
		if d.Gate != "g" || d.Code != gates.CodeDefect {
			t.Errorf("%s: %+v", what, d)
		}
		if s := fmt.Sprint(d.Message, d.Details, d.Error(), d.Err.Error()); strings.Contains(s, "secret") && what != "struct" || !strings.Contains(s, fmt.Sprintf("%T", value)) {
			t.Errorf("%s: %s quotes the panic or does not tell its type", what, s)
		}
		var p *gates.Panic
		if !errors.As(d, &p) || p.Value != value || !strings.Contains(string(p.Stack), "TestPanickingGateDenies") {
			t.Errorf("%s: the panic is lost: %+v", what, p)
		}
		if v := c.Evaluate(proposal(), nil)[0]; v.Denial.Code != gates.CodeDefect {
			t.Errorf("%s: evaluate: %+v", what, v)
		}
	}
	for what, judge := range map[string]func(*gates.Proposal, gates.View) *gates.Denial{
		"runtime error": func(p *gates.Proposal, v gates.View) *gates.Denial { v.Head(p.Header.Stream()); return nil },
		"panic in a detail": func(*gates.Proposal, gates.View) *gates.Denial {
			return &gates.Denial{Details: map[string]any{"a": stubborn{}}}
		},
		"nil panic": func(*gates.Proposal, gates.View) *gates.Denial { panic(nil) },
	} {
		if d := denialOf(t, chain(t, gates.New("g", judge)), proposal(), nil); d.Code != gates.CodeDefect {
			t.Errorf("%s: %+v", what, d)
		}
	}
}

type forgetful struct {
	gates.Gate
	forget func()
}

func (f forgetful) Forget() { f.forget() }

func TestForgetReachesEveryGate(t *testing.T) {
	var forgot int
	c := chain(t, permits("a"),
		forgetful{permits("b"), func() { panic("secret") }},
		forgetful{permits("c"), func() { forgot++ }})
	err := c.Forget()
	var p *gates.Panic
	if forgot != 1 || !errors.As(err, &p) || !strings.Contains(err.Error(), "b: forget") || strings.Contains(err.Error(), "secret") {
		t.Errorf("forgot %d, error %v", forgot, err)
	}
}
