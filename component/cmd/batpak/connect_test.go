package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"batpak/component/internal/natstest"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// contexts is a folder of nats contexts, one of them selected.
func contexts(t *testing.T, selected string, all map[string]map[string]string) (home string) {
	t.Helper()
	home = t.TempDir()
	dir := filepath.Join(home, "nats", "context")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, settings := range all {
		text, err := json.Marshal(settings)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name+".json"), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(home, "nats", "context.txt"), []byte(selected), 0o600); err != nil {
		t.Fatal(err)
	}
	return home
}

// newUser makes an nkey, and returns the file with its seed.
func newUser(t *testing.T) (file, public string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "seed")
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := key.Seed()
	if err == nil {
		err = os.WriteFile(file, seed, 0o600)
	}
	public, perr := key.PublicKey()
	if err != nil || perr != nil {
		t.Fatal(err, perr)
	}
	return file, public
}

func TestWhereItConnects(t *testing.T) {
	t.Parallel()
	seed, public := newUser(t)
	otherSeed, _ := newUser(t)
	closed := natstest.Run(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "ada", Password: "pw"}}
		o.Nkeys = []*server.NkeyUser{{Nkey: public}}
	})
	token := natstest.Run(t, func(o *server.Options) { o.Authorization = "tok" })
	serve(t, journalDir(t), "--url", closed.URL(), "--user", "ada", "--password", "pw", "--onward", "none")
	serve(t, journalDir(t), "--url", token.URL(), "--token", "tok", "--onward", "none")

	home := contexts(t, "selected", map[string]map[string]string{
		"selected": {"url": closed.URL(), "user": "ada", "password": "pw"},
		"token":    {"url": token.URL(), "token": "tok"},
		"wrongkey": {"url": closed.URL(), "nkey": otherSeed},
		"wrong":    {"url": closed.URL(), "user": "bo", "password": "no"},
	})
	none := contexts(t, "", nil)
	for _, c := range []struct {
		name string
		home string
		env  string
		args string
		fail string // what is said; empty: it connects
	}{
		{name: "user and password", home: none, args: "--server " + closed.URL() + " --user ada --password pw"},
		{name: "environment", home: none, env: "NATS_URL=" + closed.URL() + " NATS_USER=ada NATS_PASSWORD=pw"},
		{name: "nkey", home: none, args: "--url " + closed.URL() + " --nkey " + seed},
		{name: "nkey of the environment", home: none, env: "NATS_NKEY=" + seed, args: "-s " + closed.URL()},
		{name: "flags before the environment", home: none, env: "NATS_URL=nats://127.0.0.1:1 NATS_USER=bo", args: "-s " + closed.URL() + " --nkey " + seed},
		{name: "selected context", home: home},
		{name: "context by name", home: home, args: "--context token"},
		{name: "context of the environment", home: home, env: "NATS_CONTEXT=token"},
		{name: "context by path", home: none, args: "--context " + filepath.Join(home, "nats", "context", "token.json")},
		{name: "flags before the context", home: home, args: "--context wrong --user ada --password pw"},
		{name: "another kind of credentials before the context", home: home, args: "--context wrong --nkey " + seed},
		{name: "a password before the context's key", home: home, args: "--context wrongkey --user ada --password pw"},
		{name: "server before the context", home: home, args: "--context token --server " + token.URL()},
		{name: "a selected context's credentials stay with its servers", home: home, args: "--server " + closed.URL(), fail: "Authorization"},
		{name: "unknown context", home: home, args: "--context bogus", fail: "bogus"},
		{name: "wrong password", home: none, args: "--server " + closed.URL() + " --user ada --password no", fail: "Authorization"},
		{name: "nobody there", home: none, args: "--server nats://ada:pw@127.0.0.1:1", fail: "cannot connect to nats://127.0.0.1:1:"},
		{name: "nkey that is not there", home: none, args: "--server " + closed.URL() + " --nkey nowhere", fail: "--nkey nowhere"},
	} {
		cmd := command(t, append([]string{"status"}, strings.Fields(c.args)...)...)
		cmd.Env = append(cmd.Env, "XDG_CONFIG_HOME="+c.home)
		cmd.Env = append(cmd.Env, strings.Fields(c.env)...)
		r := finish(t, cmd, "")
		switch {
		case c.fail == "" && r.code != exitDone:
			t.Errorf("%s: exit code %d: %s", c.name, r.code, r.err)
		case c.fail != "" && (r.code != exitFailed || !strings.Contains(r.err, c.fail)):
			t.Errorf("%s: exit code %d: %s", c.name, r.code, r.err)
		}
	}
}

func TestServeStartsItsOwnServerWhateverContextIsSelected(t *testing.T) {
	home := contexts(t, "selected", map[string]map[string]string{"selected": {"url": "nats://127.0.0.1:1"}})
	t.Setenv("XDG_CONFIG_HOME", home)
	serve(t, journalDir(t)).drain()

	// --listen says that it is to be here, even when the environment names a server.
	dir := journalDir(t)
	cmd := command(t, "serve", "--dir", dir, "--listen", "127.0.0.1:0")
	cmd.Env = append(cmd.Env, "NATS_URL=nats://127.0.0.1:1", "NATS_CONTEXT=selected")
	ready(t, dir, begin(t, cmd)).drain()
}

func TestSecretsAreNotInWhatIsSaid(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"nats://127.0.0.1:4222":                      "nats://127.0.0.1:4222",
		"nats://ada:p@ss@host:4222, tls://tok@other": "nats://host:4222,tls://other",
		"ada:pw@host":                                "nats://host",
	} {
		if got := redacted(in); got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
}
