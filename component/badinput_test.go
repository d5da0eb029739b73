package component_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"
	"batpak/component/journal"
	"batpak/faultfs"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/vmihailenco/msgpack/v5"
)

// pack is a MessagePack map of the key-value pairs.
func pack(pairs ...any) []byte {
	var b bytes.Buffer
	e := msgpack.NewEncoder(&b)
	e.EncodeMapLen(len(pairs) / 2)
	for _, v := range pairs {
		if raw, ok := v.(msgpack.RawMessage); ok {
			b.Write(raw)
		} else if err := e.Encode(v); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

// body is an append's, with more behind kind and data.
func body(more ...any) []byte {
	return pack(append([]any{"kind", 0x1001, "data", 1}, more...)...)
}

func events(n int, more ...any) []byte {
	list := make([]map[string]any, n)
	for i := range list {
		list[i] = map[string]any{"kind": 0x1001, "data": i, "entity": "e", "scope": "s"}
		for j := 0; j < len(more); j += 2 {
			list[i][more[j].(string)] = more[j+1]
		}
	}
	return pack("events", list)
}

// refusal is what an error reply says, in its headers and in its body.
func refusal(t testing.TB, reply *nats.Msg) codec.ErrorReply {
	t.Helper()
	var e codec.ErrorReply
	format := codec.Msgpack
	if bytes.HasPrefix(reply.Data, []byte("{")) {
		format = codec.JSON
	}
	if reply.Header.Get("Nats-Service-Error-Code") == "" {
		t.Fatalf("not refused: %q", reply.Data)
	}
	if err := codec.Unmarshal(reply.Data, format, &e); err != nil {
		t.Fatalf("error body: %v: %q", err, reply.Data)
	}
	if want := fmt.Sprint(e.Code.Number()); reply.Header.Get("Nats-Service-Error-Code") != want || reply.Header.Get("Nats-Service-Error") != e.Message {
		t.Fatalf("headers %v, body %+v", reply.Header, e)
	}
	return e
}

func TestBadInputIsRefusedAndTheNodeServesOn(t *testing.T) {
	b := serve(t)
	const good = "batpak.main.append.s.e"
	nested := func(n int) msgpack.RawMessage {
		return append(bytes.Repeat([]byte{0x91}, n), 0xc0)
	}
	header := func(pairs ...string) nats.Header {
		h := nats.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Add(pairs[i], pairs[i+1])
		}
		return h
	}
	first := rawRequest(t, b.nc, good, body("key", "k1"), nil)
	if first.Header != nil {
		t.Fatalf("%q", first.Data)
	}
	huge := msgpack.RawMessage(append([]byte{0xc6, 0, 15, 0xd0, 0}, make([]byte, 0xfd000)...)) // bin of almost 1 MiB

	for name, c := range map[string]struct {
		subject string
		body    []byte
		header  nats.Header
		code    codec.Code
	}{
		"empty body":                  {good, nil, nil, codec.CodeInvalid},
		"empty body, JSON":            {good, nil, asJSON, codec.CodeInvalid},
		"truncated":                   {good, body()[:9], nil, codec.CodeInvalid},
		"truncated JSON":              {good, []byte(`{"kind":4097,"data":`), asJSON, codec.CodeInvalid},
		"MessagePack said to be JSON": {good, body(), asJSON, codec.CodeInvalid},
		"JSON said to be MessagePack": {good, []byte(`{"kind":4097,"data":1}`), nil, codec.CodeInvalid},
		"array of 2^32-1":             {good, []byte{0xdd, 0xff, 0xff, 0xff, 0xff}, nil, codec.CodeInvalid},
		"payload array of 2^32-1":     {good, pack("kind", 1, "data", msgpack.RawMessage("\xdd\xff\xff\xff\xff")), nil, codec.CodeInvalid},
		"map of 2^32-1":               {good, []byte{0xdf, 0xff, 0xff, 0xff, 0xff}, nil, codec.CodeInvalid},
		"causes of 2^32-1":            {good, body("causes", msgpack.RawMessage("\xdd\xff\xff\xff\xff")), nil, codec.CodeInvalid},
		"100,000 levels":              {good, pack("kind", 0x1001, "data", nested(100_000)), nil, codec.CodeInvalid},
		"100,000 levels of JSON":      {good, []byte(`{"kind":4097,"data":` + strings.Repeat("[", 100_000)), asJSON, codec.CodeInvalid},
		"65 levels":                   {good, pack("kind", 0x1001, "data", nested(65)), nil, codec.CodeInvalid},
		"trailing bytes":              {good, append(body(), 0xc0), nil, codec.CodeInvalid},
		"trailing JSON":               {good, []byte(`{"kind":4097,"data":1} {}`), asJSON, codec.CodeInvalid},
		"repeated key":                {good, body("kind", 0x1002), nil, codec.CodeInvalid},
		"repeated key, JSON":          {good, []byte(`{"kind":4097,"data":1,"kind":4098}`), asJSON, codec.CodeInvalid},
		"unknown key":                 {good, body("knd", 1), nil, codec.CodeInvalid},
		"unknown key, JSON":           {good, []byte(`{"kind":4097,"data":1,"dat":2}`), asJSON, codec.CodeInvalid},
		"invalid UTF-8 in data":       {good, pack("kind", 0x1001, "data", msgpack.RawMessage("\xa2\xff\xfe")), nil, codec.CodeInvalid},
		"invalid UTF-8 in meta":       {good, body("meta", msgpack.RawMessage("\x81\xa1a\xa1\xff")), nil, codec.CodeInvalid},
		"invalid UTF-8 in JSON":       {good, []byte("{\"kind\":4097,\"data\":\"\xff\"}"), asJSON, codec.CodeInvalid},
		"no data":                     {good, pack("kind", 0x1001), nil, codec.CodeInvalid},
		"no kind":                     {good, pack("data", 1), nil, codec.CodeInvalid},
		"kind over 16 bits":           {good, pack("kind", 1<<16, "data", 1), nil, codec.CodeInvalid},
		"kind of category 0":          {good, pack("kind", 1, "data", 1), nil, codec.CodeInvalid},
		"kind of category D":          {good, pack("kind", 0xd001, "data", 1), nil, codec.CodeInvalid},
		"coordinate in the body":      {good, body("scope", "s"), nil, codec.CodeInvalid},
		"unknown ack":                 {good, body("ack", "tape"), nil, codec.CodeInvalid},
		"unknown cause":               {good, body("causes", [][]byte{bytes.Repeat([]byte{7}, 16)}), nil, codec.CodeInvalid},
		"cause of 15 bytes":           {good, body("causes", [][]byte{make([]byte, 15)}), nil, codec.CodeInvalid},
		"payload over the limit":      {good, pack("kind", 0x1001, "data", huge), nil, codec.CodeTooLarge},
		"meta over the limit":         {good, body("meta", map[string]string{"a": strings.Repeat("x", 17<<10)}), nil, codec.CodeTooLarge},
		"same key, other content":     {good, pack("kind", 0x1001, "data", 2, "key", "k1"), nil, codec.CodeConflict},
		"expectation":                 {good, body("expect", 7), nil, codec.CodeConflict},
		"unless":                      {good, body("unless", map[string]any{"entity": "e"}), nil, codec.CodeConflict},
		"unless of another scope":     {good, body("unless", map[string]any{"scope": "t"}), nil, codec.CodeInvalid},
		"two keys":                    {good, body("key", "a"), header("Nats-Msg-Id", "b"), codec.CodeInvalid},
		"two headers":                 {good, body(), header("Nats-Msg-Id", "b", "Nats-Msg-Id", "c"), codec.CodeInvalid},
		"key of 257 bytes":            {good, body(), header("Nats-Msg-Id", strings.Repeat("k", 257)), codec.CodeInvalid},
		"expectation not a number":    {good, body(), header("Batpak-Expected-Version", "-1"), codec.CodeInvalid},
		"two expectations":            {good, body("expect", 1), header("Batpak-Expected-Version", "2"), codec.CodeInvalid},
		"expectation in a header":     {good, body(), header("Batpak-Expected-Version", "9"), codec.CodeConflict},
		"sequence in a header":        {good, body(), header("Nats-Expected-Last-Subject-Sequence", "0"), codec.CodeConflict},

		"needless escape":     {"batpak.main.append.s.%41", body(), nil, codec.CodeInvalid},
		"lower-case escape":   {"batpak.main.append.s.%2e", body(), nil, codec.CodeInvalid},
		"no escape":           {"batpak.main.append.s.%GG", body(), nil, codec.CodeInvalid},
		"cut escape":          {"batpak.main.append.s.a%2", body(), nil, codec.CodeInvalid},
		"byte to be escaped":  {"batpak.main.append.s.a/b", body(), nil, codec.CodeInvalid},
		"control character":   {"batpak.main.append.s.a%0A", body(), nil, codec.CodeInvalid},
		"token not UTF-8":     {"batpak.main.append.%FF.e", body(), nil, codec.CodeInvalid},
		"token of 257 bytes":  {"batpak.main.append.s." + strings.Repeat("a", 257), body(), nil, codec.CodeInvalid},
		"scope of 257 bytes":  {"batpak.main.append." + strings.Repeat("a", 257) + ".e", body(), nil, codec.CodeInvalid},
		"system scope":        {"batpak.main.append._batpak.e", body(), nil, codec.CodeInvalid},
		"head, bad token":     {"batpak.main.head.s.%2e", nil, nil, codec.CodeInvalid},
		"read, bad token":     {"batpak.main.read.%2e", nil, nil, codec.CodeInvalid},
		"batch, bad token":    {"batpak.main.batch.%2e", events(1), nil, codec.CodeInvalid},
		"batch of 0":          {"batpak.main.batch", events(0), nil, codec.CodeInvalid},
		"batch of 1001":       {"batpak.main.batch", events(1001), nil, codec.CodeTooLarge},
		"batch without":       {"batpak.main.batch", pack("key", "k"), nil, codec.CodeInvalid},
		"key in an event":     {"batpak.main.batch", events(2, "key", "k"), nil, codec.CodeInvalid},
		"ack in an event":     {"batpak.main.batch", events(2, "ack", "disk"), nil, codec.CodeInvalid},
		"batch, other scope":  {"batpak.main.batch.t", events(2), nil, codec.CodeInvalid},
		"batch, no scope":     {"batpak.main.batch", pack("events", []any{map[string]any{"kind": 0x1001, "data": 1, "entity": "e"}}), nil, codec.CodeInvalid},
		"batch, no entity":    {"batpak.main.batch.s", pack("events", []any{map[string]any{"kind": 0x1001, "data": 1}}), nil, codec.CodeInvalid},
		"batch, header":       {"batpak.main.batch", events(1), header("Batpak-Expected-Version", "1"), codec.CodeInvalid},
		"batch, condition":    {"batpak.main.batch", events(2, "expect", 8), nil, codec.CodeConflict},
		"batch, other unless": {"batpak.main.batch.s", events(1, "unless", map[string]any{"scope": "t"}), nil, codec.CodeInvalid},

		"get nothing":        {"batpak.main.get", nil, nil, codec.CodeInvalid},
		"get both":           {"batpak.main.get", pack("seq", 1, "id", bytes.Repeat([]byte{9}, 16)), nil, codec.CodeInvalid},
		"get 0":              {"batpak.main.get", pack("seq", 0), nil, codec.CodeInvalid},
		"get what is not":    {"batpak.main.get", pack("seq", 1000), nil, codec.CodeNotFound},
		"get an unknown id":  {"batpak.main.get", pack("id", bytes.Repeat([]byte{9}, 16)), nil, codec.CodeNotFound},
		"read, limit 0":      {"batpak.main.read", pack("limit", 0), nil, codec.CodeInvalid},
		"read, limit 1001":   {"batpak.main.read", pack("limit", 1001), nil, codec.CodeInvalid},
		"read, other scope":  {"batpak.main.read.s", pack("scope", "t"), nil, codec.CodeInvalid},
		"open, other scope":  {"batpak.main.open.s", pack("scope", "t"), nil, codec.CodeInvalid},
		"open an unknown id": {"batpak.main.open", pack("ids", [][]byte{bytes.Repeat([]byte{9}, 16)}), nil, codec.CodeNotFound},
		"open no ids":        {"batpak.main.open", pack("ids", [][]byte{}), nil, codec.CodeInvalid},
		"verify backwards":   {"batpak.main.verify", pack("from", 2, "to", 1), nil, codec.CodeInvalid},
		"verify half":        {"batpak.main.verify", pack("receipt", map[string]any{"seq": 1}), nil, codec.CodeInvalid},
		"status of":          {"batpak.main.status", pack("of", 1), nil, codec.CodeInvalid},
		"unknown endpoint":   {"batpak.main.nothing", nil, nil, codec.CodeInvalid},
		"unknown, JSON":      {"batpak.main.nothing", []byte("{}"), asJSON, codec.CodeInvalid},
		"unknown with token": {"batpak.main.nothing.s", nil, nil, codec.CodeInvalid},
		"append without":     {"batpak.main.append", body(), nil, codec.CodeInvalid},
		"append without two": {"batpak.main.append.s", body(), nil, codec.CodeInvalid},
		"append with three":  {"batpak.main.append.s.e.x", body(), nil, codec.CodeInvalid},
		"append with four":   {"batpak.main.append.s.e.x.y", body(), nil, codec.CodeInvalid},
		"head of a scope":    {"batpak.main.head.s", nil, nil, codec.CodeInvalid},
		"head with three":    {"batpak.main.head.s.e.x", nil, nil, codec.CodeInvalid},
		"batch with two":     {"batpak.main.batch.s.e", events(1), nil, codec.CodeInvalid},
		"read with two":      {"batpak.main.read.s.e", nil, nil, codec.CodeInvalid},
		"get with one":       {"batpak.main.get.s", nil, nil, codec.CodeInvalid},
		"get with two":       {"batpak.main.get.s.e", nil, nil, codec.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			e := refusal(t, rawRequest(t, b.nc, c.subject, c.body, c.header))
			if e.Code != c.code || e.Message == "" {
				t.Errorf("refused with %+v, want %s", e, c.code)
			}
			if strings.Contains(e.Message, "component:") || strings.Contains(e.Message, "journal:") || strings.HasPrefix(e.Message, "codec:") {
				t.Errorf("message %q", e.Message)
			}
			if _, ok := e.Details["limit"]; c.code == codec.CodeTooLarge && !ok {
				t.Errorf("details %v", e.Details)
			}
		})
	}
	// None of it left a trace, and the node goes on.
	next := rawRequest(t, b.nc, good, body(), nil)
	var receipt codec.Receipt
	if err := codec.Unmarshal(next.Data, codec.Msgpack, &receipt); err != nil || receipt.Seq != 2 {
		t.Fatalf("%v %+v %q", err, receipt, next.Data)
	}
}

