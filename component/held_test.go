package component_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"

	"github.com/nats-io/nats.go/jetstream"
)

// breakStream replaces the onward stream by one that the relay refuses, so nothing is published
// any more.
func breakStream(t *testing.T, b *bed) {
	t.Helper()
	ctx := soon(t)
	js := b.server.JetStream(b.nc)
	if err := js.DeleteStream(ctx, "BATPAK_MAIN"); err != nil {
		t.Fatal(err)
	}
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name: "BATPAK_MAIN", Subjects: []string{"batpak.main.events.>"},
		Metadata: map[string]string{"batpak.journal": "main", "batpak.lineage": causal.NewLineage().String()},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// stallStream makes the onward stream refuse further messages, so that the relay tries again and
// again.
func stallStream(t *testing.T, b *bed) {
	t.Helper()
	ctx := soon(t)
	js := b.server.JetStream(b.nc)
	cfg := must(js.Stream(ctx, "BATPAK_MAIN"))(t).CachedInfo().Config
	cfg.MaxMsgs, cfg.Discard = 1, jetstream.DiscardNew
	if _, err := js.UpdateStream(ctx, cfg); err != nil {
		t.Fatal(err)
	}
}

func TestAckStreamIsAnsweredWhenTheStreamHasTheEvent(t *testing.T) {
	b := serve(t)
	ctx := soon(t)
	const n = 300
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			r, err := b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1}, component.AckStream())
			if err != nil || r.Durable != codec.AckStream {
				t.Errorf("%v %+v", err, r)
				return
			}
			if st := b.node.Status(); st.Published < r.Seq {
				t.Errorf("event %d is acknowledged, %d is published", r.Seq, st.Published)
			}
		})
	}
	wg.Wait()
	batch := codec.Batch{Ack: codec.AckStream, Events: []codec.Append{
		{Scope: "s", Entity: "a", Kind: kind, Data: []byte{1}}, {Scope: "s", Entity: "b", Kind: kind, Data: []byte{1}},
	}}
	for _, r := range must(b.client.Batch(ctx, batch))(t) {
		if r.Durable != codec.AckStream {
			t.Errorf("%+v", r)
		}
	}
	// A repetition is acknowledged by the stream as well.
	for i := range 2 {
		r := must(b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1}, component.WithKey("k"), component.AckStream()))(t)
		if r.Durable != codec.AckStream || r.Duplicate != (i == 1) {
			t.Errorf("%+v", r)
		}
	}
}

func TestAckStreamSaysDiskWhenTheStreamDoesNotComeAlong(t *testing.T) {
	b := serve(t, func(c *component.Config) {
		c.AckStreamTimeout = 300 * time.Millisecond
		c.MaxStreamAcks = 8
	})
	ctx := soon(t)
	must(b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1}, component.AckStream()))(t)
	stallStream(t, b)

	// More than may be held: some are refused, the others are told what was reached.
	var wg sync.WaitGroup
	var mu sync.Mutex
	var disk, busy int
	for range 64 {
		wg.Go(func() {
			r, err := b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1}, component.AckStream())
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && r.Durable == codec.AckDisk:
				disk++
			case errors.Is(err, component.ErrBusy):
				busy++
			default:
				t.Errorf("%v %+v", err, r)
			}
		})
	}
	wg.Wait()
	if disk < 8 || busy == 0 {
		t.Errorf("%d said disk, %d busy", disk, busy)
	}
	// The room is free again, also when the relay has given up for good.
	for range 2 {
		r := must(b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1}, component.AckStream()))(t)
		if r.Durable != codec.AckDisk {
			t.Errorf("%+v", r)
		}
		breakStream(t, b)
	}
}

func TestAckStreamNeedsAStream(t *testing.T) {
	b := serve(t, noOnward)
	_, err := b.client.AppendRaw(soon(t), at("s", "e"), kind, []byte{1}, component.AckStream())
	if !errors.Is(err, component.ErrInvalid) {
		t.Fatal(err)
	}
}

func TestHeldRepliesAreGivenWhenTheNodeEnds(t *testing.T) {
	b := serve(t, func(c *component.Config) { c.AckStreamTimeout = time.Hour })
	ctx := soon(t)
	first := must(b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1}, component.AckStream()))(t)
	breakStream(t, b)
	got := make(chan codec.Receipt)
	go func() {
		r, _ := b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1}, component.AckStream())
		got <- r
	}()
	if err := b.node.Journal().Wait(ctx, first.Seq+1); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	b.node.Drain(ended)
	if r := <-got; r.Durable != codec.AckDisk || r.Seq != 2 {
		t.Fatalf("%+v", r)
	}
}
