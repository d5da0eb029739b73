package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"batpak/keystore"
)

// keyFile makes a file with a key-encryption key, and returns WRAP for it.
func keyFile(t *testing.T) string {
	t.Helper()
	key := make([]byte, keystore.KeySize)
	rand.Read(key) // never fails: the process would end
	path := filepath.Join(t.TempDir(), "kek")
	if err := os.WriteFile(path, []byte(hex.EncodeToString(key)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return "key-file:" + path
}

// keyset is the bytes of a journal's keyset.
func keyset(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "keys", "keyset"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestKeysCountsWhileTheNodeRuns(t *testing.T) {
	t.Parallel()
	s := people(t)
	s.run("", "shred", "--subject", "p", "--reason", "r", "--yes")
	served := must(t, "", "keys", "--dir", s.dir)
	wantIn(t, served, "granularity\tsubject\n", "wrapped\tclear\n", "live\t1\n", "destroyed\t1\n", "missing\t0\n")
	s.drain()
	var k struct {
		Granularity, Wrapped                   string
		Live, Destroyed, Missing, Spare, Bytes int64
	}
	out := must(t, "", "keys", "--dir", s.dir, "--json")
	if err := json.Unmarshal([]byte(out), &k); err != nil {
		t.Fatal(err)
	}
	if k.Granularity != "subject" || k.Wrapped != "clear" || k.Live != 1 || k.Destroyed != 1 || k.Spare == 0 || k.Bytes < int64(len(keyset(t, s.dir))) {
		t.Errorf("%s", out)
	}
}

func TestKeysOfADirectoryWithout(t *testing.T) {
	t.Parallel()
	plain := journalDir(t)
	serve(t, plain, "--onward", "none").drain()
	wantIn(t, must(t, "", "keys", "--dir", plain), "granularity\tnone\n", "live\t0\n")
	r := batpak(t, "", "rekey", "--dir", plain, "--to", keyFile(t))
	if r.code != exitFailed {
		t.Errorf("exit code %d", r.code)
	}
	wantIn(t, r.err, plain, "nothing is sealed")

	empty := t.TempDir()
	for _, args := range [][]string{{"keys"}, {"erased"}, {"rekey", "--to", "clear"}} {
		r := batpak(t, "", append(args, "--dir", empty)...)
		if r.code != exitFailed || r.out != "" {
			t.Errorf("%q: exit code %d, %q", args, r.code, r.out)
		}
		wantIn(t, r.err, empty, "has no journal")
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) > 0 {
		t.Errorf("they left %v, %v", left, err)
	}

	broken := journalDir(t)
	serve(t, broken, "--seal", "subject", "--onward", "none").drain()
	if err := os.WriteFile(filepath.Join(broken, "keys", "keyset"), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"keys"}, {"rekey", "--to", "clear"}} {
		if r := batpak(t, "", append(args, "--dir", broken)...); r.code != exitDamaged {
			t.Errorf("%q: exit code %d, %s", args, r.code, r.err)
		}
	}
}

// From clear to a key and on to another one: at each step the right key opens all that was sealed
// before, and another one opens nothing and says what to do.
func TestARekeyedJournalIsServedWithTheNewKey(t *testing.T) {
	t.Parallel()
	first, second := keyFile(t), keyFile(t)
	s := people(t)
	wantIn(t, s.run("", "status"), "wrapped\tclear\n")
	s.run("", "shred", "--subject", "q", "--reason", "r", "--yes")
	before := keyset(t, s.dir)
	r := batpak(t, "", "rekey", "--dir", s.dir, "--to", first)
	if r.code != exitFailed || keyset(t, s.dir) != before {
		t.Errorf("while it was served: exit code %d", r.code)
	}
	wantIn(t, r.err, s.dir, "is in use", "stop the node", "nothing was changed")
	if r := s.end(os.Interrupt); !strings.Contains(r.err, "level=WARN") || !strings.Contains(r.err, "stored in clear") || !strings.Contains(r.err, "rekey --to") {
		t.Errorf("it did not warn: %s", r.err)
	}

	got := fields(must(t, "", "rekey", "--dir", s.dir, "--to", first))
	if len(got) != 3 || got[0] != "clear" || got[1] != "raw-key" || got[2] == "0" {
		t.Errorf("%q", got)
	}
	serves := func(wrap string) {
		t.Helper()
		s := serve(t, s.dir, "--keys-wrap", wrap, "--onward", "none")
		lines := strings.Split(s.run("", "read", "shop", "--open"), "\n")
		for i, want := range []string{"\t\"of p\"", "\t\"of p\"", "\tshredded"} {
			if !strings.HasSuffix(lines[i], want) {
				t.Errorf("event %d: %q", i+1, lines[i])
			}
		}
		wantIn(t, s.run("", "status"), "wrapped\traw-key\n")
		wantIn(t, s.run("", "status", "--json"), `"wrapped":"raw-key"`)
		if r := s.end(os.Interrupt); !strings.Contains(r.err, `msg="payload keys are wrapped"`) || strings.Contains(r.err, "stored in clear") {
			t.Errorf("it logged %s", r.err)
		}
	}
	serves(first)

	before = keyset(t, s.dir)
	for _, c := range []struct {
		args []string
		says []string
	}{
		{[]string{"serve", "--listen", "127.0.0.1:0"}, []string{"wrapped by raw-key", "--keys-wrap", "no key-encryption key"}},
		{[]string{"serve", "--listen", "127.0.0.1:0", "--keys-wrap", second}, []string{"do not open", "wrong key-encryption key", "nothing was changed"}},
		{[]string{"verify"}, []string{"wrapped by raw-key", "--keys-wrap"}},
		{[]string{"verify", "--keys-wrap", second}, []string{"wrong key-encryption key"}},
		{[]string{"erased"}, []string{"wrapped by raw-key"}},
		{[]string{"rekey", "--to", second}, []string{"wrapped by raw-key", "--from"}},
		{[]string{"rekey", "--to", "clear", "--from", second}, []string{"wrong key-encryption key", "--from"}},
	} {
		r := batpak(t, "", append(c.args, "--dir", s.dir)...)
		if r.code != exitFailed || r.out != "" {
			t.Errorf("%q: exit code %d, %q", c.args, r.code, r.out)
		}
		last := strings.Split(strings.TrimSpace(r.err), "\n")
		wantIn(t, last[len(last)-1], append(c.says, s.dir)...)
	}
	if keyset(t, s.dir) != before {
		t.Error("the keyset was changed")
	}

	wantIn(t, must(t, "", "rekey", "--dir", s.dir, "--from", first, "--to", second, "--json"), `"from":"raw-key","to":"raw-key","keys":`)
	serves(second)
	must(t, "", "verify", "--dir", s.dir, "--keys-wrap", second)
	must(t, "", "erased", "--dir", s.dir, "--keys-wrap", second)
	must(t, "", "rekey", "--dir", s.dir, "--from", second, "--to", "clear")
	wantIn(t, must(t, "", "keys", "--dir", s.dir), "wrapped\tclear\n")
}

func TestServeMakesAWrappedKeyset(t *testing.T) {
	t.Parallel()
	dir, wrap := journalDir(t), keyFile(t)
	cmd := command(t, "serve", "--dir", dir, "--seal", "entity", "--onward", "none", "--listen", "127.0.0.1:0")
	cmd.Env = append(cmd.Env, wrapVariable+"="+wrap)
	s := ready(t, dir, begin(t, cmd))
	wantIn(t, must(t, "", "keys", "--dir", dir), "wrapped\traw-key\n")
	s.drain()
	// A flag goes before the environment, and an empty one is none.
	cmd = command(t, "verify", "--dir", dir, "--keys-wrap", "")
	cmd.Env = append(cmd.Env, wrapVariable+"="+wrap)
	if r := finish(t, cmd, ""); r.code != exitFailed {
		t.Errorf("exit code %d", r.code)
	}
	// What is in clear stays in clear, and the log says so.
	clear := journalDir(t)
	serve(t, clear, "--seal", "entity", "--onward", "none").drain()
	r := serve(t, clear, "--keys-wrap", wrap, "--onward", "none").end(os.Interrupt)
	wantIn(t, r.err, "level=WARN", "stored in clear")
}

func TestWhereAKeyIsHasToMakeSense(t *testing.T) {
	t.Parallel()
	dir := journalDir(t)
	serve(t, dir, "--seal", "subject", "--onward", "none").drain()
	open := filepath.Join(t.TempDir(), "open")
	if err := os.WriteFile(open, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ wrap, says string }{
		{"secret", "or passphrase alone"},
		{"key-env:BATPAK_NOT_THERE", "BATPAK_NOT_THERE"},
		{"key-file:/nowhere", "/nowhere"},
		{"passphrase-file:" + open, "chmod"},
		{"vault:../x", "vault"},
		{"passphrase", "is asked for on a terminal"},
	} {
		for _, args := range [][]string{{"serve", "--listen", "127.0.0.1:0", "--keys-wrap"}, {"rekey", "--to"}, {"rekey", "--to", "clear", "--from"}, {"erased", "--keys-wrap"}} {
			r := batpak(t, "secret\nsecret\n", append(append(args, c.wrap), "--dir", dir)...)
			if r.code != exitUsage || r.out != "" {
				t.Errorf("%q %s: exit code %d, %q", args, c.wrap, r.code, r.out)
			}
			wantIn(t, r.err, c.says)
			if strings.Contains(r.err, "secret") {
				t.Errorf("%q %s: %s", args, c.wrap, r.err)
			}
		}
	}
}

func TestAnInterruptedRekeySaysThatTheOldKeysetIsThere(t *testing.T) {
	t.Parallel()
	dir := journalDir(t)
	serve(t, dir, "--seal", "subject", "--onward", "none").drain()
	before := keyset(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var a app
	to, err := a.wrapper(ctx, "--to", keyFile(t))
	if err != nil {
		t.Fatal(err)
	}
	err = (&rekeying{app: &a, dir: dir}).rekey(ctx, nil, to)
	if code, text := explain(err); code != exitInterrupted || !errors.Is(err, context.Canceled) {
		t.Errorf("exit code %d: %s", code, text)
	} else {
		wantIn(t, text, "interrupted", dir, "as they were")
	}
	if keyset(t, dir) != before {
		t.Error("the keyset was changed")
	}
}

func TestAVaultThatDoesNotAnswerIsNamed(t *testing.T) {
	t.Parallel()
	dir := journalDir(t)
	serve(t, dir, "--seal", "subject", "--onward", "none").drain()
	before := keyset(t, dir)
	for _, args := range [][]string{
		{"rekey", "--dir", dir, "--to", "vault:people"},
		{"serve", "--dir", journalDir(t), "--listen", "127.0.0.1:0", "--seal", "subject", "--keys-wrap", "vault:people"},
	} {
		cmd := command(t, args...)
		cmd.Env = append(cmd.Env, "VAULT_ADDR=http://127.0.0.1:1", "VAULT_TOKEN=hvs.token")
		r := finish(t, cmd, "")
		if r.code != exitFailed || strings.Contains(r.err, "hvs.token") {
			t.Errorf("%q: exit code %d, %s", args, r.code, r.err)
		}
		wantIn(t, r.err, "batpak: Vault: encrypt with transit/people", "127.0.0.1:1", "VAULT_ADDR")
	}
	if keyset(t, dir) != before {
		t.Error("the keyset was changed")
	}
}
