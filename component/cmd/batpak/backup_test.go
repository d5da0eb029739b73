package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"batpak/codec"
)

// adaAndBob is a served journal with events of two subjects, of which one is erased.
func adaAndBob(t *testing.T) *served {
	t.Helper()
	s := serve(t, journalDir(t), "--seal", "subject")
	for _, who := range []string{"ada", "bob", "ada"} {
		s.run("", "append", "shop/order", "--kind", "0x1001", `{"cents":1}`, "--subject", who)
	}
	return s
}

// erase erases a subject.
func (s *served) erase(who string) {
	s.t.Helper()
	if _, err := s.client("main").Shred(context.Background(), codec.ShredRequest{Subject: who, Reason: "asked to"}); err != nil {
		s.t.Fatal(err)
	}
}

func object(t *testing.T, line string) map[string]any {
	t.Helper()
	m := map[string]any{}
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return m
}

func TestBackupOfAServedJournalIsRestoredWithLaterErasures(t *testing.T) {
	t.Parallel()
	s := adaAndBob(t)
	folder, file := filepath.Join(t.TempDir(), "copy"), filepath.Join(t.TempDir(), "copy.tar")
	got := object(t, must(t, "", "backup", "--dir", s.dir, "--to", folder, "--keys", "--json"))
	if got["keys"] != true || got["events"] != 3.0 || got["journal"] != "main" || len(got["hash"].(string)) != 64 {
		t.Errorf("backup said %v", got)
	}
	if f := fields(must(t, "", "backup", "--dir", s.dir, "--tar", file)); len(f) != 6 || f[0] != "without keys" || f[1] != "3" || f[3] != "3" || f[4] != got["hash"] {
		t.Errorf("backup said %q", f)
	}
	stdout := batpak(t, "", "backup", "--dir", s.dir, "--tar", "-", "--keys")
	if f := fields(stdout.err); stdout.code != exitDone || f[0] != "with keys" || f[4] != got["hash"] {
		t.Errorf("backup to standard output: %d, %s", stdout.code, stdout.err)
	}
	s.erase("ada")
	s.run("", "append", "shop/order", "--kind", "0x1001", `{"cents":1}`, "--subject", "bob", "--ack", "stream") // the erasure is there too

	later := journalDir(t)
	r := s.try("", "restore", "--from", folder, "--dir", later, "--json")
	said := object(t, r.out)
	if r.code != exitDone || said["asked"] != true || said["erasures"] != 1.0 || said["destroyed"] != 1.0 || said["head"] != 3.0 || said["onward"] != 5.0 || said["hash"] != got["hash"] {
		t.Errorf("restore said %v, %s", said, r.err)
	}
	wantIn(t, r.err, "events up to 5", "ends with event 3", "nats stream rm BATPAK_MAIN")
	wantIn(t, must(t, "", "verify", "--residue", "--subject", "ada", "--dir", later), "none")

	offline := journalDir(t)
	r = batpak(t, stdout.out, "restore", "--tar", "-", "--dir", offline, "--offline")
	if f := fields(r.out); r.code != exitDone || f[0] != "with keys" || f[1] != "3" || f[5] != "unknown" {
		t.Errorf("restore said %s, %s", r.out, r.err)
	}
	wantIn(t, r.err, "was not asked (--offline)")
	if r = batpak(t, "", "verify", "--residue", "--subject", "ada", "--dir", offline); r.code != exitDamaged {
		t.Errorf("nothing was found of who was not erased: %s", r.out)
	}

	unreached := journalDir(t)
	r = batpak(t, "", "restore", "--tar", file, "--dir", unreached, "--server", "nats://127.0.0.1:1")
	if r.code != exitDone || fields(r.out)[0] != "without keys" {
		t.Errorf("restore said %s, %s", r.out, r.err)
	}
	wantIn(t, r.err, "was not asked (cannot connect to nats://127.0.0.1:1", "may open")
	for _, dir := range []string{later, offline, unreached} {
		if f := fields(must(t, "", "verify", "--dir", dir)); f[0] != "valid" || f[1] != "3" {
			t.Errorf("verify said %q", f)
		}
		if r := batpak(t, "", "restore", "--from", folder, "--dir", dir, "--offline"); r.code != exitFailed || !strings.Contains(r.err, "is not empty") {
			t.Errorf("a second restore: %d, %s", r.code, r.err)
		}
	}
	again := serve(t, unreached, "--onward", "none")
	wantIn(t, again.run("", "open", "1"), "key_missing")
}