// A payload over the node's own limit, where the connection would take more.
func TestPayloadLimitIsOneMebibyteWhereTheConnectionTakesMore(t *testing.T) {
	b := serveOn(t, func(o *server.Options) { o.MaxPayload = 8 << 20 }, noOnward)
	bin := func(n int) msgpack.RawMessage { // a payload of n bytes
		return append([]byte{0xc6, byte((n - 5) >> 24), byte((n - 5) >> 16), byte((n - 5) >> 8), byte(n - 5)}, make([]byte, n-5)...)
	}
	const good = "batpak.main.append.s.e"
	if reply := rawRequest(t, b.nc, good, pack("kind", 0x1001, "data", bin(1<<20)), nil); reply.Header != nil {
		t.Fatalf("1 MiB is refused: %q", reply.Data)
	}
	e := refusal(t, rawRequest(t, b.nc, good, pack("kind", 0x1001, "data", bin(1<<20+1)), nil))
	if limit, _ := json.Marshal(e.Details["limit"]); e.Code != codec.CodeTooLarge || string(limit) != "1048576" {
		t.Fatalf("%+v", e)
	}
}

// What is accepted under a small limit of the connection can be had again, in clear too.
func TestWhatIsAcceptedFitsAReply(t *testing.T) {
	b := serve(t, sealed)
	payload := func(n int) []byte {
		return append([]byte{0xc6, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, make([]byte, n)...)
	}
	ctx := soon(t)
	lo, hi := 0, 1<<20 // the largest payload that is accepted is in between
	for lo+1 < hi {
		n := (lo + hi) / 2
		_, err := b.client.AppendRaw(ctx, at("s", "e"), kind, payload(n))
		switch {
		case err == nil:
			lo = n
		case errors.Is(err, component.ErrTooLarge):
			hi = n
		default:
			t.Fatal(err)
		}
	}
	if lo < 400<<10 {
		t.Fatalf("the largest payload is %d bytes", lo)
	}
	count := 0
	for o, err := range b.client.Open(ctx, codec.Selection{Limit: 1000}) {
		if err != nil || o.State != causal.Opened {
			t.Fatal(o.State, err)
		}
		count++
	}
	if st := must(b.client.Status(ctx))(t); uint64(count) != st.Head {
		t.Fatalf("opened %d of %d events", count, st.Head)
	}
}

func TestRequestWithoutAUsableReplySubjectIsNotExecuted(t *testing.T) {
	b := serve(t)
	// The node must neither do it nor say anything, least of all where the client may not write.
	for _, subject := range []string{"batpak.main.append.s.e", "batpak.main.nothing"} {
		if err := b.nc.Publish(subject, body()); err != nil {
			t.Fatal(err)
		}
	}
	for _, reply := range []string{"batpak.main.events.s.e.1001", "batpak.main.append.s.e", "batpak.other.shred", "$JS.API.STREAM.PURGE.BATPAK_MAIN"} {
		if err := b.nc.PublishRequest("batpak.main.append.s.e", reply, body()); err != nil {
			t.Fatal(err)
		}
		if err := b.nc.PublishRequest("batpak.main.nothing", reply, body()); err != nil {
			t.Fatal(err)
		}
	}
	ctx := soon(t)
	receipt := must(b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1}, component.AckStream()))(t)
	if receipt.Seq != 1 || receipt.Durable != codec.AckStream {
		t.Fatalf("%+v", receipt)
	}
	if info := must(must(b.server.JetStream(b.nc).Stream(ctx, "BATPAK_MAIN"))(t).Info(ctx))(t); info.State.LastSeq != 1 {
		t.Fatalf("the stream has %d messages", info.State.LastSeq)
	}
}

