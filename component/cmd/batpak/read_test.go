package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"batpak/causal"
	"batpak/codec"
)

// fill appends a few events: 1 and 2 of shop/ada, 3 of shop/bo, 4 of people/ada.
func fill(s *served) {
	s.t.Helper()
	s.run("", "append", "shop/ada", "--kind", "0x1001", `{"n":1}`)
	s.run("", "append", "shop/ada", "--kind", "0x1002", `{"n":2}`, "--lane", "1")
	s.run("", "append", "shop/bo", "--kind", "0x1001", `{"n":3}`)
	s.run("", "append", "people/ada", "--kind", "0x2001", `{"name":"Ada"}`, "--subject", "person-1")
}

// sequences are those of lines of events.
func sequences(out string) string {
	var all []string
	for line := range strings.Lines(out) {
		all = append(all, fields(line)[0])
	}
	return strings.Join(all, " ")
}

func TestReadSelects(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t), "--seal", "subject")
	fill(s)
	for _, c := range []struct {
		args string
		want string
	}{
		{"", "1 2 3 4"}, {"shop", "1 2 3"}, {"shop/ada", "1 2"}, {"shop/ada --lane 1", "2"}, {"shop/ada --lane 0", "1"},
		{"--kind 0x1001,0x2001", "1 3 4"}, {"--after 1 --until 3", "2 3"}, {"--limit 2", "1 2"}, {"--subject person-1", "4"},
		{"nowhere", ""},
	} {
		if got := sequences(s.run("", append([]string{"read"}, strings.Fields(c.args)...)...)); got != c.want {
			t.Errorf("read %s: %q, not %q", c.args, got, c.want)
		}
	}
}

func TestReadPrintsEventsForEachReader(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t), "--seal", "subject")
	fill(s)
	lines := strings.SplitAfter(s.run("", "read"), "\n")
	f := fields(lines[1])
	if len(f) != 10 {
		t.Fatalf("fields %q", f)
	}
	if got, want := strings.Join([]string{f[0], f[2], f[3], f[4], f[5], f[6], f[9]}, " "), `2 shop ada 1 1 0x1002 {"n":2}`; got != want {
		t.Errorf("%s, not %s", got, want)
	}
	sealed := fields(lines[3])[9]
	if !strings.HasPrefix(sealed, "sealed:") || len(sealed) != len("sealed:")+32 {
		t.Errorf("sealed data is shown as %q", sealed)
	}

	// What a machine gets is enough to compute the hash.
	var ev struct {
		Seq      uint64
		Hash     causal.Hash
		Envelope string
		State    string
		Opened   *struct{ Name string }
	}
	objects := strings.SplitAfter(s.run("", "read", "--json", "--open"), "\n")
	if err := json.Unmarshal([]byte(objects[3]), &ev); err != nil {
		t.Fatal(err)
	}
	envelope, err := base64.StdEncoding.DecodeString(ev.Envelope)
	if err != nil || causal.HashEnvelope(envelope) != ev.Hash || ev.Seq != 4 {
		t.Errorf("%s: %v", objects[3], err)
	}
	if ev.State != "opened" || ev.Opened == nil || ev.Opened.Name != "Ada" {
		t.Errorf("opened: %s", objects[3])
	}

	byID := s.run("", "get", f[7])
	if bySeq := s.run("", "get", "2"); byID != lines[1] || bySeq != lines[1] {
		t.Errorf("get: %s and %s, read: %s", byID, bySeq, lines[1])
	}
	opened := s.run("", "open", "4", f[7])
	if got := sequences(opened); got != "4 2" {
		t.Errorf("opened %s", got)
	}
	wantIn(t, opened, `{"name":"Ada"}`, `{"n":2}`)
}

func TestHeadAndStatus(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t))
	if got := s.run("", "head", "shop/ada"); got != "0\t0\t\n" {
		t.Errorf("the head of nothing is %q", got)
	}
	fill(s)
	head := fields(s.run("", "head", "shop/ada"))
	ev := fields(s.run("", "get", "1"))
	if head[0] != "1" || head[1] != "1" || head[2] != ev[8] {
		t.Errorf("head %q of %q", head, ev)
	}
	var reply codec.HeadReply
	if err := codec.Unmarshal([]byte(s.run("", "head", "shop/ada", "--lane", "1", "--json")), codec.JSON, &reply); err != nil || reply.Seq != 2 {
		t.Errorf("%+v, %v", reply, err)
	}
	var st codec.Status
	if err := codec.Unmarshal([]byte(s.run("", "status", "--json")), codec.JSON, &st); err != nil || st.Durable != 4 || st.Streams != 4 || st.State != "serving" {
		t.Errorf("%+v, %v", st, err)
	}
	wantIn(t, s.run("", "status"), "journal\tmain\n", "state\tserving\n", "durable\t4\n")
}

