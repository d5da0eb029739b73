package component_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"batpak/codec"
	"batpak/component"

	"github.com/nats-io/nats.go"
)

func TestClientWaitsNoLongerThanItsContextOrTimeout(t *testing.T) {
	b := serve(t, noOnward)
	if _, err := b.nc.Subscribe("batpak.silent.>", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	c := must(component.NewClient(b.nc, component.ClientOptions{Journal: "silent", Timeout: 20 * time.Millisecond}))(t)
	if _, err := c.Status(context.Background()); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	c = must(component.NewClient(b.nc, component.ClientOptions{Journal: "silent"}))(t)
	if _, err := c.Status(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	c = must(component.NewClient(b.nc, component.ClientOptions{Journal: "nowhere"}))(t)
	if _, err := c.Status(soon(t)); !errors.Is(err, component.ErrNoNode) || !strings.Contains(err.Error(), "no node answers for journal nowhere") {
		t.Error(err)
	}
	if _, err := b.client.AppendRaw(soon(t), at("", "e"), kind, []byte{1}); !errors.Is(err, component.ErrInvalid) {
		t.Error(err)
	}
	for _, o := range []component.ClientOptions{{}, {Journal: "a.b"}, {Journal: "a", Prefix: "a b"}, {Journal: "a", Timeout: -1}} {
		if _, err := component.NewClient(b.nc, o); !errors.Is(err, component.ErrConfig) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// liarOn answers every request for a journal with what it is told to.
func liarOn(t *testing.T, b *bed, journal string) (tell func(codec.Body)) {
	t.Helper()
	var lie codec.Body
	_, err := b.nc.Subscribe("batpak."+journal+".>", func(m *nats.Msg) {
		out, err := codec.Marshal(nil, codec.Msgpack, lie)
		if err != nil {
			out = []byte(err.Error())
		}
		m.Respond(out)
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(body codec.Body) { lie = body }
}

// What is not what the protocol says is an error, and nothing worse.
func TestClientBelievesNothingThatDoesNotFit(t *testing.T) {
	b := serve(t, noOnward)
	ctx := soon(t)
	r := must(b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1}))(t)
	envelope := must(b.client.Get(ctx, r.ID))(t).Envelope
	forged := append([]byte{}, envelope...)
	forged[len(forged)-1] = 2
	tell := liarOn(t, b, "liar")
	c := must(component.NewClient(b.nc, component.ClientOptions{Journal: "liar"}))(t)
	first := func(sel codec.Selection) error {
		for _, err := range c.Read(ctx, sel) {
			return err
		}
		return nil
	}
	for name, check := range map[string]struct {
		lie codec.Body
		ask func() error
	}{
		"an event that was changed": {&codec.GetReply{Event: forged, Hash: r.Hash}, func() error { _, err := c.Get(ctx, r.ID); return err }},
		"another event":             {&codec.GetReply{Event: envelope, Hash: r.Hash}, func() error { _, err := c.GetSeq(ctx, 2); return err }},
		"another body":              {&codec.HeadReply{}, func() error { _, err := c.Get(ctx, r.ID); return err }},
		"an event from before":      {&codec.ReadReply{Events: [][]byte{envelope}}, func() error { return first(codec.Selection{After: 1}) }},
		"a page that goes nowhere":  {&codec.ReadReply{Head: 9, More: true}, func() error { return first(codec.Selection{}) }},
		"not an envelope":           {&codec.ReadReply{Events: [][]byte{{1}}}, func() error { return first(codec.Selection{}) }},
	} {
		tell(check.lie)
		if err := check.ask(); !errors.Is(err, component.ErrReply) {
			t.Errorf("%s: %v", name, err)
		}
	}
	tell(&codec.BatchReply{})
	if _, err := c.Batch(ctx, codec.Batch{Events: []codec.Append{{Scope: "s", Entity: "e", Kind: kind, Data: []byte{1}}}}); !errors.Is(err, component.ErrReply) {
		t.Errorf("a batch without receipts: %v", err)
	}
}