func TestFullDiskIsStorage(t *testing.T) {
	disk := faultfs.Inject(dir(t, t.TempDir()))
	b := serve(t, noOnward, func(c *component.Config) { c.Dir, c.FS = "", disk })
	ctx := soon(t)
	must(b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1}))(t)
	disk.Add(faultfs.Rule{On: faultfs.OpWrite | faultfs.OpAllocate | faultfs.OpSyncData, Sticky: true, Do: faultfs.Fail(syscall.ENOSPC)})
	_, err := b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{2})
	if !errors.Is(err, component.ErrStorage) {
		t.Fatalf("append on a full disk: %v", err)
	}
	// Reads go on, and the state says it.
	n := 0
	for ev, err := range b.client.Read(ctx, codec.Selection{}) {
		if err != nil || ev.Seq != 1 {
			t.Fatal(ev.Seq, err)
		}
		n++
	}
	if st := must(b.client.Status(ctx))(t); n != 1 || st.State != codec.NodePoisoned {
		t.Fatalf("%d events, %+v", n, st)
	}
}

func dir(t testing.TB, path string) faultfs.FS {
	root := must(os.OpenRoot(path))(t)
	t.Cleanup(func() { root.Close() })
	return faultfs.Dir(root)
}

func TestBadDirectoriesAreRefused(t *testing.T) {
	b := serve(t, noOnward)
	must(b.client.AppendRaw(soon(t), at("s", "e"), kind, []byte{1}))(t)
	open := func(name, dir string) error {
		cfg := b.cfg
		cfg.Name, cfg.Dir, cfg.Prefix = name, dir, "other"
		node, err := component.Open(context.Background(), cfg)
		if err == nil {
			node.Close()
		}
		return err
	}
	if err := open("main", b.cfg.Dir); !errors.Is(err, journal.ErrLocked) {
		t.Errorf("a directory in use: %v", err)
	}
	if err := b.node.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open("orders", b.cfg.Dir); !errors.Is(err, journal.ErrForeign) {
		t.Errorf("another journal's directory: %v", err)
	}
	if err := open("main", filepath.Join(b.cfg.Dir, "LOCK")); err == nil {
		t.Error("a file for a directory is served")
	}
	readOnly := faultfs.Inject(dir(t, t.TempDir()), faultfs.Rule{
		On: faultfs.OpCreate | faultfs.OpWrite | faultfs.OpMkdir | faultfs.OpLock, Sticky: true, Do: faultfs.Fail(syscall.EROFS),
	})
	cfg := b.cfg
	cfg.Dir, cfg.FS = "", readOnly
	if _, err := component.Open(context.Background(), cfg); !errors.Is(err, syscall.EROFS) {
		t.Errorf("a read-only directory: %v", err)
	}
	flip(t, b.cfg.Dir)
	if err := open("main", b.cfg.Dir); err == nil {
		t.Error("a flipped byte is served")
	}
}

// flip changes a byte in the first event of a directory's log.
func flip(t *testing.T, dir string) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".seg") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		i := bytes.Index(data, []byte("lineage\xc4"))
		if i < 0 {
			return nil
		}
		data[i] ^= 1
		return os.WriteFile(path, data, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}
