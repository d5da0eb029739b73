package component_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/vmihailenco/msgpack/v5"
)

// The tests here use nothing of this project for the client's side: they are what somebody
// does who has read PROTOCOL.md.

func rawRequest(t testing.TB, nc *nats.Conn, subject string, body []byte, header nats.Header) *nats.Msg {
	t.Helper()
	reply, err := nc.RequestMsg(&nats.Msg{Subject: subject, Data: body, Header: header}, 10*time.Second)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	return reply
}

var asJSON = nats.Header{"Content-Type": {"application/json"}}

func hashOf(envelope []byte) []byte {
	sum := sha256.Sum256(append([]byte("batpak.event.v1\x00"), envelope...))
	return sum[:]
}

func TestRawMsgpackRoundTrip(t *testing.T) {
	b := serve(t)
	body := must(msgpack.Marshal(map[string]any{
		"kind": 0x1001, "data": map[string]any{"amount": 12}, "schema": 3, "meta": map[string]string{"who": "me"},
	}))(t)
	reply := rawRequest(t, b.nc, "batpak.main.append.shop.order-1", body, nil)
	var receipt struct {
		ID        []byte `msgpack:"id"`
		Seq       uint64 `msgpack:"seq"`
		Version   uint64 `msgpack:"version"`
		Hash      []byte `msgpack:"hash"`
		Lineage   []byte `msgpack:"lineage"`
		Durable   string `msgpack:"durable"`
		Duplicate bool   `msgpack:"duplicate"`
		Time      uint64 `msgpack:"time"`
	}
	if err := msgpack.Unmarshal(reply.Data, &receipt); err != nil || reply.Header.Get("Nats-Service-Error-Code") != "" {
		t.Fatalf("%v %v %q", err, reply.Header, reply.Data)
	}
	if receipt.Seq != 1 || receipt.Version != 1 || receipt.Durable != "disk" || receipt.Duplicate || receipt.Time == 0 {
		t.Fatalf("receipt %+v", receipt)
	}

	page := rawRequest(t, b.nc, "batpak.main.read.shop", must(msgpack.Marshal(map[string]any{"limit": 10}))(t), nil)
	var read struct {
		Events [][]byte `msgpack:"events"`
		Next   uint64   `msgpack:"next"`
		Head   uint64   `msgpack:"head"`
		More   bool     `msgpack:"more"`
	}
	if err := msgpack.Unmarshal(page.Data, &read); err != nil || len(read.Events) != 1 || read.Next != 1 || read.Head != 1 || read.More {
		t.Fatalf("%v %+v", err, read)
	}
	if !bytes.Equal(hashOf(read.Events[0]), receipt.Hash) {
		t.Fatal("the hash of the envelope is not the receipt's")
	}
	var envelope struct {
		ID      []byte            `msgpack:"id"`
		Scope   string            `msgpack:"scope"`
		Entity  string            `msgpack:"entity"`
		Lineage []byte            `msgpack:"lineage"`
		Schema  int               `msgpack:"schema"`
		Meta    map[string]string `msgpack:"meta"`
		Data    []byte            `msgpack:"data"`
	}
	if err := msgpack.Unmarshal(read.Events[0], &envelope); err != nil {
		t.Fatal(err)
	}
	var payload map[string]int
	if err := msgpack.Unmarshal(envelope.Data, &payload); err != nil || payload["amount"] != 12 ||
		envelope.Scope != "shop" || envelope.Entity != "order-1" || envelope.Schema != 3 || envelope.Meta["who"] != "me" ||
		!bytes.Equal(envelope.ID, receipt.ID) || !bytes.Equal(envelope.Lineage, receipt.Lineage) {
		t.Fatalf("%v: envelope %+v, payload %v", err, envelope, payload)
	}

	// The same bytes are message 1 of the onward stream, as soon as it has it.
	ctx := soon(t)
	for {
		var msg *jetstream.RawStreamMsg
		stream, err := b.server.JetStream(b.nc).Stream(ctx, "BATPAK_MAIN")
		if err == nil {
			msg, err = stream.GetMsg(ctx, 1)
		}
		switch {
		case err == nil && (!bytes.Equal(msg.Data, read.Events[0]) || msg.Subject != "batpak.main.events.shop.order-1.1001"):
			t.Fatalf("stream message 1 is %q on %s", msg.Data, msg.Subject)
		case err != nil && ctx.Err() == nil:
			continue
		case err != nil:
			t.Fatal(err)
		}
		return
	}
}

func TestRawJSONRoundTrip(t *testing.T) {
	b := serve(t, noOnward)
	for _, contentType := range []string{"application/json", "Application/JSON;charset=utf-8"} {
		reply := rawRequest(t, b.nc, "batpak.main.append.shop.order%202",
			[]byte(`{"kind": 4097, "data": {"total": 1.5, "items": ["a", 2, null, true]}}`),
			nats.Header{"Content-Type": {contentType}})
		var receipt struct{ ID, Hash, Lineage string }
		if err := json.Unmarshal(reply.Data, &receipt); err != nil || len(receipt.ID) != 36 || len(receipt.Hash) != 64 {
			t.Fatalf("%s: %v %q", contentType, err, reply.Data)
		}
		got := rawRequest(t, b.nc, "batpak.main.get", []byte(`{"id": "`+receipt.ID+`"}`), asJSON)
		var event struct {
			Event struct {
				Scope, Entity, Envelope string
				Data                    any
			}
			Hash string
		}
		if err := json.Unmarshal(got.Data, &event); err != nil {
			t.Fatalf("%v %q", err, got.Data)
		}
		envelope := must(base64.StdEncoding.DecodeString(event.Event.Envelope))(t)
		if hex.EncodeToString(hashOf(envelope)) != receipt.Hash || event.Hash != receipt.Hash {
			t.Fatalf("hash %s, receipt %s", event.Hash, receipt.Hash)
		}
		data := must(json.Marshal(event.Event.Data))(t)
		if event.Event.Entity != "order 2" || string(data) != `{"items":["a",2,null,true],"total":1.5}` {
			t.Fatalf("entity %q, data %s", event.Event.Entity, data)
		}
	}
}
