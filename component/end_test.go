package component_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"batpak/codec"
	"batpak/component"

	"github.com/nats-io/nats.go"
)

func TestDrainFinishesWhatWasTakenInAndRefusesTheRest(t *testing.T) {
	b := serve(t)
	ctx := soon(t)
	const n = 500
	var wg sync.WaitGroup
	results := make(chan error, n)
	for range n {
		wg.Go(func() {
			_, err := b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1})
			results <- err
		})
	}
	if err := <-results; err != nil {
		t.Fatal(err)
	}
	if err := b.node.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	close(results)
	appended := uint64(1)
	for err := range results {
		switch {
		case err == nil:
			appended++
		case !errors.Is(err, component.ErrUnavailable) && !errors.Is(err, component.ErrNoNode):
			t.Errorf("append during a drain: %v", err)
		}
	}
	select {
	case <-b.node.Done():
	default:
		t.Error("the node has not ended")
	}
	if err := b.node.Err(); err != nil {
		t.Error(err)
	}
	if info := must(must(b.server.JetStream(b.nc).Stream(ctx, "BATPAK_MAIN"))(t).Info(ctx))(t); info.State.LastSeq != appended {
		t.Errorf("%d events were acknowledged, the stream has %d", appended, info.State.LastSeq)
	}
	b.open(t)
	if st := must(b.client.Status(ctx))(t); st.Head != appended || st.State != codec.NodeServing {
		t.Errorf("%d events were acknowledged, status %+v", appended, st)
	}
}

func TestDrainGivesUpWithItsContext(t *testing.T) {
	b := serve(t)
	ctx := soon(t)
	must(b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1}, component.AckStream()))(t)
	breakStream(t, b)
	must(b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{2}))(t)
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := b.node.Drain(short); err == nil {
		t.Fatal("drained, although nothing can be published")
	}
	<-b.node.Done()
}

func TestDrainingNodeStillAnswersReads(t *testing.T) {
	b := serve(t)
	ctx := soon(t)
	must(b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1}, component.AckStream()))(t)
	stallStream(t, b)
	must(b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{2}))(t)
	long, cancel := context.WithCancel(ctx)
	drained := make(chan error)
	go func() { drained <- b.node.Drain(long) }()
	for must(b.client.Status(ctx))(t).State != codec.NodeDraining {
	}
	must(b.client.GetSeq(ctx, 2))(t)
	_, err := b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{3})
	var refused *component.Error
	if !errors.As(err, &refused) || !errors.Is(err, component.ErrUnavailable) || !refused.Retry {
		t.Errorf("append to a draining node: %v", err)
	}
	cancel()
	if err := <-drained; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestNodeServesOnWhenTheServerComesBack(t *testing.T) {
	b := serve(t)
	ctx := soon(t)
	must(b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1}, component.AckStream()))(t)
	b.server.Stop()
	b.server.Start()
	for {
		// A request may be lost with the old connection; the key makes it safe to ask again.
		try, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		r, err := b.client.AppendRaw(try, at("s", "e"), kind, []byte{2}, component.WithKey("k"), component.AckStream())
		cancel()
		switch {
		case err == nil && r.Seq == 2 && r.Durable == codec.AckStream:
			return
		case ctx.Err() != nil || err == nil && r.Seq != 2:
			t.Fatalf("%v %+v", err, r)
		}
	}
}

func TestNodeEndsWithItsConnection(t *testing.T) {
	b := serve(t)
	must(b.client.AppendRaw(soon(t), at("s", "e"), kind, []byte{1}))(t)
	b.cfg.Conn.Close()
	<-b.node.Done()
	if err := b.node.Err(); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Fatal(err)
	}
	b.cfg.Conn = b.server.Connect()
	b.open(t)
	if st := must(b.client.Status(soon(t)))(t); st.Head != 1 {
		t.Fatalf("%+v", st)
	}
}

func TestNobodyAnswersAfterClose(t *testing.T) {
	b := serve(t, noOnward)
	for range 2 {
		if err := b.node.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := b.client.Status(soon(t))
	if !errors.Is(err, component.ErrNoNode) || !errors.Is(err, nats.ErrNoResponders) {
		t.Fatal(err)
	}
}
