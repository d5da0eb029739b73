package component_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"
	"batpak/gates"

	"github.com/nats-io/nats.go"
)

type deposit struct {
	Amount int    `msgpack:"amount"`
	Note   string `msgpack:"note,omitempty"`
}

func TestTypedAppendComesBackTyped(t *testing.T) {
	b := serve(t, noOnward)
	ctx := soon(t)
	var registry codec.Registry
	if err := codec.Register[deposit](&registry, kind, 2); err != nil {
		t.Fatal(err)
	}
	cause := must(b.client.AppendRaw(ctx, at("s", "cause"), kind, []byte{1}))(t)
	r := must(component.Append(ctx, b.client, &registry, at("bank ä", "konto/1"), deposit{Amount: 7},
		component.WithKey("k"), component.Expect(0), component.WithCauses(causal.Cause{ID: cause.ID}),
		component.WithCorrelation(cause.ID), component.WithMeta(map[string]string{"a": "b"}),
		component.WithSubject("person"), component.Lane(3)))(t)
	ev := must(b.client.Get(ctx, r.ID))(t)
	v := must(codec.Decode[deposit](&registry, &ev, ev.Data))(t)
	if v.Amount != 7 || ev.Schema != 2 || ev.Scope != "bank ä" || ev.Entity != "konto/1" || ev.Lane != 3 || ev.Key != "k" ||
		len(ev.Causes) != 1 || ev.Causes[0].ID != cause.ID || ev.Correlation != cause.ID || ev.Meta["a"] != "b" || ev.Subject != "person" {
		t.Fatalf("%+v %+v", v, ev.Header)
	}
	if ev.Hash != r.Hash || ev.Seq != r.Seq || ev.Lineage != r.Lineage || ev.Time.Millis != r.Time {
		t.Fatalf("receipt %+v, event %+v", r, ev)
	}
	head := must(b.client.Head(ctx, ev.Stream()))(t)
	if head != (causal.Head{Seq: r.Seq, Version: 1, Hash: r.Hash}) {
		t.Fatalf("head %+v", head)
	}
	if head := must(b.client.Head(ctx, causal.Stream{Coordinate: ev.Coordinate}))(t); head != (causal.Head{}) {
		t.Fatalf("head of an empty stream %+v", head)
	}
	if v := must(b.client.VerifyReceipt(ctx, r))(t); !v.Valid || v.Checked != 1 || v.Head != 2 || v.Hash != r.Hash {
		t.Fatalf("%+v", v)
	}
	for what, change := range map[string]func(*codec.Receipt){
		"hash":     func(r *codec.Receipt) { r.Hash[0] ^= 1 },
		"sequence": func(r *codec.Receipt) { r.Seq++ },
		"version":  func(r *codec.Receipt) { r.Version++ },
		"lineage":  func(r *codec.Receipt) { r.Lineage[0] ^= 1 },
		"previous": func(r *codec.Receipt) { r.Prev[0] = 1 },
		"time":     func(r *codec.Receipt) { r.Time++ },
		"id":       func(r *codec.Receipt) { r.ID[15] ^= 1 },
	} {
		other := r
		change(&other)
		if v := must(b.client.VerifyReceipt(ctx, other))(t); v.Valid || !strings.Contains(v.Reason, what) {
			t.Errorf("%s: %+v", what, v)
		}
	}
	if v := must(b.client.Verify(ctx, 0, 0))(t); !v.Valid || v.Checked != 2 || v.Head != 2 {
		t.Fatalf("%+v", v)
	}
}

func TestKeyedRetryGetsTheFirstReceipt(t *testing.T) {
	b := serve(t, noOnward)
	ctx := soon(t)
	first := must(b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1}, component.WithKey("k"), component.Expect(0)))(t)
	again := must(b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1}, component.WithKey("k"), component.Expect(0)))(t)
	if !again.Duplicate || again.ID != first.ID || again.Hash != first.Hash {
		t.Fatalf("%+v, then %+v", first, again)
	}
	// The header is the same key.
	reply := rawRequest(t, b.nc, "batpak.main.append.s.e", body(), nats.Header{"Nats-Msg-Id": {"k"}})
	var r codec.Receipt
	if err := codec.Unmarshal(reply.Data, codec.Msgpack, &r); err != nil || !r.Duplicate || r.ID != first.ID {
		t.Fatalf("%v %+v %q", err, r, reply.Data)
	}
	_, err := b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{2}, component.WithKey("k"))
	var refused *component.Error
	if !errors.As(err, &refused) || !errors.Is(err, component.ErrConflict) || refused.Number != 409 || refused.Retry {
		t.Fatal(err)
	}
	if _, ok := refused.Conflict(); ok {
		t.Error("another content under the key is told as a version")
	}
}

