package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"
	"batpak/component/internal/natstest"
)

func TestAppendPrintsTheReceipt(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t))
	got := fields(s.run("", "append", "shop/ada", "--kind", "0x1001", `{"cents":500}`, "--key", "k", "--meta", "a=b=c", "--subject", "p", "--schema", "3"))
	if len(got) != 6 || got[0] != "1" || got[1] != "1" || got[4] != "disk" || got[5] != "new" {
		t.Fatalf("fields %q", got)
	}
	ev, err := s.client("main").GetSeq(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if ev.ID.String() != got[2] || ev.Hash.String() != got[3] {
		t.Errorf("the receipt is of %s %s, the event is %s %s", got[2], got[3], ev.ID, ev.Hash)
	}
	if ev.Kind != 0x1001 || ev.Schema != 3 || ev.Subject != "p" || ev.Meta["a"] != "b=c" || ev.Key != "k" {
		t.Errorf("the event is %+v", ev.Header)
	}

	again := fields(s.run(`{"cents":500}`, "append", "shop/ada", "--kind", "4097", "--key", "k", "--meta", "a=b=c", "--subject", "p", "--schema", "3"))
	if again[2] != got[2] || again[5] != "duplicate" {
		t.Errorf("the repetition got %q", again)
	}
	var r struct {
		ID, Hash string
		Seq      uint64
		Durable  string
	}
	out := s.run("", "append", "shop/ada", "--kind", "0x1001", "null", "--json", "--ack", "stream", "--cause", got[2], "--lane", "7", "--expect", "0")
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Seq != 2 || r.Durable != "stream" {
		t.Errorf("%s: %+v, %v", out, r, err)
	}
	ev, err = s.client("main").GetSeq(t.Context(), 2)
	if err != nil || ev.Lane != 7 || len(ev.Causes) != 1 || ev.Causes[0].ID.String() != got[2] {
		t.Errorf("the event is %+v, %v", ev.Header, err)
	}
}

func TestARefusalIsSaidWithItsExitCode(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t))
	s.run("", "append", "shop/ada", "--kind", "0x1001", "1")
	for _, c := range []struct {
		args []string
		code int
		says []string
	}{
		{[]string{"append", "shop/ada", "--kind", "0x1001", "1", "--expect", "5"}, exitRefused, []string{"conflict", "version 1"}},
		{[]string{"append", "shop/ada", "--kind", "0xd001", "1"}, exitRefused, []string{"invalid", "0xd001"}},
		{[]string{"get", "99"}, exitRefused, []string{"not_found"}},
		{[]string{"status", "--journal", "nobody"}, exitFailed, []string{"no node answers", "nobody", "--journal"}},
	} {
		r := s.try("", c.args...)
		if r.code != c.code || r.out != "" {
			t.Errorf("%q: exit code %d, %q", c.args, r.code, r.out)
		}
		wantIn(t, r.err, c.says...)
		var e struct{ Code, Message string }
		r = s.try("", append(c.args, "--json")...)
		if err := json.Unmarshal([]byte(r.err), &e); err != nil || e.Code == "" || e.Message == "" {
			t.Errorf("%q --json: %s: %v", c.args, r.err, err)
		}
	}
}

