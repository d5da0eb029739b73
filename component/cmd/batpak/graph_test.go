package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// threads appends 1, 2 and 3 of shop/ada, of which 2 and 3 follow from 1, and 4 of shop/bo, which follows from both.
// It returns their ids.
func threads(s *served) (ids []string) {
	s.t.Helper()
	add := func(entity string, kind string, causes ...int) {
		args := []string{"append", entity, "--kind", kind, "1", "--json"}
		for _, c := range causes {
			args = append(args, "--cause", ids[c-1])
		}
		var r struct{ ID string }
		if err := json.Unmarshal([]byte(s.run("", args...)), &r); err != nil {
			s.t.Fatal(err)
		}
		ids = append(ids, r.ID)
	}
	add("shop/ada", "0x1001")
	add("shop/ada", "0x1002", 1)
	add("shop/ada", "0x1002", 1)
	add("shop/bo", "0x1003", 2, 3)
	return ids
}

func TestGraphDrawsWhatIsAroundAnEvent(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t), "--seal", "entity")
	ids := threads(s)
	const all = `●  4  shop/bo  v1  0x1003
├─╮
● │  3  shop/ada  v3  0x1002
│ ◉  2  shop/ada  v2  0x1002
├─╯
●    1  shop/ada  v1  0x1001
`
	for _, tc := range []struct{ args, want string }{
		{ids[1], all},
		{"2", all},
		{"2 --direction causes", "◉  2  shop/ada  v2  0x1002\n●  1  shop/ada  v1  0x1001\n"},
		{"4 --direction effects", "◉  4  shop/bo  v1  0x1003  +2\n"},
	} {
		if got := s.run("", append([]string{"graph"}, strings.Fields(tc.args)...)...); got != tc.want {
			t.Errorf("graph %s:\n%s\nnot\n%s", tc.args, got, tc.want)
		}
	}
	r := s.try("", "graph", "1", "--depth", "1")
	if r.code != exitDone || strings.Contains(r.out, "shop/bo") {
		t.Errorf("%+v", r)
	}
	wantIn(t, r.err, "the graph goes on")

	s.run("", "shred", "--entity", "shop/ada", "--reason", "test", "--yes")
	wantIn(t, s.run("", "graph", "2"), "○ │  3  shop/ada  v3  0x1002  erased", "●  4  shop/bo")
	wantIn(t, s.run("", "graph", "2", "--format", "svg"), "<svg ", "stroke-dasharray", "</svg>")
	wantIn(t, s.run("", "graph", "2", "--format", "dot"), "digraph", "e3 -> e4")
	wantIn(t, s.run("", "graph", "2", "--format", "mermaid"), "flowchart", "e3 --> e4")

	var g struct {
		Events []struct{ Seq int }
		Edges  [][]string
		More   *bool
	}
	out := s.run("", "graph", "1", "--json")
	if err := json.Unmarshal([]byte(out), &g); err != nil || strings.Count(out, "\n") != 1 || len(g.Events) != 4 || len(g.Edges) != 4 || g.More == nil {
		t.Errorf("%v %s", err, out)
	}
}

func TestGraphSaysWhatIsWrongWithItsCommandLine(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t))
	for _, tc := range []struct {
		args, says string
		code       int
	}{
		{"1 --format png", "--format", exitUsage},
		{"1 --format svg --json", "--json", exitUsage},
		{"1 --direction up", "--direction", exitUsage},
		{"1 --depth 0", "--depth", exitUsage},
		{"1 --limit 1001", "--limit", exitUsage},
		{"x", "neither", exitUsage},
		{"1", "not_found", exitRefused},
	} {
		r := s.try("", append([]string{"graph"}, strings.Fields(tc.args)...)...)
		if r.code != tc.code || r.out != "" {
			t.Errorf("graph %s: code %d, %q", tc.args, r.code, r.out)
		}
		wantIn(t, r.err, tc.says)
	}
}

func TestGraphFollowsCausesIntoOtherJournals(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t))
	serve(t, journalDir(t), "--journal", "bank", "--url", s.url, "--onward", "none")
	var paid struct{ ID, Lineage string }
	if err := json.Unmarshal([]byte(s.run("", "append", "accounts/ada", "--journal", "bank", "--kind", "0x1001", "1", "--json")), &paid); err != nil {
		t.Fatal(err)
	}
	s.run("", "append", "shop/ada", "--kind", "0x1002", "1", "--cause", paid.Lineage+"/"+paid.ID)
	const alone, followed = "◉  1  shop/ada  v1  0x1002  +1\n", "◉  1  shop/ada  v1  0x1002\n●  bank:1  accounts/ada  v1  0x1001\n"
	if got := s.run("", "graph", "1"); got != alone {
		t.Errorf("without: %s", got)
	}
	if got := s.run("", "graph", "1", "--follow"); got != followed {
		t.Errorf("with: %s", got)
	}
	wantIn(t, s.run("", "graph", "1", "--follow", "--format", "dot"), "x1 -> e1")
	wantIn(t, s.run("", "graph", "1", "--follow", "--format", "mermaid"), "x1 --> e1")
	wantIn(t, s.run("", "graph", "1", "--follow", "--json"), paid.ID)

	s.run("", "append", "shop/ada", "--kind", "0x1002", "1", "--cause", "019a8c1e-0b5e-4c3a-9d51-3f6d2a9be001/"+paid.ID)
	r := s.try("", "graph", "2", "--follow")
	if r.code != exitDone || !strings.Contains(r.out, "+1") {
		t.Errorf("%+v", r)
	}
	wantIn(t, r.err, paid.ID, "not drawn")
}
