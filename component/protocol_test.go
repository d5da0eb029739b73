package component_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"batpak/codec"

	"github.com/nats-io/nats.go/micro"
)

// The page is what other clients are written from, so what it shows must be true.

func protocolPage(t *testing.T) string {
	return string(must(os.ReadFile("PROTOCOL.md"))(t))
}

func TestEnvelopeOnThePageHasTheHashOnThePage(t *testing.T) {
	_, dump, found := strings.Cut(protocolPage(t), "The first event of the example above:\n\n")
	if !found {
		t.Fatal("the page has no example of an envelope")
	}
	dump, rest, _ := strings.Cut(dump, "\n\n")
	var envelope []byte
	for line := range strings.Lines(dump) {
		for _, word := range strings.Fields(line) {
			b, err := hex.DecodeString(word)
			if err != nil {
				break // what follows is for people
			}
			envelope = append(envelope, b...)
		}
	}
	ev, err := codec.DecodeEnvelope(envelope)
	if err != nil {
		t.Fatalf("%v: %x", err, envelope)
	}
	if !strings.Contains(rest[:120], ev.Hash.String()) || ev.Entity != "order-1" {
		t.Fatalf("the hash is %s, the page says %.120s", ev.Hash, rest)
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
