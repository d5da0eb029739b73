package cel_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"batpak/causal"
	"batpak/gates"
	"batpak/gates/cel"
)

func pack(t testing.TB, v any) []byte {
	t.Helper()
	b, err := msgpack.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type view struct{ gates.View }

func (view) Head(causal.Stream) causal.Head { return causal.Head{Seq: 41, Version: 6} }

func proposal(data []byte) *gates.Proposal {
	return &gates.Proposal{
		Header: causal.Header{
			Coordinate: causal.Coordinate{Scope: "bank", Entity: "alice"}, Lane: 2, Version: 7, Kind: 0x1001, Schema: 3,
			Time: causal.HLC{Millis: 1_800_000_000_000}, Subject: "person-1", Meta: map[string]string{"region": "eu"},
			Causes:      []causal.Cause{{ID: causal.EventID{1}}, {Lineage: causal.Lineage{2}, ID: causal.EventID{3}}},
			Correlation: causal.EventID{4},
		},
		Data: data,
	}
}

func judge(t testing.TB, expression string, o cel.Options, data []byte) *gates.Denial {
	t.Helper()
	g, err := cel.New("rule", expression, o)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	chain, err := gates.NewChain(g)
	if err != nil {
		t.Fatal(err)
	}
	_, err = chain.Judge(proposal(data), view{})
	if err == nil {
		return nil
	}
	return err.(*gates.Denial)
}

func TestExpressionsSeeTheProposal(t *testing.T) {
	data := pack(t, map[string]any{
		"amount": 1200, "big": uint64(math.MaxUint64), "ratio": 2.0, "tags": []string{"a", "b"}, "raw": []byte("xyz"),
		"at": time.UnixMilli(1_700_000_000_000), "deep": map[int]any{7: nil}, "yes": true,
	})
	for expression, want := range map[string]string{ // "" permits, else the code
		`true`:  "",
		`false`: cel.CodeExpression,
		`''`:    "",
		`'no'`:  cel.CodeExpression,
		`data.amount > 0 && data.amount <= 5000 && data.ratio == 2`: "",
		`data.amount < 0`: cel.CodeExpression,
		`data.yes`:        "",
		`data.big > data.amount && data.big == 18446744073709551615u`: "",
		`data.raw == b'xyz' && size(data.raw) == 3`:                   "",
		`data.at < now && now == timestamp('2027-01-15T08:00:00Z')`:   "",
		`data.deep[7] == null && data.tags.exists(x, x == 'b')`:       "",
		`has(data.nothing) || 'c' in data.tags`:                       cel.CodeExpression,
		`scope == 'bank' && entity == 'alice' && lane == 2`:           "",
		`kind == 0x1001 && schema == 3 && subject == 'person-1'`:      "",
		`meta.region == 'eu' && !('x' in meta)`:                       "",
		`version == 7 && head.seq == 41 && head.version == 6`:         "",
		`size(causes) == 2 && causes[1].contains('/') && corr != ''`:  "",
		`scope.matches('^b[a-z]+$')`:                                  "",
		`data.nothing == 1`:                                           cel.CodeError,
		`data.big + 1 > 0`:                                            cel.CodeError,
		`data.raw.matches('a')`:                                       cel.CodeError,
		`'aab'.matches('a+b') && matches(scope, 'an')`:                "",
		`1 / (data.amount - 1200) == 0`:                               cel.CodeError,
		`data.amount`:                                                 cel.CodeError,
		`data.nothing == 1 || true`:                                   "",
		`data.raw in data.deep`:                                       cel.CodeError,
		`data.tags in data`:                                           cel.CodeExpression,
		`data[data.raw] == 1`:                                         cel.CodeError,
		`data.deep == {7: null} && data.tags == ['a', 'b']`:           "",
	} {
		d := judge(t, expression, cel.Options{}, data)
		if d == nil && want != "" || d != nil && d.Code != want {
			t.Errorf("%s: %v, want %q", expression, d, want)
		}
		if d != nil && d.Code == cel.CodeError && (d.Details["why"] != "evaluation" || d.Err == nil) {
			t.Errorf("%s: %+v", expression, d)
		}
	}
}

func TestADenialHasTheMessageAndTheCode(t *testing.T) {
	o := cel.Options{Code: "limit", Message: "too much"}
	if d := judge(t, `false`, o, nil); d.Code != "limit" || d.Message != "too much" || d.Gate != "rule" {
		t.Errorf("%+v", d)
	}
	if d := judge(t, `data > 5 ? 'has ' + string(data) : ''`, o, pack(t, 6)); d.Code != "limit" || d.Message != "has 6" {
		t.Errorf("%+v", d)
	}
}

func TestCompileErrorsTellThePlace(t *testing.T) {
	for expression, want := range map[string]cel.CompileError{
		"":                             {Line: 1, Column: 1},
		"data.amount >":                {Line: 1, Column: 14},
		"true &&\n  amount > 0":        {Line: 2, Column: 3},
		"lane == 'x'":                  {Line: 1, Column: 6},
		"1 + 1":                        {Line: 1, Column: 1},
		"head":                         {Line: 1, Column: 1},
		"scope.matches('(')":           {Line: 1, Column: 15},
		"scope.matches(entity)":        {Line: 1, Column: 15},
		"matches(scope, data.x + 'a')": {},
		"scope.nothing":                {Line: 1, Column: 6},
		strings.Repeat("(", 500):       {},
	} {
		_, err := cel.New("rule", expression, cel.Options{})
		var e *cel.CompileError
		if !errors.As(err, &e) || e.Gate != "rule" || e.Message == "" {
			t.Errorf("%.40q: %v", expression, err)
		} else if want.Line != 0 && (e.Line != want.Line || e.Column != want.Column) {
			t.Errorf("%.40q: %v, want line %d, column %d", expression, e, want.Line, want.Column)
		}
	}
	for _, o := range []cel.Options{{Code: strings.Repeat("c", 65)}, {Message: strings.Repeat("m", 2000)}, {Cost: cel.MaxCost + 1}} {
		if _, err := cel.New("rule", "true", o); !errors.Is(err, cel.ErrOptions) {
			t.Errorf("%v", err)
		}
	}
}

func TestPayloadsThatCannotBeEvaluatedDeny(t *testing.T) {
	for what, data := range map[string][]byte{
		"nothing":         nil,
		"trailing bytes":  []byte("\xc0\xc0"),
		"hostile length":  []byte("\xdd\xff\xff\xff\xff"),
		"a key twice":     []byte("\x82\xa1a\x01\xa1a\x02"),
		"a number twice":  []byte("\x82\x01\x01\xcc\x01\x02"),
		"a list as a key": []byte("\x81\x90\x01"),
		"a float key":     []byte("\x81\xca\x7f\xc0\x00\x00\x01"),
		"too deep":        []byte(strings.Repeat("\x91", 100_000) + "\xc0"),
		"too many":        append([]byte("\xdd\x00\x01\x00\x00"), make([]byte, 1<<16)...),
		"too many keys":   append([]byte("\xde\xff\xff"), make([]byte, 2*0xffff)...),
	} {
		// An || would hide the error of an attribute.
		d := judge(t, `data == 1 || true`, cel.Options{}, data)
		if d == nil || d.Code != cel.CodeError || d.Details["why"] != "payload" {
			t.Errorf("%s: %+v", what, d)
		}
		if d := judge(t, `scope == 'bank'`, cel.Options{}, data); d != nil {
			t.Errorf("%s: an expression without data: %v", what, d)
		}
	}
}

func TestOtherExtensionsAreBytes(t *testing.T) {
	for data, expression := range map[string]string{
		"\xd4\x05\x41":                                                 `data == b'A'`,
		"\xd6\xff\x00\x00\x00\x01":                                     `data == timestamp(1)`,
		"\xd7\xff\xff\xff\xff\xff\x00\x00\x00\x00":                     `size(data) == 8`, // nanoseconds past a second
		"\xc7\x0c\xff\x00\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff": `size(data) == 12`,
		"\xc7\x00\xff":                                                 `size(data) == 0`,
	} {
		if d := judge(t, expression, cel.Options{}, []byte(data)); d != nil {
			t.Errorf("%x: %v, %v", data, d, d.Err)
		}
	}
}

// hostile has much of everything that an expression may go through.
func hostile(t testing.TB) []byte {
	n := 20_000
	list, nested := make([]int, n), any(0)
	for range 50 {
		nested = []any{nested}
	}
	wide := make([]any, 500)
	for i := range list {
		list[i] = i
	}
	for i := range wide {
		wide[i] = nested
	}
	return pack(t, map[string]any{"list": list, "text": strings.Repeat("a", 500_000), "wide": wide, "ids": list[:100],
		"line": strings.Repeat("a", 50_000)})
}

var costly = map[string]string{
	"square":           `data.list.all(x, data.list.all(y, x >= 0))`,
	"nested equality":  `data.list.all(x, data.wide == data.wide)`,
	"nested search":    `data.list.all(x, !(data.list in data.wide))`,
	"list equality":    `data.list.all(x, data.list == data.list)`,
	"size of text":     `data.list.all(x, size(data.text) > 5)`,
	"text equality":    `data.list.all(x, data.text == data.text)`,
	"text in text":     `data.list.all(x, data.text.contains('b') == false)`,
	"pattern":          `data.list.all(x, data.line.matches('(a|aa)+b') == false)`,
	"growing text":     `data.list.map(x, data.text + data.text).size() > 0`,
	"lists of lists":   `data.list.map(x, data.list.map(y, y)).size() > 0`,
	"text as a number": `data.list.all(x, bytes(data.text) != b'')`,
}

func TestHostilePayloadsRunOutOfBudget(t *testing.T) {
	data := hostile(t)
	for what, expression := range costly {
		start := time.Now()
		d := judge(t, expression, cel.Options{}, data)
		if d == nil || d.Code != cel.CodeError || d.Details["why"] != "cost" {
			t.Errorf("%s: %+v", what, d)
		}
		t.Logf("%s: %v", what, time.Since(start))
	}
	if d := judge(t, `data.ids.all(x, x < 100) && size(data.text) == 500000`, cel.Options{Cost: cel.MaxCost}, data); d != nil {
		t.Errorf("%v: %v", d, d.Err)
	}
}