func TestABackupThatIsNotGoodIsRefused(t *testing.T) {
	t.Parallel()
	s := adaAndBob(t)
	file := filepath.Join(t.TempDir(), "copy.tar")
	must(t, "", "backup", "--dir", s.dir, "--tar", file)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func([]byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)/2] },
		"flipped": func(b []byte) []byte { b[512+4096+40] ^= 1; return b },
		"empty":   func([]byte) []byte { return nil },
	} {
		dir := journalDir(t)
		r := batpak(t, string(change(append([]byte(nil), whole...))), "restore", "--tar", "-", "--dir", dir, "--offline")
		if r.code != exitDamaged || r.out != "" || !strings.Contains(r.err, "nothing was restored") {
			t.Errorf("%s: %d, %s, %s", what, r.code, r.out, r.err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Errorf("%s: the folder has %v, %v", what, entries, err)
		}
	}
	for _, c := range []struct {
		args []string
		code int
		say  string
	}{
		{[]string{"backup", "--dir", s.dir}, exitUsage, "--to and --tar"},
		{[]string{"backup", "--to", "x"}, exitUsage, "--dir"},
		{[]string{"backup", "--dir", s.dir, "--tar", file}, exitUsage, "exists"},
		{[]string{"backup", "--dir", s.dir, "--to", s.dir}, exitFailed, "is not empty"},
		{[]string{"backup", "--dir", t.TempDir(), "--to", journalDir(t)}, exitFailed, "has no journal"},
		{[]string{"backup", "--dir", s.dir, "--to", "/proc/batpak"}, exitFailed, "/proc/batpak"},
		{[]string{"restore", "--from", s.dir, "--dir", journalDir(t), "--offline"}, exitDamaged, "backup.json"},
		{[]string{"restore", "--from", "/nowhere", "--dir", journalDir(t), "--offline"}, exitUsage, "--from"},
		{[]string{"restore", "--tar", file, "--dir", journalDir(t), "--offline", "--journal", "other"}, exitFailed, "other"},
		{[]string{"restore", "--tar", file, "--dir", journalDir(t), "--offline", "--server", "x"}, exitUsage, "--offline"},
		{[]string{"verify", "--residue", "--dir", s.dir}, exitUsage, "needs one of"},
		{[]string{"verify", "--subject", "ada", "--dir", s.dir}, exitUsage, "for --residue"},
		{[]string{"verify", "--residue", "--subject", "ada"}, exitUsage, "--dir"},
	} {
		if r := batpak(t, "", c.args...); r.code != c.code || !strings.Contains(r.err, c.say) {
			t.Errorf("%v: %d, %s", c.args, r.code, r.err)
		}
	}
}

func TestResidueIsSearchedWhileANodeServes(t *testing.T) {
	t.Parallel()
	s := adaAndBob(t)
	search := []string{"verify", "--residue", "--subject", "ada", "--dir", s.dir}
	r := batpak(t, "", search...)
	if f := fields(r.out); r.code != exitDamaged || len(f) != 6 || f[0] != "live" || f[1] != "keys/keyset" || f[3] != "1" || f[4] != "2" {
		t.Errorf("it said %d, %s%s", r.code, r.out, r.err)
	}
	s.erase("ada")
	if out := must(t, "", search...); out != "none\n" {
		t.Errorf("erased: %s", out)
	}
	if got := object(t, must(t, "", append(search, "--json")...)); got["residue"] != false || got["events"] != 2.0 || got["keys"] != 1.0 {
		t.Errorf("erased: %v", got)
	}
	s.run("", "append", "shop/order", "--kind", "0x1001", `{"cents":1}`)
	if r := batpak(t, "", "verify", "--residue", "--entity", "shop/order", "--dir", s.dir); r.code != exitDamaged || strings.Count(r.out, "\n") != 2 || !strings.HasPrefix(r.out, "plain\tsegments/") {
		t.Errorf("it said %d, %s%s", r.code, r.out, r.err)
	}
}

// An interrupt ends a restore also while it waits for its input, and leaves nothing.
func TestARestoreThatIsInterruptedLeavesNothing(t *testing.T) {
	t.Parallel()
	s := adaAndBob(t)
	tar := must(t, "", "backup", "--dir", s.dir, "--tar", "-", "--keys")
	dir := journalDir(t)
	r := start(t, "restore", "--tar", "-", "--dir", dir, "--offline")
	if _, err := io.WriteString(r.in, tar[:len(tar)/2]); err != nil { // a pipe holds less: it has begun to read
		t.Fatal(err)
	}
	if got := r.end(os.Interrupt); got.code != exitInterrupted || got.out != "" {
		t.Errorf("exit code %d, %s%s", got.code, got.out, got.err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("the folder has %v, %v", entries, err)
	}
}
