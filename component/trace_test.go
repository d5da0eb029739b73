package component_test

import (
	"bytes"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"

	"github.com/nats-io/nats-server/v2/server"
)

// The largest event there is goes onward too: what stops the relay at one event stops it for good.
func TestTheLargestEventGoesOnward(t *testing.T) {
	b := serveOn(t, func(o *server.Options) { o.MaxPayload = 1 << 20 })
	ctx := soon(t)
	first := must(b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1}))(t)
	causes := make([]causal.Cause, 256)
	for i := range causes {
		causes[i] = causal.Cause{Lineage: causal.NewLineage(), ID: first.ID}
	}
	meta := map[string]string{"traceparent": strings.Repeat("t", 16000)}
	name := strings.Repeat("n", causal.MaxName)
	const size = 1<<20 - 32<<10 - 5
	data := append([]byte{0xc6, 0, size >> 16, size >> 8 & 0xff, size & 0xff}, bytes.Repeat([]byte{7}, size)...)
	largest := codec.Append{Kind: kind, Data: data, Causes: causes, Meta: meta, Subject: name, Key: name}
	must(b.client.Append(ctx, at(name, name), largest))(t)
	if r := must(b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{2}, component.AckStream()))(t); r.Durable != codec.AckStream {
		t.Errorf("an event behind the largest one reached %q", r.Durable)
	}
}