// input is lines for --ndjson, of n events that go round m entities.
func input(n, m int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"scope":"shop","entity":"c-%d","kind":4097,"data":{"n":%d}}`+"\n", i%m, i)
	}
	return b.String()
}

// numbers are the n of a stream's events, in their order.
func numbers(t *testing.T, s *served, entity string) []int {
	t.Helper()
	var all []int
	for line := range strings.Lines(s.run("", "read", "shop/"+entity)) {
		var data struct{ N int }
		if err := json.Unmarshal([]byte(fields(line)[9]), &data); err != nil {
			t.Fatal(err)
		}
		all = append(all, data.N)
	}
	return all
}

func TestImportKeepsTheOrderOfLines(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t))
	const n, m = 3000, 7
	r := s.try(input(n, m), "append", "--ndjson")
	if r.code != exitDone || strings.Count(r.out, "\n") != n {
		t.Fatalf("exit code %d, %d lines\n%s", r.code, strings.Count(r.out, "\n"), r.err)
	}
	wantIn(t, r.err, "3,000 appended in ", "/s")
	for e := range m {
		if got := numbers(t, s, fmt.Sprintf("c-%d", e)); len(got) < n/m || !slices.IsSorted(got) {
			t.Errorf("c-%d has %d events, sorted: %t", e, len(got), slices.IsSorted(got))
		}
	}
	// Each line's receipt is that of its event.
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	at := fields(lines[17])
	ev := fields(s.run("", "get", at[3]))
	number, _ := strconv.Atoi(at[0])
	wantIn(t, ev[9], fmt.Sprintf(`{"n":%d}`, number-1))
}

func TestImportSaysWhichLineIsBad(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t))
	in := strings.Join([]string{
		`{"scope":"shop","entity":"ada","kind":4097,"data":1}`,
		`not json`,
		``,
		`{"scope":"shop","kind":4097,"data":1}`,
		`{"scope":"shop","entity":"ada","kind":1,"data":1}`,
		`{"scope":"shop","entity":"ada","kind":4097,"data":2,"bogus":1}`,
		`{"scope":"shop","entity":"ada","kind":4097,"data":2,"lane":1,"expect":0}`,
	}, "\n")
	r := s.try(in, "append", "-")
	if r.code != exitRefused {
		t.Errorf("exit code %d", r.code)
	}
	wantIn(t, r.err, "line 2: ", "line 4: ", "entity", "line 5: invalid", "line 6: ", "bogus", "2 appended", "4 refused")
	if got := strings.Count(r.out, "\n"); got != 2 {
		t.Errorf("%d receipts: %s", got, r.out)
	}

	r = s.try(in, "append", "--ndjson", "--json", "--fail-fast")
	var seen []string
	for line := range strings.Lines(r.out) {
		var o struct {
			Line  int
			ID    string
			Error *struct{ Code, Message string }
		}
		if err := json.Unmarshal([]byte(line), &o); err != nil || (o.ID == "") == (o.Error == nil) {
			t.Errorf("%s: %v", line, err)
		}
		seen = append(seen, fmt.Sprint(o.Line, " ", o.Error == nil))
	}
	slices.Sort(seen)
	if !slices.Equal(seen, []string{"1 true", "2 false"}) || r.code != exitRefused {
		t.Errorf("told of %q, exit code %d", seen, r.code)
	}
}

func TestImportWithAKeyCanBeRunAgain(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t))
	lines := input(200, 3)
	half := strings.Join(strings.SplitAfter(lines, "\n")[:100], "")
	s.run(half, "append", "--ndjson", "--key", "import-1", "--quiet")
	r := s.try(lines, "append", "--ndjson", "--key", "import-1", "--quiet")
	if r.code != exitDone || r.out != "" {
		t.Errorf("exit code %d, %q", r.code, r.out)
	}
	wantIn(t, r.err, "200 appended", "100 of them had been appended before")
	wantIn(t, s.run("", "status"), "durable\t200\n")
}

func TestImportThatIsInterruptedSaysWhatIsDone(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t))
	im := start(t, "append", "--ndjson", "--server", s.url, "--json", "--inflight", "1")
	if _, err := im.in.Write([]byte(input(1, 1))); err != nil {
		t.Fatal(err)
	}
	// Its receipt may still be in a buffer; that the node has the event is what counts.
	c := s.client("main")
	for head := (causal.Head{}); head.Version == 0; {
		var err error
		if head, err = c.Head(t.Context(), causal.Stream{Coordinate: causal.Coordinate{Scope: "shop", Entity: "c-0"}}); err != nil {
			t.Fatal(err)
		}
	}
	r := im.end(os.Interrupt)
	if r.code != exitInterrupted {
		t.Errorf("exit code %d", r.code)
	}
	wantIn(t, r.err, "1 appended", "interrupted")
	wantIn(t, r.out, `"line":1`)
}

func TestImportWithoutANodeEndsAtOnce(t *testing.T) {
	t.Parallel()
	server := natstest.Run(t)
	r := batpak(t, input(1000, 3), "append", "--ndjson", "--server", server.URL())
	if r.code != exitFailed || r.out != "" {
		t.Errorf("exit code %d, %q", r.code, r.out)
	}
	wantIn(t, r.err, "no node answers", "0 appended")
	if n := strings.Count(r.err, "\n"); n > 10 {
		t.Errorf("it took %d lines to say so", n)
	}
}

// A node with room for one event is busy all the time.
func TestImportSendsAgainWhatANodeWasTooBusyFor(t *testing.T) {
	t.Parallel()
	server := natstest.Run(t)
	node, err := component.Open(t.Context(), component.Config{
		Conn: server.Connect(), Dir: t.TempDir(), Name: "main", Onward: component.OnwardNone, QueueEvents: 1, SegmentBytes: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	const n = 60
	r := batpak(t, input(n, 3), "append", "--ndjson", "--server", server.URL(), "--quiet")
	if r.code != exitDone || node.Journal().Visible() != n {
		t.Errorf("exit code %d, %d events\n%s", r.code, node.Journal().Visible(), r.err)
	}
	stats := 0
	for range node.Journal().Events(t.Context(), codec.Selection{}) {
		stats++
	}
	if stats != n {
		t.Errorf("%d events", stats)
	}
}
