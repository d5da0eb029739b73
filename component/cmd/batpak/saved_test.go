package main

import (
	"encoding/binary"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"batpak/causal"
)

// eventsOf is n events, as far as a saved head looks at them. The event of a sequence in other has another hash.
func eventsOf(n uint64, other ...uint64) iter.Seq2[causal.Event, error] {
	return func(yield func(causal.Event, error) bool) {
		for seq := uint64(1); seq <= n; seq++ {
			var ev causal.Event
			ev.Seq = seq
			binary.BigEndian.PutUint64(ev.Hash[:], seq)
			for _, o := range other {
				if o == seq {
					ev.Hash[31] = 1
				}
			}
			if !yield(ev, nil) {
				return
			}
		}
	}
}

func TestASavedHeadTellsWhereHistoryWasRewritten(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		saved uint64
		other []uint64
		want  string
	}{
		{1, nil, ""},
		{1, []uint64{1}, "event 1 is not"},
		{60, nil, ""},
		{60, []uint64{60}, "event 60 is not"},
		{60, []uint64{17, 18, 60}, "event 17 is not"},
		{1024, []uint64{1024}, "event 1024 is not"},
		{1025, []uint64{1025}, "event 1025 is not"},
		{5000, nil, ""},
		{5000, []uint64{1}, "events 1 to 8 one"},
		{5000, []uint64{9}, "events 9 to 16 one"},
		{5003, []uint64{5002}, "events 5001 to 5003 one"},
	} {
		h, err := commitTo(eventsOf(tc.saved), tc.saved, nil, func() {})
		if err != nil {
			t.Fatal(err)
		}
		if len(h.Marks) > mostMarks {
			t.Errorf("%d events: %d marks", tc.saved, len(h.Marks))
		}
		path := filepath.Join(t.TempDir(), "head")
		if err := h.save(path); err != nil {
			t.Fatal(err)
		}
		kept, err := loadHead(path)
		if err != nil {
			t.Fatal(err)
		}
		for more := range uint64(2) { // the same history, and one that has gone on
			n := tc.saved + more
			_, err = commitTo(eventsOf(n, tc.other...), n, kept, func() {})
			if tc.want == "" && err != nil || tc.want != "" && (!errors.Is(err, errRewritten) || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("%d events, of which %v are others: %v", n, tc.other, err)
			}
		}
		if _, err := commitTo(eventsOf(tc.saved-1), tc.saved, kept, func() {}); !errors.Is(err, errRewritten) {
			t.Errorf("%d events, one of them gone: %v", tc.saved, err)
		}
	}
}

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
