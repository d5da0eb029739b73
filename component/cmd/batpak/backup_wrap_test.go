package main

import (
	"path/filepath"
	"testing"
)

// A keyset that is wrapped stays wrapped in a copy, and what it was wrapped with is needed to restore it and to
// search it.
func TestACopyOfWrappedKeysNeedsTheirKey(t *testing.T) {
	t.Parallel()
	key := keyFile(t)
	s := serve(t, journalDir(t), "--seal", "subject", "--keys-wrap", key)
	s.run("", "append", "shop/order", "--kind", "0x1001", `{"cents":1}`, "--subject", "ada")
	folder := filepath.Join(t.TempDir(), "copy")
	must(t, "", "backup", "--dir", s.dir, "--to", folder, "--keys")
	for _, with := range []string{"", key} {
		dir := journalDir(t)
		args := []string{"--dir", dir}
		want := exitFailed
		if with != "" {
			args, want = append(args, "--keys-wrap", with), exitDone
		}
		r := batpak(t, "", append([]string{"restore", "--from", folder, "--offline"}, args...)...)
		if r.code != want {
			t.Errorf("restore with %q: %d, %s%s", with, r.code, r.out, r.err)
		}
		if with == "" {
			wantIn(t, r.err, "wrapped", "--keys-wrap")
			continue
		}
		if r := batpak(t, "", append([]string{"verify", "--residue", "--subject", "ada"}, args...)...); r.code != exitDamaged || fields(r.out)[0] != "live" {
			t.Errorf("search with its key: %d, %s%s", r.code, r.out, r.err)
		}
		if r := batpak(t, "", "verify", "--residue", "--subject", "ada", "--dir", dir); r.code != exitFailed {
			t.Errorf("search without its key: %d, %s%s", r.code, r.out, r.err)
		}
	}
}
