package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const shopGates = `gates:
  - name: size
    size: {max_bytes: 64}
  - name: guests
    when: {scopes: ["guest-*"]}
    rate: {events: 2, per: 1h}
  - name: limit
    when: {scopes: [shop]}
    cel: {expr: "data.cents <= 5000", message: "no more than 5000", code: over_limit}
`

func gatesFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "gates.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestServeJudgesByTheGatesInAFile(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t), "--gates", gatesFile(t, shopGates), "--keep-denials", "10")
	add := func(at, data string) result {
		return batpak(t, "", "append", at, "--kind", "0x1001", data, "--server", s.url)
	}
	for _, c := range []struct {
		at, data string
		want     string // "" is permitted
	}{
		{"shop/ada", `{"cents":5000}`, ""},
		{"shop/ada", `{"cents":5001}`, "denied by gate limit: no more than 5000"},
		{"shop/ada", `{}`, "denied by gate limit: the expression cannot be evaluated"},
		{"other/ada", `{"cents":5001}`, ""},
		{"other/ada", `"0123456789012345678901234567890123456789012345678901234567890123456789"`, "denied by gate size"},
		{"guest-1/a", `1`, ""}, {"guest-1/b", `1`, ""}, {"guest-1/a", `1`, "denied by gate guests"}, {"guest-2/a", `1`, ""},
	} {
		r := add(c.at, c.data)
		if c.want == "" && r.code != exitDone || c.want != "" && r.code != exitRefused {
			t.Errorf("%s %s: exit code %d\n%s", c.at, c.data, r.code, r.err)
		}
		if c.want != "" {
			wantIn(t, r.err, c.want)
		}
	}
	wantIn(t, s.run("", "status", "--json"), `"gates":["size","guests","limit"]`)
	kept := s.run("", "read", "_batpak/denials", "--json")
	if n := strings.Count(kept, "\n"); n != 4 {
		t.Errorf("%d denials on record, want 4", n)
	}
	wantIn(t, kept, `"gate":"limit"`, `"code":"over_limit"`, `"entity":"ada"`)
	s.drain()
}

func TestServeDoesNotStartWithGatesThatAreWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"gates:\n  - name: a\n    cel: {expr: 'data.cents <= limit'}\n": "gates.yaml:3: cel: a: line 1, column 15: undeclared reference to 'limit'",
		"gates: []\n": "there are no gates",
	} {
		dir := journalDir(t)
		r := batpak(t, "", "serve", "--dir", dir, "--gates", gatesFile(t, text), "--listen", "127.0.0.1:0")
		if r.code != exitFailed {
			t.Errorf("exit code %d", r.code)
		}
		wantIn(t, r.err, want)
		if hasJournal(dir) {
			t.Error("there is a journal")
		}
	}
	if r := batpak(t, "", "serve", "--dir", journalDir(t), "--gates", "missing.yaml"); r.code != exitFailed {
		t.Errorf("without the file: exit code %d", r.code)
	}
}

func TestGatesCheckTellsMistakesAndTriesEvents(t *testing.T) {
	t.Parallel()
	file := gatesFile(t, shopGates)
	if got := must(t, "", "gates", "check", file); got != "size\nguests\nlimit\n" {
		t.Errorf("%q", got)
	}
	r := batpak(t, "", "gates", "check", gatesFile(t, "gates:\n  - name: a\n    sise: 1\n  - name: b\n    cel: {expr: '1'}\n"))
	if r.code != exitFailed {
		t.Errorf("exit code %d", r.code)
	}
	wantIn(t, r.err, `gates.yaml:3: the key "sise" is not known here`, "gates.yaml:5: cel: b: line 1, column 1")

	event := `{"scope":"shop","entity":"ada","kind":4097,"data":{"cents":9000}}`
	r = batpak(t, event, "gates", "check", file, "--event", "-")
	if want := "size\tpermitted\t\t\nguests\tpermitted\t\t\nlimit\tdenied\tover_limit\tno more than 5000\n"; r.code != exitRefused || r.out != want {
		t.Errorf("exit code %d: %q\n%s", r.code, r.out, r.err)
	}
	if got := must(t, event, "--json", "gates", "check", "--expr", "data.cents == 9000", "--event", "-"); got != `{"gate":"expr","verdict":"permitted"}`+"\n" {
		t.Errorf("%q", got)
	}
	r = batpak(t, event, "--json", "gates", "check", "--expr", "data.euros > 0", "--event", "-")
	wantIn(t, r.out, `"code":"gate_error"`, `"details":{"why":"evaluation"}`, `no such key: euros`)

	for _, args := range [][]string{{}, {file, "--expr", "true"}, {"a", "b"}} {
		if r := batpak(t, "", append([]string{"gates", "check"}, args...)...); r.code != exitUsage {
			t.Errorf("%q: exit code %d", args, r.code)
		}
	}
	for _, event := range []string{"", "{}", event + event, `{"scope":"shop","entity":"ada","kind":4097}`, `{"scope":"a\n","entity":"ada","kind":4097,"data":1}`} {
		if r := batpak(t, event, "gates", "check", file, "--event", "-"); r.code != exitFailed {
			t.Errorf("event %q: exit code %d\n%s", event, r.code, r.err)
		}
	}
	if r := batpak(t, "", "gates"); r.code != exitDone {
		t.Errorf("gates alone: exit code %d", r.code)
	}
}
