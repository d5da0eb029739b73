package integration

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// verifier is the program in the folder verifier: a reader of the protocol in another language.
type verifier struct {
	t    *testing.T
	node string
}

func newVerifier(t *testing.T) verifier {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("the verifier is JavaScript, and Node.js (node) is not installed here")
	}
	return verifier{t, node}
}

// run gives the verifier files of these bytes, where they are bytes, and returns what it says.
func (v verifier) run(args ...any) (string, error) {
	v.t.Helper()
	dir := v.t.TempDir()
	line := []string{filepath.Join("verifier", "verifier.js")}
	for i, arg := range args {
		text, ok := arg.(string)
		if b, isBytes := arg.([]byte); isBytes {
			text, ok = filepath.Join(dir, fmt.Sprint(i)), true
			if err := os.WriteFile(text, b, 0o600); err != nil {
				v.t.Fatal(err)
			}
		}
		if !ok {
			v.t.Fatalf("argument %d is a %T", i, arg)
		}
		line = append(line, text)
	}
	cmd := exec.CommandContext(within(v.t), v.node, line...)
	said, err := cmd.CombinedOutput()
	return string(said), err
}

func (v verifier) valid(what string, args ...any) {
	v.t.Helper()
	if said, err := v.run(args...); err != nil || !strings.HasPrefix(said, "valid: ") {
		v.t.Errorf("%s: %v: %s", what, err, said)
	}
}

func (v verifier) notValid(what, why string, args ...any) {
	v.t.Helper()
	said, err := v.run(args...)
	if err == nil || !strings.HasPrefix(said, "not valid: ") || !strings.Contains(said, why) {
		v.t.Errorf("%s: %v: %s", what, err, said)
	}
}

