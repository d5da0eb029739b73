package cel_test

import (
	"testing"

	"batpak/gates"
	"batpak/gates/cel"
)

// FuzzPayload judges any bytes by expressions that go through all of them. Each is permitted or denied
// with a code of this package, twice in the same way; nothing panics.
func FuzzPayload(f *testing.F) {
	f.Add([]byte("\x82\xa1a\x01\xa1b\x93\xc0\xc3\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\xd6\xff\x00\x00\x00\x01"))
	f.Add([]byte("\x81\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xc4\x01a"))
	f.Add([]byte("\xdd\xff\xff\xff\xff"))
	f.Add([]byte("\x92\x91\x91\xa1x\x81\x01\xa0"))
	var chains []*gates.Chain
	for _, expression := range []string{
		`data == data`, `data in [data] ? '' : 'no'`, `has(data.a) && data.a > 0`, `data.all(x, x in data)`,
		`data[0] + data[1] == data[2]`, `string(data) == '' || data.matches('^(a|b)*$')`, `data < now`, `type(data) == type(data.b)`,
		`data.map(x, data.map(y, [x, y])).size() >= 0`,
	} {
		g, err := cel.New("rule", expression, cel.Options{})
		if err != nil {
			f.Fatalf("%s: %v", expression, err)
		}
		c, err := gates.NewChain(g)
		if err != nil {
			f.Fatal(err)
		}
		chains = append(chains, c)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for i, c := range chains {
			code := func() string {
				_, err := c.Judge(proposal(data), view{})
				if err == nil {
					return ""
				}
				return err.(*gates.Denial).Code
			}
			first := code()
			if first != "" && first != cel.CodeExpression && first != cel.CodeError {
				t.Errorf("expression %d: code %q", i, first)
			}
			if again := code(); again != first {
				t.Errorf("expression %d: %q, then %q", i, first, again)
			}
		}
	})
}

func BenchmarkExpression(b *testing.B) {
	for name, c := range map[string]struct {
		expression string
		data       []byte
	}{
		"header":  {`scope == 'bank' && kind == 0x1001`, nil},
		"payload": {`data.amount > 0 && data.amount <= 5000`, pack(b, map[string]any{"amount": 1200, "currency": "EUR"})},
	} {
		g, err := cel.New("rule", c.expression, cel.Options{})
		if err != nil {
			b.Fatal(err)
		}
		p := proposal(c.data)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if d := g.Judge(p, view{}); d != nil {
					b.Fatal(d)
				}
			}
		})
	}
}
