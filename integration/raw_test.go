package integration

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/textproto"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

// newDir is a directory for a journal that does not exist yet.
func newDir(t testing.TB) string { return filepath.Join(t.TempDir(), "journal") }

// TestRawRequestsRoundTrip does what somebody does who has nothing but the protocol's page: append in
// both formats, read back in both, and compare with the onward stream, by the bytes.
func TestRawRequestsRoundTrip(t *testing.T) {
	p := serve(t, "--dir", newDir(t), "--listen", "127.0.0.1:0")
	if p.name != "main" {
		t.Fatalf("the journal's name is %q", p.name)
	}
	c, ctx := client{p.connect()}, within(t)
	const scope, entity = "shöp/1", "order 7.*>"

	// 1: as MessagePack. The payload is kept byte for byte, in whatever form it was sent: here an
	// integer that is longer than it need be, and keys that are not sorted.
	odd := raw("\x82\xa1z\xcd\x00\x01\xa1a\xc0")
	first, err := c.append(ctx, scope, entity, fields{{"kind", 0x1001}, {"data", odd}, {"ack", "stream"}})
	if err != nil {
		t.Fatal(err)
	}
	// 2: as JSON, which becomes MessagePack with sorted keys.
	text, err := c.ask(ctx, "append."+token(scope)+"."+token(entity),
		[]byte(`{"kind": 4098, "data": {"z": 1.5, "a": [300, null, "ü", -1]}, "schema": 2, "key": "k", "expect": 1, "ack": "stream"}`), asJSON)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := receiptFieldsOfJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	second, err := receiptOf(reply)
	if err != nil {
		t.Fatal(err)
	}
	fromJSON := raw("\x82\xa1a\x94\xcd\x01\x2c\xc0\xa2\xc3\xbc\xff\xa1z\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00")

	var before receipt
	for i, want := range []struct {
		receipt
		data raw
		kind uint64
		key  string
	}{{first, odd, 0x1001, ""}, {second, fromJSON, 0x1002, "k"}} {
		r := want.receipt
		if r.seq != uint64(i+1) || r.version != r.seq || r.durable != "stream" || r.duplicate || r.prev != before.hash {
			t.Fatalf("receipt %+v", r)
		}
		e, err := c.get(ctx, r.seq)
		if err != nil {
			t.Fatal(err)
		}
		if e.hash != r.hash || e.prev != before.hash || e.id != r.id || e.lineage != r.lineage || e.version != r.version ||
			e.millis != r.millis || e.scope != scope || e.entity != entity || e.kind != want.kind || e.key != want.key ||
			!bytes.Equal(e.data, want.data) {
			t.Fatalf("event %+v for receipt %+v", e, r)
		}
		byID, err := c.fields(ctx, "get", fields{{"id", r.id[:]}})
		if err != nil || !bytes.Equal(byID.bin("event"), e.envelope) {
			t.Fatalf("get by id: %v %v", err, byID)
		}
		storedMessage(t, c, &e)
		before = r
	}

	// A retry with the key gets the first receipt, in either format.
	retried, err := c.append(ctx, scope, entity, fields{{"kind", 0x1002}, {"schema", 2}, {"data", fromJSON}, {"key", "k"}, {"expect", 1}})
	if err != nil || !retried.duplicate || retried.hash != second.hash || retried.seq != second.seq {
		t.Fatalf("retry: %v %+v", err, retried)
	}
	head, err := c.fields(ctx, "head."+token(scope)+"."+token(entity), fields{})
	if err != nil || head.num("version") != 2 || head.num("seq") != 2 || hash(head.bin("hash")) != second.hash {
		t.Fatalf("head: %v %v", err, head)
	}
	page, err := c.fields(ctx, "read."+token(scope), fields{{"after", 1}})
	if list, _ := page.get("events").([]any); err != nil || len(list) != 1 || page.num("next") != 2 || page.num("head") != 2 {
		t.Fatalf("read: %v %v", err, page)
	}
	readAsJSON(t, c, scope, second)
}

// storedMessage checks the message of the onward stream that is the event, through the server's own
// API, which everything that was acknowledged with ack "stream" is there for.
func storedMessage(t *testing.T, c client, e *event) {
	t.Helper()
	reply, err := c.nc.RequestWithContext(within(t), "$JS.API.STREAM.MSG.GET.BATPAK_MAIN", fmt.Appendf(nil, `{"seq":%d}`, e.seq))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Message struct {
			Subject    string
			Seq        uint64
			Data, Hdrs []byte
		}
	}
	if err := json.Unmarshal(reply.Data, &got); err != nil {
		t.Fatalf("%q: %v", reply.Data, err)
	}
	header := nats.Header{}
	for line := range strings.SplitSeq(string(got.Message.Hdrs), "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			header[name] = append(header[name], textproto.TrimString(value))
		}
	}
	if err := sameOnward(e, got.Message.Seq, got.Message.Subject, header, got.Message.Data); err != nil {
		t.Fatal(err)
	}
	if len(header) != 1 {
		t.Errorf("headers of message %d: %v", e.seq, header)
	}
}