func TestTailFollowsUntilInterrupted(t *testing.T) {
	t.Parallel()
	for _, onward := range []string{"jetstream", "none"} {
		t.Run("onward "+onward, func(t *testing.T) {
			s := serve(t, journalDir(t), "--onward", onward, "--seal", "subject")
			s.run("", "append", "shop/ada", "--kind", "0x1001", `{"n":1}`)
			all := start(t, "tail", "--after", "0", "--poll", "10ms", "--server", s.url)
			shop := start(t, "tail", "shop", "--after", "1", "--kind", "0x1002", "--poll", "10ms", "--server", s.url, "--json")
			open := start(t, "tail", "people/ada", "--after", "0", "--open", "--poll", "10ms", "--server", s.url)
			if got := fields(all.line()); got[0] != "1" || len(got) != 10 {
				t.Fatalf("first came %q", got)
			}
			fill(s)
			for _, want := range []string{"2", "3", "4", "5"} {
				if got := fields(all.line())[0]; got != want {
					t.Fatalf("%s came, not %s", got, want)
				}
			}
			wantIn(t, shop.line(), `"seq":3`, `"kind":4098`)
			wantIn(t, open.line(), `{"name":"Ada"}`)
			for _, r := range []*running{all, shop, open} {
				if got := r.end(os.Interrupt); got.code != exitDone || got.out != "" || got.err != "" {
					t.Errorf("interrupted: %+v", got)
				}
			}
		})
	}
}

func TestVerifyFindsAJournalValid(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t))
	if got := s.run("", "verify"); got != "valid\t0\t0\t\t\n" {
		t.Errorf("an empty journal: %q", got)
	}
	s.run(input(5000, 3), "append", "--ndjson", "--quiet") // more than one part
	hash := fields(s.run("", "get", "5000"))[8]
	if got, want := s.run("", "verify"), "valid\t5000\t5000\t"+hash+"\t\n"; got != want {
		t.Errorf("%q, not %q", got, want)
	}
	if got := fields(s.run("", "verify", "--from", "11", "--to", "30")); got[0] != "valid" || got[1] != "20" {
		t.Errorf("%q", got)
	}
	var reply codec.VerifyReply
	if err := codec.Unmarshal([]byte(s.run("", "verify", "--json")), codec.JSON, &reply); err != nil || !reply.Valid || reply.Checked != 5000 {
		t.Errorf("%+v, %v", reply, err)
	}
	r := batpak(t, "", "verify", "--dir", s.dir)
	wantIn(t, r.err, s.dir, "is in use")
	if r.code != exitFailed {
		t.Errorf("exit code %d", r.code)
	}
	s.drain()
	if got, want := must(t, "", "verify", "--dir", s.dir), "valid\t5000\t5000\t"+hash+"\t\n"; got != want {
		t.Errorf("offline: %q, not %q", got, want)
	}
}

func TestVerifyTellsReceiptsThatAreNotOfTheJournal(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t))
	receipts := s.run(input(20, 3), "append", "--ndjson", "--json")
	file := filepath.Join(t.TempDir(), "receipts")
	if err := os.WriteFile(file, []byte(receipts), 0o600); err != nil {
		t.Fatal(err)
	}
	wantIn(t, s.run("", "verify", "--receipts", file), "valid\t20\t20\t")
	lines := strings.SplitAfter(receipts, "\n")
	lines[3] = strings.Replace(lines[3], `"version":`, `"version":1`, 1)
	r := s.try(strings.Join(lines, ""), "verify", "--receipts", "-")
	if r.code != exitDamaged {
		t.Errorf("exit code %d", r.code)
	}
	wantIn(t, r.out, "not valid\t", "line 4", "version")
}

func TestVerifyFindsRot(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t))
	fill(s)
	s.drain()
	flip(t, s.dir)
	r := batpak(t, "", "verify", "--dir", s.dir)
	if r.code != exitDamaged {
		t.Errorf("exit code %d: %s", r.code, r.err)
	}
	wantIn(t, r.out+r.err, ".seg", "damaged")

	r = batpak(t, "", "verify", "--dir", filepath.Join(s.dir, "nowhere"))
	if r.code != exitFailed {
		t.Errorf("exit code %d", r.code)
	}
	wantIn(t, r.err, "has no journal")
}

// What is on disk may rot while the journal is served, too.
func TestVerifyFindsRotInAJournalThatIsServed(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t))
	fill(s)
	names, err := filepath.Glob(filepath.Join(s.dir, "segments", "*.seg"))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	f, err := os.OpenFile(names[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	head := filepath.Join(t.TempDir(), "head")
	s.run("", "head", "--save", head)
	if _, err := f.WriteAt([]byte("rot"), 4096+24+20); err != nil {
		t.Fatal(err)
	}
	if r := s.try("", "verify", "--since", head); r.code != exitDamaged || !strings.HasPrefix(r.out, "not valid\t0\t0\t\t") || !strings.Contains(r.out, ".seg") || r.err != "" {
		t.Errorf("since a head: exit code %d: %s%s", r.code, r.out, r.err)
	}
	if r := s.try("", "verify", "--since", head, "--json"); r.code != exitDamaged || !strings.HasPrefix(r.out, `{"valid":false,"reason":"`) || !strings.HasSuffix(r.out, `"checked":0}`+"\n") {
		t.Errorf("since a head: exit code %d: %s%s", r.code, r.out, r.err)
	}
	r := s.try("", "verify")
	if r.code != exitDamaged || !strings.HasPrefix(r.out, "not valid\t0\t") {
		t.Errorf("exit code %d: %s%s", r.code, r.out, r.err)
	}
	if got := fields(r.out); got[4] == "" {
		t.Errorf("no reason: %q", got)
	}
	s.end(syscall.SIGKILL)
}

func TestEventsOfManyPagesComeOnce(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t))
	const n = 2*pageSize + 7
	s.run(input(n, 3), "append", "--ndjson", "--quiet")
	var want strings.Builder
	for i := range n {
		fmt.Fprint(&want, i+1, " ")
	}
	if got := sequences(s.run("", "read")); got != strings.TrimSpace(want.String()) {
		t.Error("not every event once")
	}
}
