package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestVerifySinceASavedHead(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t))
	head := filepath.Join(t.TempDir(), "head")
	lines := strings.Repeat(`{"scope":"shop","entity":"ada","kind":4097,"data":1}`+"\n", 2500)
	s.run(lines, "append", "--ndjson")
	if out := s.run("", "head", "--save", head); !strings.HasPrefix(out, "2500\t") {
		t.Errorf("saved %q", out)
	}
	s.run("", "append", "shop/bob", "--kind", "0x1001", "2")
	if out := s.run("", "verify", "--since", head); !strings.HasPrefix(out, "valid\t2500\t2500\t") {
		t.Errorf("verified %q", out)
	}
	if out := s.run("", "head", "--save", head); !strings.HasPrefix(out, "2501\t") {
		t.Errorf("saved again %q", out)
	}
	kept, err := os.ReadFile(head)
	if err != nil {
		t.Fatal(err)
	}

	other := serve(t, journalDir(t))
	other.run(lines, "append", "--ndjson")
	for what, args := range map[string][]string{"verify": {"verify", "--since", head}, "save": {"head", "--save", head}} {
		r := batpak(t, "", append(args, "--url", other.url)...)
		if r.code != exitDamaged || !strings.Contains(r.out+r.err, "event 1 is of another journal") {
			t.Errorf("%s: exit code %d, %s%s", what, r.code, r.out, r.err)
		}
	}
	if r := batpak(t, "", "verify", "--since", head, "--url", other.url, "--json"); strings.Contains(r.out, `"hash"`) || strings.Contains(r.out, "2501") || !strings.Contains(r.out, `"checked":0`) {
		t.Errorf("what is not known is told: %s%s", r.out, r.err)
	}
	if r := batpak(t, "", "verify", "--since", head, "--url", other.url, "--journal", "dd"); r.code != exitUsage || r.out != "" || !strings.Contains(r.err, `is a head of journal "main", not of "dd"`) {
		t.Errorf("of another name: exit code %d, %s%s", r.code, r.out, r.err)
	}
	if again, err := os.ReadFile(head); err != nil || string(again) != string(kept) {
		t.Errorf("the file was changed: %v", err)
	}
	for _, args := range [][]string{{"head"}, {"head", "a/b", "--save", head}, {"verify", "--since", head + ".none"}, {"verify", "--since", write(t, "{}")},
		{"verify", "--since", head, "--from", "1"}} {
		if r := batpak(t, "", append(args, "--url", other.url)...); r.code != exitUsage {
			t.Errorf("%v: exit code %d, %s", args, r.code, r.err)
		}
	}
}
