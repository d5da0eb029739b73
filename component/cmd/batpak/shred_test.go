package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// people is a node that seals by data subject, with two events of p and one of q.
func people(t *testing.T, args ...string) *served {
	t.Helper()
	s := serve(t, journalDir(t), append([]string{"--seal", "subject", "--onward", "none"}, args...)...)
	for _, who := range []string{"p", "p", "q"} {
		s.run("", "append", "shop/ada", "--kind", "0x1001", `"of `+who+`"`, "--subject", who)
	}
	return s
}

func TestShredErasesAndErasedTellsOfIt(t *testing.T) {
	t.Parallel()
	s := people(t)
	got := fields(s.run("", "shred", "--subject", "p", "--reason", "request 88", "--actor", "dpo", "--yes"))
	if len(got) != 5 || got[0] != "4" || got[3] != "2" || len(got[4]) != 32 {
		t.Fatalf("%q", got)
	}
	opened := strings.Split(strings.TrimSpace(s.run("", "read", "shop", "--open")), "\n")
	for i, want := range []string{"\tshredded", "\tshredded", "\t\"of q\""} {
		if !strings.HasSuffix(opened[i], want) {
			t.Errorf("event %d: %q", i+1, opened[i])
		}
	}
	key := got[4]

	// Erased again, as JSON: nothing is left to destroy.
	var again struct {
		Receipt struct{ Seq uint64 }
		Keys    []string
		Events  uint64
	}
	if err := json.Unmarshal([]byte(s.run("", "shred", "--subject", "p", "--reason", "again", "-y", "--json")), &again); err != nil {
		t.Fatal(err)
	}
	if again.Receipt.Seq != 5 || len(again.Keys) != 0 || again.Events != 0 {
		t.Errorf("%+v", again)
	}

	lines := strings.Split(strings.TrimSpace(s.run("", "erased")), "\n")
	if len(lines) != 2 {
		t.Fatalf("%q", lines)
	}
	first := fields(lines[0])
	if want := []string{"4", first[1], "subject", "p", "2", key, "dpo", "request 88"}; strings.Join(first, "|") != strings.Join(want, "|") {
		t.Errorf("%q, want %q", first, want)
	}
	if second := fields(lines[1]); second[0] != "5" || second[4] != "0" || second[5] != "" || second[7] != "again" {
		t.Errorf("%q", second)
	}
	asJSON := s.run("", "erased", "--json")
	var line struct {
		Seq, Time, Events             uint64
		ID, Subject, Reason, Actor    string
		Keys                          []string
		Entity, Kind, Category, Event any
	}
	if err := json.Unmarshal([]byte(strings.SplitAfter(asJSON, "\n")[0]), &line); err != nil {
		t.Fatal(err)
	}
	if line.Seq != 4 || line.Time == 0 || len(line.ID) != 36 || line.Subject != "p" || line.Events != 2 ||
		line.Reason != "request 88" || line.Actor != "dpo" || len(line.Keys) != 1 || line.Keys[0] != key || line.Entity != nil {
		t.Errorf("%+v", line)
	}
	s.run("", "verify")

	if r := batpak(t, "", "erased", "--dir", s.dir); r.code != exitFailed {
		t.Errorf("of a served directory: exit code %d", r.code)
	}
	s.drain()
	if got := must(t, "", "erased", "--dir", s.dir, "--json"); got != asJSON {
		t.Errorf("from the directory: %s, from the node: %s", got, asJSON)
	}
}

// Each way to select erases what it says, and no more.
func TestShredBySelector(t *testing.T) {
	t.Parallel()
	for seal, which := range map[string]string{"entity": "shop/ada", "kind": "0x1001", "category": "1"} {
		t.Run(seal, func(t *testing.T) {
			t.Parallel()
			s := serve(t, journalDir(t), "--seal", seal, "--onward", "none")
			s.run("", "append", "shop/ada", "--kind", "0x1001", "1")
			s.run("", "append", "shop/bo", "--kind", "0x2002", "2")
			if got := fields(s.run("", "shred", "--"+seal, which, "--reason", "r", "--yes")); got[0] != "3" || got[3] != "1" {
				t.Errorf("%q", got)
			}
			if got := fields(s.run("", "erased")); got[2] != seal || got[3] != which {
				t.Errorf("%q", got)
			}
			lines := strings.Split(s.run("", "read", "shop", "--open"), "\n")
			if !strings.HasSuffix(lines[0], "\tshredded") || !strings.HasSuffix(lines[1], "\t2") {
				t.Errorf("%q", lines)
			}
		})
	}
	s := serve(t, journalDir(t), "--seal", "event", "--onward", "none")
	id := fields(s.run("", "append", "shop/ada", "--kind", "0x1001", "1"))[2]
	s.run("", "shred", "--event", id, "--reason", "r", "--yes")
	if got := fields(s.run("", "erased")); got[2] != "event" || got[3] != id {
		t.Errorf("%q", got)
	}
}

func TestShredThatIsRefusedErasesNothing(t *testing.T) {
	t.Parallel()
	s := people(t)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--subject", "p", "--reason", "r"}, exitUsage, "--yes"}, // standard input is a pipe
		{[]string{"--subject", "nobody", "--reason", "r", "--yes"}, exitRefused, "not_found"},
		{[]string{"--entity", "shop/ada", "--reason", "r", "--yes"}, exitRefused, "by subject"},
		{[]string{"--subject", "p", "--reason", strings.Repeat("r", 2000), "--yes"}, exitRefused, "1024"},
		{[]string{"--subject", "p", "--reason", "r", "--yes", "--journal", "other"}, exitFailed, "no node answers"},
	} {
		r := s.try("p\n", append([]string{"shred"}, c.args...)...)
		if r.code != c.code || r.out != "" {
			t.Errorf("%q: exit code %d, %q", c.args, r.code, r.out)
		}
		wantIn(t, r.err, c.says)
	}
	if got := s.run("", "erased"); got != "" {
		t.Errorf("erased: %q", got)
	}
}
