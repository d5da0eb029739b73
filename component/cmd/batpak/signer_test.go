package main

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/codec"

	"github.com/nats-io/nkeys"
)

// write makes a file in the test's directory.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAReceiptIsProvedWithoutTheNode(t *testing.T) {
	t.Parallel()
	seed := filepath.Join(t.TempDir(), "orders.nk")
	public := strings.TrimSpace(must(t, "", "signer", "--new", seed))
	if !nkeys.IsValidPublicKey(public) || must(t, "", "signer", seed) != public+"\n" {
		t.Fatalf("public key %q", public)
	}
	if r := batpak(t, "", "signer", "--new", seed); r.code != exitFailed || !strings.Contains(r.err, "give --new another name") || must(t, "", "signer", seed) != public+"\n" {
		t.Errorf("a seed that is there: exit code %d, %s", r.code, r.err)
	}
	s := serve(t, journalDir(t), "--signer", seed)
	wantIn(t, s.run("", "status"), "signer\t"+public+"\n")
	s.run("", "append", "shop/ada", "--kind", "0x1001", `{"n":1}`)
	receipt := s.run("", "append", "shop/ada", "--kind", "0x1001", `{"n":2}`, "--json")
	event := s.run("", "get", "2", "--json")
	wantIn(t, s.run(receipt, "verify", "--receipts", "-"), "valid\t1\t")
	s.drain()

	prove := func(receipt, envelope, key string) result {
		t.Helper()
		return batpak(t, "", "verify", "--receipt", write(t, receipt), "--envelope", write(t, envelope), "--key", key)
	}
	if r := prove(receipt, event, public); r.code != exitDone || !strings.HasPrefix(r.out, "valid\t1\t2\t") {
		t.Errorf("exit code %d, %s%s", r.code, r.out, r.err)
	}
	if r := batpak(t, receipt, "verify", "--receipt", "-", "--envelope", write(t, event), "--key", public, "--json"); r.code != exitDone {
		t.Errorf("from standard input: exit code %d, %s", r.code, r.err)
	}
	var rc codec.Receipt
	if err := codec.Unmarshal([]byte(receipt), codec.JSON, &rc); err != nil {
		t.Fatal(err)
	}
	packed, err := codec.Marshal(nil, codec.Msgpack, &rc)
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal([]byte(event), &object); err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(object["envelope"].(string))
	if err != nil {
		t.Fatal(err)
	}
	if r := prove(string(packed), string(raw), public); r.code != exitDone {
		t.Errorf("in MessagePack: exit code %d, %s%s", r.code, r.out, r.err)
	}

	raw[len(raw)-1] ^= 1
	if r := prove(receipt, string(raw), public); r.code != exitDamaged || !strings.Contains(r.out, "hash") {
		t.Errorf("another event: exit code %d, %s%s", r.code, r.out, r.err)
	}
	raw[len(raw)-1] ^= 1
	rc.Proof.Sig[5] ^= 1
	bent, err := codec.Marshal(nil, codec.JSON, &rc)
	if err != nil {
		t.Fatal(err)
	}
	if r := prove(string(bent), event, public); r.code != exitDamaged || !strings.Contains(r.out, "signature") {
		t.Errorf("a bent signature: exit code %d, %s%s", r.code, r.out, r.err)
	}
	rc.Proof.Sig[5] ^= 1
	rc.Proof.Path = []causal.Hash{{}}
	if bent, err = codec.Marshal(nil, codec.JSON, &rc); err != nil {
		t.Fatal(err)
	}
	if r := prove(string(bent), event, public); r.code != exitDamaged || !strings.Contains(r.out, "path") {
		t.Errorf("a bent path: exit code %d, %s%s", r.code, r.out, r.err)
	}
	other := strings.TrimSpace(must(t, "", "signer", "--new", filepath.Join(t.TempDir(), "other.nk")))
	if r := prove(receipt, event, other); r.code != exitDamaged || !strings.Contains(r.out, "not by") {
		t.Errorf("another signer: exit code %d, %s%s", r.code, r.out, r.err)
	}
	for what, args := range map[string][]string{
		"no key":      {"--receipt", "r", "--envelope", "e"},
		"bad key":     {"--receipt", "r", "--envelope", "e", "--key", "NDPK"},
		"no file":     {"--receipt", "r", "--envelope", "e", "--key", public},
		"with --dir":  {"--receipt", "r", "--envelope", "e", "--key", public, "--dir", "d"},
		"twice stdin": {"--receipt", "-", "--envelope", "-", "--key", public},
	} {
		if r := batpak(t, "", append([]string{"verify"}, args...)...); r.code != exitUsage {
			t.Errorf("%s: exit code %d, %s", what, r.code, r.err)
		}
	}
}

func TestASeedInThePlaceOfAKeyIsNotRepeated(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "orders.nk")
	must(t, "", "signer", "--new", path)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seed := strings.TrimSpace(string(text))
	for _, key := range []string{seed, " " + seed, seed[:len(seed)-1]} {
		for _, args := range [][]string{{"verify", "--receipt", "r", "--envelope", "e", "--key", key}, {"witness", "--signer", key}, {"--json", "witness", "--signer", key}} {
			r := batpak(t, "", args...)
			if r.code != exitUsage || strings.Contains(r.out+r.err, seed[5:20]) || !strings.Contains(r.err, "batpak signer") {
				t.Errorf("%s: exit code %d, %s%s", args[0], r.code, r.out, r.err)
			}
		}
	}
}

func TestServeRefusesASeedThatOthersMayRead(t *testing.T) {
	t.Parallel()
	seed := filepath.Join(t.TempDir(), "orders.nk")
	must(t, "", "signer", "--new", seed)
	if err := os.Chmod(seed, 0o640); err != nil {
		t.Fatal(err)
	}
	for what, path := range map[string]string{"mode is 0640": seed, "no nkey seed": write(t, "SUNOTHING\n"), "no such file": seed + ".missing"} {
		r := batpak(t, "", "serve", "--dir", journalDir(t), "--listen", "127.0.0.1:0", "--signer", path)
		if r.code != exitUsage || !strings.Contains(r.err, what) {
			t.Errorf("%s: exit code %d, %s", what, r.code, r.err)
		}
	}
	cmd := command(t, "serve", "--dir", journalDir(t), "--listen", "127.0.0.1:0")
	cmd.Env = append(cmd.Env, "BATPAK_SIGNER="+seed)
	if r := finish(t, cmd, ""); r.code != exitUsage || !strings.Contains(r.err, "$BATPAK_SIGNER") {
		t.Errorf("from the environment: exit code %d, %s", r.code, r.err)
	}
}