// readAsJSON reads the second event of the journal as JSON, and recomputes its hash from that.
func readAsJSON(t *testing.T, c client, scope string, want receipt) {
	t.Helper()
	text, err := c.ask(within(t), "read."+token(scope), []byte(`{"after": 1, "kinds": [4098]}`), asJSON)
	if err != nil {
		t.Fatal(err)
	}
	var page struct {
		Events []struct {
			Envelope, ID, Lineage, Prev, Scope, Entity, Key string
			Seq, Version, Kind, Schema                      uint64
			Data                                            json.RawMessage
		}
		Next, Head uint64
		More       bool
	}
	if err := json.Unmarshal(text, &page); err != nil || len(page.Events) != 1 || page.Next != 2 || page.Head != 2 || page.More {
		t.Fatalf("%v: %s", err, text)
	}
	e := page.Events[0]
	envelope, err := base64.StdEncoding.DecodeString(e.Envelope)
	if err != nil || eventHash(envelope) != want.hash {
		t.Errorf("%v: envelope %q does not have the receipt's hash", err, e.Envelope)
	}
	if !bytes.Equal(uuidBytes(e.ID), want.id[:]) || !bytes.Equal(uuidBytes(e.Lineage), want.lineage[:]) || e.Prev != hex.EncodeToString(want.prev[:]) ||
		e.Scope != scope || e.Seq != 2 || e.Version != 2 || e.Kind != 0x1002 || e.Schema != 2 || e.Key != "k" {
		t.Errorf("event %s", text)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, e.Data); err != nil || compact.String() != `{"a":[300,null,"ü",-1],"z":1.5}` {
		t.Errorf("%v: data %s", err, e.Data)
	}
}

// TestBatchIsAllOrNothing appends a batch whose last event cannot be, and then one that can.
func TestBatchIsAllOrNothing(t *testing.T) {
	p := serve(t, "--dir", newDir(t), "--listen", "127.0.0.1:0", "--onward", "none")
	c, ctx := client{p.connect()}, within(t)
	batch := func(expect int) (fields, error) {
		return c.fields(ctx, "batch.shop", fields{{"events", []any{
			fields{{"entity", "a"}, {"kind", 0x1001}, {"data", 1}},
			fields{{"entity", "b"}, {"kind", 0x1001}, {"data", 2}},
			fields{{"entity", "a"}, {"kind", 0x1001}, {"data", 3}, {"expect", expect}},
		}}})
	}
	// What a batch expects is about the journal before it: version 0, not what its first event makes it.
	if _, err := batch(1); !refusedWith(err, "conflict") {
		t.Fatalf("a batch that expects what is not: %v", err)
	}
	if head := c.status(t).num("head"); head != 0 {
		t.Fatalf("%d events of a refused batch are there", head)
	}
	reply, err := batch(0)
	if err != nil {
		t.Fatal(err)
	}
	list, _ := reply.get("receipts").([]any)
	var last receipt
	for i, x := range list {
		f, _ := x.(fields)
		if last, err = receiptOf(f); err != nil || last.seq != uint64(i+1) {
			t.Fatalf("receipt %d: %v %+v", i, err, last)
		}
		e, err := c.get(ctx, last.seq)
		if err != nil || e.hash != last.hash || e.index != uint64(i) || e.count != 3 {
			t.Fatalf("event %d: %v %+v", i+1, err, e)
		}
	}
	if len(list) != 3 || last.version != 2 {
		t.Fatalf("receipts %v", list)
	}
}

// TestServiceSaysWhatItServes looks a node up as any tool for micro services does.
func TestServiceSaysWhatItServes(t *testing.T) {
	p := serve(t, "--dir", newDir(t), "--listen", "127.0.0.1:0", "--onward", "none")
	c := client{p.connect()}
	reply, err := c.nc.RequestWithContext(within(t), "$SRV.INFO.batpak", nil)
	if err != nil {
		t.Fatal(err)
	}
	var info struct {
		Name      string
		Metadata  map[string]string
		Endpoints []struct {
			Subject    string
			QueueGroup string `json:"queue_group"`
		}
	}
	if err := json.Unmarshal(reply.Data, &info); err != nil {
		t.Fatal(err)
	}
	status := c.status(t)
	if info.Name != "batpak" || info.Metadata["journal"] != "main" || info.Metadata["protocol"] != "1" ||
		!bytes.Equal(uuidBytes(info.Metadata["lineage"]), status.bin("lineage")) {
		t.Errorf("info %s", reply.Data)
	}
	subjects := map[string]bool{}
	for _, e := range info.Endpoints {
		subjects[e.Subject] = true
		if e.QueueGroup != "" {
			t.Errorf("%s has queue group %q", e.Subject, e.QueueGroup)
		}
	}
	for _, form := range []string{"append.*.*", "batch", "batch.*", "head.*.*", "get", "read", "read.*", "open", "open.*", "verify", "status"} {
		if !subjects[base+form] {
			t.Errorf("no endpoint %s%s in %v", base, form, subjects)
		}
	}
}