// TestReceiptsHoldInAnotherLanguage has a node sign, and the verifier check receipts of both formats and the onward
// stream, as they are and bent.
func TestReceiptsHoldInAnotherLanguage(t *testing.T) {
	v := newVerifier(t)
	seed := filepath.Join(t.TempDir(), "seed")
	said, err := exec.Command(programPath, "signer", "--new", seed).Output()
	if err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSpace(string(said))
	p := serve(t, "--dir", newDir(t), "--listen", "127.0.0.1:0", "--signer", seed, "--heads", "20ms")
	c := client{p.connect()}
	if signer := c.status(t).str("signer"); signer != key {
		t.Fatalf("the status says that %q signs", signer)
	}

	const n = 60
	var wg sync.WaitGroup
	inJSON, packed := make([][]byte, n), make([][]byte, n)
	for i := range n {
		wg.Go(func() {
			subject := fmt.Sprintf("append.shop.e%d", i%7)
			body := fields{{"kind", uint64(0x1001)}, {"data", uint64(i)}, {"key", fmt.Sprintf("k%d", i)}}
			for format, header := range map[*[]byte]map[string][]string{&packed[i]: nil, &inJSON[i]: asJSON} { // one is a duplicate
				text := pack(body)
				if header != nil {
					text = appendJSON(nil, body)
				}
				reply, err := c.ask(within(t), subject, text, header)
				if err != nil {
					t.Error(err)
				}
				*format = reply
			}
		})
	}
	wg.Wait()
	batch, err := c.ask(within(t), "batch.shop", appendJSON(nil, fields{{"events", []any{
		fields{{"entity", "e1"}, {"kind", uint64(0x1002)}, {"data", uint64(1)}},
		fields{{"entity", "e2"}, {"kind", uint64(0x1002)}, {"data", uint64(2)}},
		fields{{"entity", "e1"}, {"kind", uint64(0x1002)}, {"data", uint64(3)}},
	}}}), asJSON)
	if err != nil {
		t.Fatal(err)
	}
	var receipts struct{ Receipts []json.RawMessage }
	if err := json.Unmarshal(batch, &receipts); err != nil || len(receipts.Receipts) != 3 {
		t.Fatalf("%s: %v", batch, err)
	}
	all := inJSON
	for _, r := range receipts.Receipts {
		all = append(all, r)
	}
	lines := bytes.Join(all, []byte("\n"))

	js, err := jetstream.New(c.nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(within(t), "BATPAK_MAIN")
	if err != nil {
		t.Fatal(err)
	}
	envelopes := make([][]byte, n+3)
	for i := range envelopes {
		ev, err := c.get(within(t), uint64(i+1))
		if err != nil {
			t.Fatal(err)
		}
		envelopes[i] = ev.envelope
	}
	if err := c.onwardEqualsJournal(within(t), mustAll(t, c)); err != nil {
		t.Fatal(err)
	}
	dump := make([][]byte, n+3)
	for i := range dump {
		msg, err := stream.GetMsg(within(t), uint64(i+1))
		if err != nil {
			t.Fatal(err)
		}
		dump[i] = msg.Data
	}
	whole := bytes.Join(dump, nil)

	v.valid("the stream with every receipt", "stream", whole, key, lines)
	v.heads(c, key, whole, n+3)
	wide := -1 // a receipt of a group of many
	for i, text := range packed {
		f, err := unpackFields(text)
		if err != nil {
			t.Fatal(err)
		}
		seq := f.num("seq")
		proof, _ := f.get("proof").(fields)
		if path, _ := proof.get("path").([]any); len(path) > 0 {
			wide = i
		}
		if i < 2 || i == wide && i < 4 {
			v.valid(fmt.Sprintf("receipt %d in MessagePack", i), "receipt", key, text, envelopes[seq-1])
			object := fmt.Appendf(nil, `{"envelope":%q}`, base64.StdEncoding.EncodeToString(envelopes[seq-1]))
			v.valid(fmt.Sprintf("receipt %d in JSON", i), "receipt", key, inJSON[i], object)
		}
	}
	if wide < 0 {
		t.Fatal("no commit batch was of more than one event")
	}

	f, err := unpackFields(packed[wide])
	if err != nil {
		t.Fatal(err)
	}
	envelope := envelopes[f.num("seq")-1]
	proof := f.get("proof").(fields)
	// The bytes of a field are part of the reply, so that they can be bent there.
	bend := func(what string, field []byte, why string) {
		t.Helper()
		at := bytes.Index(packed[wide], field)
		bent := bytes.Clone(packed[wide])
		bent[at+len(field)/2] ^= 1
		v.notValid("a bent "+what, why, "receipt", key, bent, envelope)
	}
	bend("id", f.bin("id"), "another id")
	bend("lineage", f.bin("lineage"), "another lineage")
	bend("hash", f.bin("hash"), "another hash")
	bend("signature", proof.bin("sig"), "the signature is not")
	bend("path", proof.get("path").([]any)[0].([]byte), "the signature is not")
	bend("signer", []byte(proof.str("signer")), "is signed by")
	for i := range envelope {
		if i%80 == 3 {
			bent := bytes.Clone(envelope)
			bent[i] ^= 1
			v.notValid(fmt.Sprintf("byte %d of the event", i), "", "receipt", key, packed[wide], bent)
		}
	}
	v.notValid("another event", "another hash", "receipt", key, packed[wide], envelopes[f.num("seq")%n])
	other, err := exec.Command(programPath, "signer", "--new", seed+"2").Output()
	if err != nil {
		t.Fatal(err)
	}
	v.notValid("another key", "is signed by", "receipt", strings.TrimSpace(string(other)), packed[wide], envelope)

	without := bytes.Join(append(append([][]byte{}, dump[:20]...), dump[21:]...), nil)
	v.notValid("a stream with a gap", "event 21", "stream", without)
	swapped := append([][]byte{}, dump...)
	swapped[30], swapped[31] = swapped[31], swapped[30]
	v.notValid("a stream in another order", "event 31", "stream", bytes.Join(swapped, nil))
	v.notValid("a stream that ends within a batch", "batch is not whole", "stream", bytes.Join(dump[:n+2], nil))
	bent := bytes.Clone(whole)
	bent[len(dump[0])-1] ^= 1 // of the payload: only what follows knows
	v.notValid("a stream with another payload", "", "stream", bent, key, lines)
}

// heads has the verifier check the head that the node publishes of n events, as it is and bent.
func (v verifier) heads(c client, key string, whole []byte, n uint64) {
	v.t.Helper()
	sub, err := c.nc.SubscribeSync("batpak.main.heads")
	if err != nil {
		v.t.Fatal(err)
	}
	var head fields
	var text []byte
	for head == nil || head.num("seq") < n {
		msg, err := sub.NextMsgWithContext(within(v.t))
		if err != nil {
			v.t.Fatal(err)
		}
		text = msg.Data
		if head, err = unpackFields(text); err != nil {
			v.t.Fatal(err)
		}
	}
	v.valid("the head", "head", key, text, whole)
	bent := bytes.Clone(text)
	bent[bytes.Index(text, head.bin("commitment"))] ^= 1
	v.notValid("a bent head", "the signature is not", "head", key, bent, whole)
	bent = bytes.Clone(whole)
	bent[len(whole)-1] ^= 1 // of the last payload
	v.notValid("other events than the head's", "other events", "head", key, text, bent)
}

func mustAll(t *testing.T, c client) []event {
	t.Helper()
	all, err := c.all(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return all
}