func TestConflictSaysWhatTheCallerHadNotSeen(t *testing.T) {
	b := serve(t, noOnward)
	ctx := soon(t)
	for i := range 3 {
		must(b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{byte(i)}))(t)
	}
	_, err := b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{9}, component.Expect(1))
	var refused *component.Error
	if !errors.As(err, &refused) {
		t.Fatal(err)
	}
	c, ok := refused.Conflict()
	if !ok || c.Version == nil || *c.Version != 3 || c.Seq != 3 || len(c.Events) != 2 {
		t.Fatalf("%+v", refused)
	}
	if ev := must(codec.DecodeEnvelope(c.Events[0]))(t); ev.Version != 2 {
		t.Fatalf("the first unseen event is version %d", ev.Version)
	}
	_, err = b.client.AppendRaw(ctx, at("s", "other"), kind, []byte{9}, component.Unless(codec.Selection{Entity: "e", After: 2}))
	if !errors.As(err, &refused) {
		t.Fatal(err)
	}
	if c, ok := refused.Conflict(); !ok || c.Version != nil || c.Seq != 3 || len(c.Events) != 1 {
		t.Fatalf("%+v", refused)
	}
	must(b.client.AppendRaw(ctx, at("s", "other"), kind, []byte{9}, component.Unless(codec.Selection{Entity: "e", After: 3})))(t)
}

func TestDenialCarriesGateCodeAndDetails(t *testing.T) {
	chain := must(gates.NewChain(
		gates.New("even", func(p *gates.Proposal, _ gates.View) *gates.Denial {
			if p.Data[0]%2 == 1 {
				return &gates.Denial{Code: "odd", Message: "not even", Details: map[string]any{"value": int(p.Data[0])}}
			}
			return nil
		}),
		gates.New("fragile", func(p *gates.Proposal, _ gates.View) *gates.Denial {
			if p.Data[0] == 66 {
				panic("a secret of the gate")
			}
			return nil
		}),
	))(t)
	b := serve(t, noOnward, func(c *component.Config) { c.Gates = chain })
	ctx := soon(t)
	_, err := b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1})
	var refused *component.Error
	if !errors.As(err, &refused) || !errors.Is(err, component.ErrDenied) || refused.Gate != "even" ||
		refused.Details["code"] != "odd" || fmt.Sprint(refused.Details["value"]) != "1" || refused.Message != "not even" {
		t.Fatalf("%v %+v", err, refused)
	}
	_, err = b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{66})
	if !errors.As(err, &refused) || !errors.Is(err, component.ErrDenied) || refused.Details["code"] != "gate_defect" || strings.Contains(err.Error(), "secret") {
		t.Fatalf("%v %+v", err, refused)
	}
	r := must(b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{2}))(t)
	if ev := must(b.client.Get(ctx, r.ID))(t); fmt.Sprint(ev.Gates) != "[even fragile]" {
		t.Fatalf("gates %v", ev.Gates)
	}
	if st := must(b.client.Status(ctx))(t); fmt.Sprint(st.Gates) != "[even fragile]" {
		t.Fatalf("%+v", st)
	}
}

func TestBatchIsAllOrNothing(t *testing.T) {
	b := serve(t, noOnward)
	ctx := soon(t)
	list := func(n int) []codec.Append {
		events := make([]codec.Append, n)
		for i := range events {
			events[i] = codec.Append{Scope: "s", Entity: fmt.Sprintf("e%d", i%3), Kind: kind, Data: []byte{byte(i % 100)}}
		}
		return events
	}
	receipts := must(b.client.Batch(ctx, codec.Batch{Events: list(1000), Key: "k"}))(t)
	if len(receipts) != 1000 || receipts[999].Seq != 1000 || receipts[999].Version != 334 {
		t.Fatalf("%d receipts, the last %+v", len(receipts), receipts[len(receipts)-1])
	}
	if again := must(b.client.BatchIn(ctx, "s", codec.Batch{Events: list(1000), Key: "k"}))(t); !again[0].Duplicate || again[7].ID != receipts[7].ID {
		t.Fatalf("%+v", again[7])
	}
	bad := list(3)
	bad[2].Expect = new(uint64)
	if _, err := b.client.Batch(ctx, codec.Batch{Events: bad}); !errors.Is(err, component.ErrConflict) {
		t.Fatal(err)
	}
	if st := must(b.client.Status(ctx))(t); st.Head != 1000 {
		t.Fatalf("head %d", st.Head)
	}
	// In a scoped form the scope may be left out, and conditions look at that scope; in the other
	// form they look everywhere.
	one := []codec.Append{{Entity: "x", Kind: kind, Data: []byte{1}, Unless: &codec.Selection{Entity: "e1"}}}
	must(b.client.BatchIn(ctx, "t", codec.Batch{Events: one}))(t)
	one[0].Scope, one[0].Unless = "t", &codec.Selection{Entity: "e1"}
	if _, err := b.client.Batch(ctx, codec.Batch{Events: one}); !errors.Is(err, component.ErrConflict) {
		t.Fatal(err)
	}
}

