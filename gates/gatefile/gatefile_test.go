package gatefile_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/gates"
	"batpak/gates/cel"
	"batpak/gates/gatefile"
)

const good = `# the rules of a shop
gates:
  - name: size
    size: {max_bytes: 16}
  - name: kinds
    kinds:
      - {scope: "guest-*", allow: [0x1001]}
      - {scope: "*", allow: [0x1000-0x1fff, 8193]}
  - name: paid-for
    when: {kinds: [0x2001], entities: ["order-*"], scopes: [shop]}
    causes: {at_least: 1}
  - name: guests
    when: {scopes: ["guest-*"]}
    rate: {events: 1, per: 1m, by: entity}
  - name: limit
    cel:
      expr: |
        !has(data.cents)
          || data.cents <= 5000
      message: no more than 5000
      code: over_limit
`

func read(t *testing.T, text string) *gates.Chain {
	t.Helper()
	c, err := gatefile.Read("gates.yaml", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAFileIsTheChainItSays(t *testing.T) {
	c := read(t, good)
	if want := []string{"size", "kinds", "paid-for", "guests", "limit"}; !slices.Equal(c.Names(), want) {
		t.Fatalf("gates %q", c.Names())
	}
	small, dear := []byte("\x80"), []byte("\x81\xa5cents\xcd\x27\x10")
	for i, e := range []struct {
		scope, entity string
		kind          causal.Kind
		data          []byte
		want          string
	}{
		{"shop", "order-1", 0x1001, small, ""},
		{"shop", "order-1", 0x1001, make([]byte, 17), "size"},
		{"shop", "order-1", 0x3001, small, "kinds"},
		{"shop", "order-1", 0x2001, small, "paid-for"},
		{"shop", "basket", 0x2001, small, ""},
		{"guest-1", "order-1", 0x1002, small, "kinds"},
		{"guest-1", "order-1", 0x1001, small, ""},
		{"guest-1", "order-1", 0x1001, small, "guests"},
		{"guest-1", "order-2", 0x1001, small, ""},
		{"shop", "order-1", 0x1001, dear, "limit"},
	} {
		_, err := c.Judge(&gates.Proposal{
			Header: causal.Header{
				Coordinate: causal.Coordinate{Scope: e.scope, Entity: e.entity}, Kind: e.kind,
				Seq: uint64(i + 1), Time: causal.HLC{Millis: 1},
			},
			Data: e.data,
		}, nil)
		got := ""
		if d := (*gates.Denial)(nil); errors.As(err, &d) {
			got = d.Gate
		}
		if got != e.want {
			t.Errorf("event %d: %v, want a denial by %q", i, err, e.want)
		}
		if got == "limit" && err.Error() != "gates: limit: over_limit: no more than 5000" {
			t.Error(err)
		}
	}
}

func TestMistakesAreErrorsWithTheLine(t *testing.T) {
	gate := func(rest string) string { return "gates:\n  - name: a\n" + rest }
	for text, want := range map[string]string{
		"":                "g: the file is empty",
		"# nothing\n":     "g: the file is empty",
		"gates: []\n":     "g:1: there are no gates",
		"gates:\n":        "g:1: gates is not a list",
		"- name: a\n":     "g:1: a map is needed here",
		"gates: [\n":      "g:1: did not find expected node content",
		"gates:\n  - a\n": "g:2: a map is needed here",
		"gats: []\n":      `g:1: the key "gats" is not known here`,
		gate("    size: {max_bytes: 1}\n---\na: 1\n"): "g: the file has something behind its document",
		gate(""): "g:2: gate a has none of size, kinds, causes, rate and cel",
		gate("    size: {max_bytes: 1}\n    cel: {expr: 'true'}\n"):               "g:4: gate a has more than one rule",
		gate("    size: {max_bytes: 1}\n    sise: 1\n"):                           `g:4: the key "sise" is not known here`,
		gate("    size: {max_byte: 1}\n"):                                         "g:3: there is no max_bytes",
		gate("    size: {max_bytes: 1, x: 2}\n"):                                  `g:3: the key "x" is not known here`,
		gate("    size: {max_bytes: many}\n"):                                     "g:3: max_bytes is not a number",
		gate("    size: {max_bytes: 1.5}\n"):                                      "g:3: max_bytes is not a number",
		gate("    size: {max_bytes: 99999999999999999999}\n"):                     "g:3: max_bytes is not a number",
		gate("    size: {max_bytes: 0}\n"):                                        "g:2: gates: bad gate: gate 0: has no positive limit",
		gate("    size: {max_bytes: 1}\n    size: {max_bytes: 2}\n"):              `g:4: the key "size" is there twice`,
		gate("    size: {max_bytes: 1}\n    when: {kinds: [0x1zzz]}\n"):           "g:4: gates: bad pattern: bad kind: \"0x1zzz\" is not a number from 0 to 0xffff",
		gate("    size: {max_bytes: 1}\n    when: {kinds: []}\n"):                 "g:4: kinds is empty",
		gate("    size: {max_bytes: 1}\n    when: {scopes: [~]}\n"):               "g:4: scopes has something that is not a text",
		gate("    size: {max_bytes: 1}\n    when: {scope: [a]}\n"):                `g:4: the key "scope" is not known here`,
		gate("    size: {max_bytes: 1}\n  - name: a\n    size: {max_bytes: 1}\n"): `g:4: the name "a" is that of the gate in line 2`,
		"gates:\n  - size: {max_bytes: 1}\n":                                      "g:2: there is no name",
		"gates:\n  - name: 5\n    size: {max_bytes: 1}\n":                         "g:2: name is not a text",
		"gates:\n  - name: '!a'\n    size: {max_bytes: 1}\n":                      `g:2: gates: bad gate: gate 0: the name begins with "!", which marks a bypass`,
		gate("    kinds:\n      - {scope: a}\n"):                                  "g:4: there is no allow",
		gate("    kinds: []\n"):                                                   "g:2: gates: bad gate: gate 0: has no rules",
		gate("    causes: {kinds: [0x1001]}\n"):                                   "g:3: there is no at_least",
		gate("    rate: {events: 1, per: 5}\n"):                                   "g:3: per is not a text",
		gate("    rate: {events: 1, per: 5 apples}\n"):                            `g:3: per: "5 apples" is not a duration such as 1s or 5m`,
		gate("    rate: {events: 1, per: 1s, by: lane}\n"):                        `g:3: by: "lane" is neither scope nor entity`,
		gate("    rate: {events: -1, per: 1s}\n"):                                 "g:2: gates: bad gate: gate 0: has no positive rate",
		gate("    cel: {expr: 'data.x <= limit'}\n"):                              "g:3: cel: a: line 1, column 11: undeclared reference to 'limit'",
		gate("    cel: {expr: 'true', cost: -1}\n"):                               "g:3: cel: a: bad options: code of 10 bytes, message of 0, cost 9223372036854775807",
		gate("    cel: {expr: true}\n"):                                           "g:3: expr is not a text",
		"x: &a [1]\ngates: *a\n":                                                  "g:2: gates is not a list",
	} {
		c, err := gatefile.Read("g", strings.NewReader(text))
		if c != nil || err == nil || err.Error() != want {
			t.Errorf("%q: %v\nwant %s", text, err, want)
		}
	}
}

func TestAllGatesThatAreWrongAreNamed(t *testing.T) {
	_, err := gatefile.Read("g", strings.NewReader("gates:\n  - name: a\n    cel: {expr: '1 +'}\n  - name: b\n    size: {}\n"))
	var compile *cel.CompileError
	var place *gatefile.Error
	if !errors.As(err, &compile) || !errors.As(err, &place) || place.Line != 3 || !strings.Contains(fmt.Sprint(err), "\ng:5: ") {
		t.Errorf("%v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(good)
	f.Add("gates: [{name: a, size: {max_bytes: 1}}]")
	f.Add("a: &a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := gatefile.Read("g", strings.NewReader(text))
		if (c == nil) == (err == nil) {
			t.Errorf("chain %v, error %v", c, err)
		}
	})
}

func Example() {
	chain, err := gatefile.Read("gates.yaml", strings.NewReader(`
gates:
  - name: size
    size: {max_bytes: 4096}
  - name: limit
    cel: {expr: "data.cents <= 5000", message: "no more than 5000", code: over_limit}
`))
	fmt.Println(chain.Names(), err)
	_, err = gatefile.Read("gates.yaml", strings.NewReader("gates:\n  - name: size\n    size: {max_byte: 4096}\n"))
	fmt.Println(err)
	// Output:
	// [size limit] <nil>
	// gates.yaml:3: there is no max_bytes
}
