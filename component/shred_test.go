package component_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"
	"batpak/component/journal"
	"batpak/keystore"
)

func bySubject(c *component.Config) { c.Seal, c.RequireSubject = keystore.Subject, true }

// What was erased is shredded for whoever asks, the append into it is erased, and both are what the
// protocol calls them. The event of the erasure goes onward like any other.
func TestAnErasureThroughTheNode(t *testing.T) {
	b := serve(t, bySubject)
	ctx := soon(t)
	person := component.WithSubject("p")
	mine := must(b.client.AppendRaw(ctx, at("shop", "order-1"), 0x1001, []byte{1}, person))(t)
	other := must(b.client.AppendRaw(ctx, at("shop", "order-2"), 0x1001, []byte{2}, component.WithSubject("q")))(t)
	done := must(b.client.Shred(ctx, codec.ShredRequest{Subject: "p", Reason: "request 88", Actor: "dpo"}))(t)
	if done.Receipt.Seq != 3 || done.Events != 1 || len(done.Keys) != 1 {
		t.Fatalf("got %+v", done)
	}
	want := []causal.PayloadState{causal.Shredded, causal.Opened, causal.Plain}
	var onRecord []byte
	for o, err := range b.client.OpenIDs(ctx, mine.ID, other.ID, done.Receipt.ID) {
		if err != nil || o.State != want[o.Seq-1] {
			t.Errorf("event %d is %s, %v", o.Seq, o.State, err)
		}
		onRecord = o.Payload
	}
	var record codec.Erasure
	if err := codec.Unmarshal(onRecord, codec.Msgpack, &record); err != nil || record.Subject != "p" || record.Keys[0] != done.Keys[0] {
		t.Errorf("on record is %+v, %v", record, err)
	}
	_, err := b.client.AppendRaw(ctx, at("shop", "order-3"), 0x1001, []byte{3}, person)
	if !errors.Is(err, component.ErrErased) {
		t.Errorf("append for an erased subject: %v", err)
	}
	r := must(b.client.AppendRaw(ctx, at("shop", "order-3"), 0x1001, []byte{3}, person, component.Renew(), component.AckStream()))(t)
	if r.Seq != 5 || r.Durable != codec.AckStream {
		t.Errorf("the append that renews: %+v", r)
	}
	must(b.client.Shred(ctx, codec.ShredRequest{Subject: "q", Reason: "r"}))(t)
	again := must(b.client.Shred(ctx, codec.ShredRequest{Subject: "q", Reason: "r"}))(t)
	if again.Events != 0 || len(again.Keys) != 0 {
		t.Errorf("erased again: %+v", again)
	}
	s := must(b.server.JetStream(b.nc).Stream(ctx, "BATPAK_MAIN"))(t)
	for seq, subject := range map[uint64]string{3: "batpak.main.events._batpak.erasures.0001", 4: "batpak.main.events._batpak.erasures.0002"} {
		if m := must(s.GetMsg(ctx, seq))(t); m.Subject != subject {
			t.Errorf("message %d went to %s", seq, m.Subject)
		}
	}
}

func TestWhatCannotBeErasedIsSaidSo(t *testing.T) {
	b := serve(t, bySubject, noOnward)
	ctx := soon(t)
	must(b.client.AppendRaw(ctx, at("shop", "order-1"), 0x1001, []byte{1}, component.WithSubject("p")))(t)
	for what, c := range map[string]struct {
		request codec.ShredRequest
		want    error
	}{
		"unknown subject":    {codec.ShredRequest{Subject: "q", Reason: "r"}, component.ErrNotFound},
		"no selector":        {codec.ShredRequest{Reason: "r"}, component.ErrInvalid},
		"no reason":          {codec.ShredRequest{Subject: "p"}, component.ErrInvalid},
		"another selector":   {codec.ShredRequest{Entity: &causal.Coordinate{Scope: "shop", Entity: "order-1"}, Reason: "r"}, component.ErrInvalid},
		"several selectors":  {codec.ShredRequest{Subject: "p", Entity: &causal.Coordinate{Scope: "a", Entity: "b"}, Reason: "r"}, component.ErrInvalid},
		"a reason too long":  {codec.ShredRequest{Subject: "p", Reason: strings.Repeat("r", journal.MaxReason+1)}, component.ErrInvalid},
		"a subject too long": {codec.ShredRequest{Subject: strings.Repeat("p", 257), Reason: "r"}, component.ErrInvalid},
	} {
		if _, err := b.client.Shred(ctx, c.request); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
	if _, err := b.client.AppendRaw(ctx, at("shop", "order-1"), 0x1001, []byte{1}); !errors.Is(err, component.ErrInvalid) {
		t.Errorf("an event of nobody: %v", err)
	}
	if e := refusal(t, rawRequest(t, b.nc, "batpak.main.shred.shop", nil, nil)); e.Code != codec.CodeInvalid {
		t.Errorf("a token too many: %+v", e)
	}
	if head := must(b.client.Status(ctx))(t).Head; head != 1 {
		t.Errorf("%d events", head)
	}
}

func TestRawErasureInJSON(t *testing.T) {
	b := serve(t, sealed, noOnward)
	must(b.client.AppendRaw(soon(t), at("shop", "order-1"), 0x1001, []byte{1}))(t)
	reply := rawRequest(t, b.nc, "batpak.main.shred", []byte(`{"entity": {"scope": "shop", "entity": "order-1"}, "reason": "request 88"}`), asJSON)
	var done struct {
		Receipt struct{ Seq uint64 }
		Keys    []string
		Events  uint64
	}
	if err := json.Unmarshal(reply.Data, &done); err != nil || done.Receipt.Seq != 2 || done.Events != 1 || len(done.Keys) != 1 || len(done.Keys[0]) != 32 {
		t.Errorf("%v: %s", err, reply.Data)
	}
	head := must(b.client.Head(soon(t), causal.Stream{Coordinate: at(causal.SystemScope, "erasures")}))(t)
	if head.Seq != 2 || head.Version != 1 {
		t.Errorf("the stream of erasures is at %+v", head)
	}
}

func TestRequiredSubjectsNeedAJournalThatSealsByThem(t *testing.T) {
	b := serve(t, noOnward)
	cfg := b.cfg
	cfg.Name, cfg.Dir, cfg.RequireSubject = "other", t.TempDir(), true
	if n, err := component.Open(soon(t), cfg); !errors.Is(err, journal.ErrInvalid) {
		t.Errorf("opened: %v", err)
		n.Close()
	}
}