func TestReadGivesEveryEventPageByPage(t *testing.T) {
	b := serve(t, noOnward)
	ctx := soon(t)
	const n = 250
	for i := range n {
		must(b.client.AppendRaw(ctx, at([]string{"s", "t"}[i%2], "e"), kind+causal.Kind(i%5), []byte{byte(i % 100)}))(t)
	}
	for name, c := range map[string]struct {
		sel  codec.Selection
		want int
	}{
		"all":       {codec.Selection{Limit: 7}, n},
		"scope":     {codec.Selection{Limit: 9, Scope: "s"}, n / 2},
		"kinds":     {codec.Selection{Kinds: []causal.Kind{kind}}, n / 5},
		"range":     {codec.Selection{After: 10, Until: 20}, 10},
		"nothing":   {codec.Selection{Subject: "nobody"}, 0},
		"behind":    {codec.Selection{After: n}, 0},
		"beyond":    {codec.Selection{After: 10 * n}, 0},
		"to beyond": {codec.Selection{After: n - 1, Until: 10 * n}, 1},
	} {
		got, after := 0, c.sel.After
		for ev, err := range b.client.Read(ctx, c.sel) {
			if err != nil || ev.Seq <= after || c.sel.Scope != "" && ev.Scope != c.sel.Scope {
				t.Fatalf("%s: %v %+v", name, err, ev)
			}
			got, after = got+1, ev.Seq
		}
		opened := 0
		for o, err := range b.client.Open(ctx, c.sel) {
			if err != nil || o.State != causal.Plain || len(o.Payload) != 1 {
				t.Fatalf("%s: %v %+v", name, err, o)
			}
			opened++
		}
		if got != c.want || opened != c.want {
			t.Errorf("%s: read %d, opened %d, want %d", name, got, opened, c.want)
		}
	}
	// Whoever has enough stops.
	for range b.client.Read(ctx, codec.Selection{}) {
		break
	}
	for _, err := range b.client.Read(ctx, codec.Selection{Limit: 1001}) {
		if !errors.Is(err, component.ErrInvalid) {
			t.Fatal(err)
		}
	}
}

func TestSealedPayloadsAreOpenedForThoseWhoAsk(t *testing.T) {
	b := serve(t, sealed)
	ctx := soon(t)
	var ids []causal.EventID
	for i := range 3 {
		r := must(b.client.AppendRaw(ctx, at("s", fmt.Sprint(i)), kind, []byte{byte(i)}))(t)
		ids = append(ids, r.ID)
	}
	for ev, err := range b.client.Read(ctx, codec.Selection{}) {
		if err != nil || ev.Enc == nil || len(ev.Data) != 17 {
			t.Fatalf("%v %+v", err, ev)
		}
	}
	i := byte(0)
	for o, err := range b.client.Open(ctx, codec.Selection{Scope: "s"}) {
		if err != nil || o.State != causal.Opened || len(o.Payload) != 1 || o.Payload[0] != i {
			t.Fatalf("%v %+v", err, o)
		}
		i++
	}
	order := []causal.EventID{ids[2], ids[0]}
	for o, err := range b.client.OpenIDs(ctx, order...) {
		if err != nil || o.ID != order[0] || o.State != causal.Opened {
			t.Fatalf("%v %+v", err, o)
		}
		order = order[1:]
	}
	// JSON has the opened payload as JSON, and the ciphertext as text.
	reply := rawRequest(t, b.nc, "batpak.main.open.s", []byte(`{"ids":["`+ids[1].String()+`"]}`), asJSON)
	var page struct {
		Events []map[string]any
		Data   []struct {
			State string
			Data  any
		}
	}
	if err := json.Unmarshal(reply.Data, &page); err != nil || len(page.Data) != 1 || page.Data[0].State != "opened" || page.Data[0].Data != 1.0 {
		t.Fatalf("%v %s", err, reply.Data)
	}
	if text, _ := page.Events[0]["data"].(string); len(must(base64.StdEncoding.DecodeString(text))(t)) != 17 {
		t.Errorf("a sealed event's data: %v", page.Events[0])
	}
	// By the subject of a scope, nothing of another one is to be had.
	e := refusal(t, rawRequest(t, b.nc, "batpak.main.open.t", pack("ids", [][]byte{ids[1][:]}), nil))
	if e.Code != codec.CodeNotFound {
		t.Fatalf("%+v", e)
	}
}

