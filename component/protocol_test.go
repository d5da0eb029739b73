package component_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/codec"

	"github.com/nats-io/nats.go/micro"
)

// The page is what other clients are written from, so what it shows must be true.

func protocolPage(t *testing.T) string {
	return string(must(os.ReadFile("PROTOCOL.md"))(t))
}

// onPage returns the bytes of the dump behind a heading, and what follows it on the page.
func onPage(t *testing.T, heading string) (b []byte, rest string) {
	t.Helper()
	_, dump, found := strings.Cut(protocolPage(t), heading+"\n\n")
	if !found {
		t.Fatalf("the page has no example behind %q", heading)
	}
	dump, rest, _ = strings.Cut(dump, "\n\n")
	for line := range strings.Lines(dump) {
		for _, word := range strings.Fields(line) {
			part, err := hex.DecodeString(word)
			if err != nil {
				break // what follows is for people
			}
			b = append(b, part...)
		}
	}
	return b, rest
}

func TestEnvelopeOnThePageHasTheHashOnThePage(t *testing.T) {
	envelope, rest := onPage(t, "The first event of the example above:")
	ev, err := codec.DecodeEnvelope(envelope)
	if err != nil {
		t.Fatalf("%v: %x", err, envelope)
	}
	if !strings.Contains(rest[:120], ev.Hash.String()) || ev.Entity != "order-1" {
		t.Fatalf("the hash is %s, the page says %.120s", ev.Hash, rest)
	}
}

func TestHeadOnThePageIsSigned(t *testing.T) {
	b, _ := onPage(t, "A head of three events, whose hashes are 31 zeros behind 00, 01 and 02:")
	var head codec.PublishedHead
	if err := codec.Unmarshal(b, codec.Msgpack, &head); err != nil {
		t.Fatalf("%v: %x", err, b)
	}
	var tree causal.History
	for i := range byte(3) {
		tree.Add(&causal.Hash{i})
	}
	if err := head.Verify(head.Signer); err != nil || head.Seq != 3 || head.Commitment != tree.Root() || head.Signer == "" {
		t.Fatalf("%+v: %v", head, err)
	}
	if again, err := codec.Marshal(nil, codec.Msgpack, &head); err != nil || !bytes.Equal(again, b) {
		t.Fatalf("%x, %v", again, err)
	}
}

func TestEveryEndpointIsOnThePage(t *testing.T) {
	page := protocolPage(t)
	b := serve(t, noOnward)
	var info micro.Info
	if err := json.Unmarshal(must(b.nc.RequestWithContext(soon(t), "$SRV.INFO.batpak", nil))(t).Data, &info); err != nil {
		t.Fatal(err)
	}
	for _, e := range info.Endpoints {
		subject := strings.Replace(e.Subject, "batpak.main", "P.J", 1)
		if strings.HasSuffix(subject, ".*.*") {
			subject = strings.Replace(subject, "*.*", "<scope>.<entity>", 1)
		}
		subject = strings.Replace(subject, "*", "<scope>", 1)
		if row := "| " + e.Name + " | `" + subject + "` |"; !strings.Contains(page, row) {
			t.Errorf("the page has no %s", row)
		}
	}
}