// TestBadRequestsAreRefusedAndTheNodeServesOn sends what must not be sent.
func TestBadRequestsAreRefusedAndTheNodeServesOn(t *testing.T) {
	p := serve(t, "--dir", newDir(t), "--listen", "127.0.0.1:0", "--onward", "none")
	c, ctx := client{p.connect()}, within(t)
	good := fields{{"kind", 0x1001}, {"data", 1}}
	if _, err := c.append(ctx, "shop", "a", append(good, field{"key", "k"})); err != nil {
		t.Fatal(err)
	}
	events := func(n int) raw {
		list := make([]any, n)
		for i := range list {
			list[i] = fields{{"scope", "shop"}, {"entity", "a"}, {"kind", 0x1001}, {"data", nil}}
		}
		return pack(fields{{"events", list}})
	}
	nested := append(pack(fields{{"kind", 0x1001}, {"data", raw(nil)}}), bytes.Repeat([]byte{0x91}, 100_000)...)
	const at = "append.shop.a"
	for _, tc := range []struct {
		name, subject string
		body          raw
		header        nats.Header
		code          string
	}{
		{"empty body", at, nil, nil, "invalid"},
		{"truncated", at, pack(good)[:10], nil, "invalid"},
		{"array of 2^32-1", at, raw("\xdd\xff\xff\xff\xff"), nil, "invalid"},
		{"payload array of 2^32-1", at, append(pack(fields{{"kind", 0x1001}, {"data", raw(nil)}}), "\xdd\xff\xff\xff\xff"...), nil, "invalid"},
		{"100,000 levels", at, append(nested, 0xc0), nil, "invalid"},
		{"trailing bytes", at, append(pack(good), 0xc0), nil, "invalid"},
		{"repeated key", at, pack(append(good, field{"kind", 0x1001})), nil, "invalid"},
		{"unknown key", at, pack(append(good, field{"colour", 1})), nil, "invalid"},
		{"repeated key in JSON", at, raw(`{"kind":4097,"kind":4097,"data":1}`), asJSON, "invalid"},
		{"unknown key in JSON", at, raw(`{"kind":4097,"colour":1,"data":1}`), asJSON, "invalid"},
		{"100,000 levels in JSON", at, raw(`{"kind":4097,"data":` + strings.Repeat("[", 100_000)), asJSON, "invalid"},
		{"invalid UTF-8", at, pack(fields{{"kind", 0x1001}, {"data", "\xff"}}), nil, "invalid"},
		{"no data", at, pack(fields{{"kind", 0x1001}}), nil, "invalid"},
		{"lower-case escape", "append.shop.%2e", pack(good), nil, "invalid"},
		{"escape that is none", "append.shop.%GG", pack(good), nil, "invalid"},
		{"257 bytes", "append.shop." + strings.Repeat("a", 257), pack(good), nil, "invalid"},
		{"system kind", at, pack(fields{{"kind", 1}, {"data", 1}}), nil, "invalid"},
		{"reserved kind", at, pack(fields{{"kind", 0xd001}, {"data", 1}}), nil, "invalid"},
		{"kind of 17 bits", at, pack(fields{{"kind", 0x10001}, {"data", 1}}), nil, "invalid"},
		{"unknown cause", at, pack(append(good, field{"causes", []any{make([]byte, 16)}})), nil, "invalid"},
		{"payload over 1 MiB", at, pack(fields{{"kind", 0x1001}, {"data", make([]byte, 1<<20)}}), nil, "too_large"},
		{"batch of 0", "batch", events(0), nil, "invalid"},
		{"batch of 1001", "batch", events(1001), nil, "too_large"},
		{"other content under a key", at, pack(fields{{"kind", 0x1001}, {"data", 2}, {"key", "k"}}), nil, "conflict"},
		{"expectation that does not hold", at, pack(append(good, field{"expect", 7})), nil, "conflict"},
		{"no such event", "get", pack(fields{{"seq", 99}}), nil, "not_found"},
		{"unknown endpoint", "frobnicate", nil, nil, "invalid"},
		{"unknown endpoint below one", "append.shop", pack(good), nil, "invalid"},
		{"endpoint with a token too many", "append.shop.a.b", pack(good), nil, "invalid"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := c.ask(ctx, tc.subject, tc.body, tc.header)
			if !refusedWith(err, tc.code) {
				t.Errorf("%v, want %s", err, tc.code)
			}
		})
	}
	// Without a reply subject nobody could learn what became of it: nothing does.
	if err := c.nc.Publish(base+at, pack(good)); err != nil {
		t.Fatal(err)
	}
	r, err := c.append(ctx, "shop", "a", good)
	if err != nil || r.seq != 2 {
		t.Fatalf("after all that: %v %+v", err, r)
	}
}