func TestTraceContextIsKept(t *testing.T) {
	b := serve(t)
	ctx := soon(t)
	const trace, other = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-11111111111111111111111111111111-00f067aa0ba902b7-01"
	rawRequest(t, b.nc, "batpak.main.append.s.e", body(), nats.Header{"traceparent": {trace}})
	rawRequest(t, b.nc, "batpak.main.append.s.e", body("meta", map[string]string{"traceparent": other}), nats.Header{"traceparent": {trace}})
	rawRequest(t, b.nc, "batpak.main.append.s.e", body(), nats.Header{"traceparent": {strings.Repeat("x", 1000)}})
	rawRequest(t, b.nc, "batpak.main.batch", events(2), nats.Header{"traceparent": {trace}})
	want := []string{trace, other, "", trace, trace}
	for ev, err := range b.client.Read(ctx, codec.Selection{}) {
		if err != nil || ev.Meta["traceparent"] != want[ev.Seq-1] {
			t.Errorf("event %d: %v %q", ev.Seq, err, ev.Meta["traceparent"])
		}
	}
	must(b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1}, component.AckStream()))(t)
	stream := must(b.server.JetStream(b.nc).Stream(ctx, "BATPAK_MAIN"))(t)
	if msg := must(stream.GetMsg(ctx, 1))(t); msg.Header.Get("traceparent") != trace {
		t.Errorf("onward headers %v", msg.Header)
	}
}

// A page never passes the connection's limit, in JSON neither, and goes on where it was cut.
func TestPagesEndEarlyRatherThanPassTheLimit(t *testing.T) {
	b := serve(t, noOnward)
	ctx := soon(t)
	const n = 10
	payload := append([]byte{0xda, 0xea, 0x60}, strings.Repeat("\x01", 60_000)...) // six times as long in JSON
	for range n {
		must(b.client.AppendRaw(ctx, at("s", "e"), kind, payload))(t)
	}
	for _, endpoint := range []string{"read", "open"} {
		after, got := uint64(0), 0
		for more := true; more; {
			reply := rawRequest(t, b.nc, "batpak.main."+endpoint, fmt.Appendf(nil, `{"after":%d}`, after), asJSON)
			var page struct {
				Events     []any
				Data       []any
				Next, Head uint64
				More       bool
			}
			if err := json.Unmarshal(reply.Data, &page); err != nil || page.Head != n || page.Next <= after {
				t.Fatalf("%v %.200s", err, reply.Data)
			}
			if endpoint == "open" && len(page.Data) != len(page.Events) {
				t.Fatalf("%d payloads for %d events", len(page.Data), len(page.Events))
			}
			got, after, more = got+len(page.Events), page.Next, page.More
		}
		if got != n {
			t.Errorf("%s: %d events", endpoint, got)
		}
	}
	// One event that is too large for JSON says so, and is to be had as MessagePack.
	large := append([]byte{0xdb, 0, 9, 0x27, 0xc0}, strings.Repeat("\x01", 600_000)...)
	r := must(b.client.AppendRaw(ctx, at("s", "large"), kind, large))(t)
	e := refusal(t, rawRequest(t, b.nc, "batpak.main.get", fmt.Appendf(nil, `{"seq":%d}`, r.Seq), asJSON))
	if e.Code != codec.CodeTooLarge {
		t.Fatalf("%+v", e)
	}
	must(b.client.Get(ctx, r.ID))(t)
	for o, err := range b.client.OpenIDs(ctx, r.ID) {
		if err != nil || len(o.Payload) != len(large) {
			t.Fatalf("%v, %d bytes", err, len(o.Payload))
		}
	}
}
