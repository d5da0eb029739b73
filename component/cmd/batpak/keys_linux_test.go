package main

import (
	"os"
	"strings"
	"testing"
)

func TestAPassphraseIsTypedUnseen(t *testing.T) {
	t.Parallel()
	s := people(t)
	s.drain()
	before := keyset(t, s.dir)
	const passphrase, typo = "correct horse", "battery staple"
	rekey := func(from ...string) *dialogue {
		return talk(t, append([]string{"rekey", "--dir", s.dir, "--to", "passphrase"}, from...)...)
	}

	d := rekey()
	d.secret(askNewKeys[0], passphrase)
	d.secret(askNewKeys[1], typo)
	if r := d.end(); r.code != exitFailed || !strings.Contains(r.out, "differ") {
		t.Errorf("exit code %d: %s", r.code, r.out)
	}
	d = rekey()
	d.until(askNewKeys[0])
	d.unseen()
	if err := d.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	d.until("interrupted")
	if !d.echoes() {
		t.Error("the terminal is left without echo")
	}
	if r := d.end(); r.code != exitInterrupted {
		t.Errorf("interrupted: exit code %d, %s", r.code, r.out)
	}
	if keyset(t, s.dir) != before {
		t.Error("the keyset was changed")
	}

	d = rekey()
	d.secret(askNewKeys[0], passphrase)
	d.secret(askNewKeys[1], passphrase)
	r := d.end()
	if r.code != exitDone || strings.Contains(r.out, passphrase) {
		t.Errorf("exit code %d: %s", r.code, r.out)
	}
	wantIn(t, r.out, "sealed anew", "passphrase, before: clear", "serve with --keys-wrap passphrase")

	serve := func(dir string, more ...string) *dialogue {
		return talk(t, append([]string{"serve", "--dir", dir, "--onward", "none", "--listen", "127.0.0.1:0", "--keys-wrap", "passphrase"}, more...)...)
	}
	d = serve(s.dir)
	d.secret(askKeys, typo)
	if r := d.end(); r.code != exitFailed || !strings.Contains(r.out, "wrong key-encryption key") {
		t.Errorf("exit code %d: %s", r.code, r.out)
	}
	for dir, prompts := range map[string][]string{s.dir: {askKeys}, journalDir(t): askNewKeys} {
		d = serve(dir, "--seal", "subject")
		for _, prompt := range prompts {
			d.secret(prompt, passphrase)
		}
		d.until("ready nats://")
		if err := d.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if r := d.end(); r.code != exitDone || strings.Contains(r.out, passphrase) {
			t.Errorf("exit code %d: %s", r.code, r.out)
		}
	}
	shown, _ := onTerminal(t, "NO_COLOR=1", "keys", "--dir", s.dir)
	wantIn(t, shown, "wrapped      passphrase\n")
}
