package component_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"batpak/causal"
	"batpak/component"

	"github.com/nats-io/nats.go"
)

// aheadBy is a clock that is wrong.
func aheadBy(d time.Duration) *causal.Clock {
	return causal.NewClock(causal.ClockOptions{Now: func() time.Time { return time.Now().Add(d) }})
}

// What a client does after it has heard from one node is later than what that node did, on any other node.
func TestAnEventThatFollowsAnotherNodesIsLater(t *testing.T) {
	t.Parallel()
	var clients []*component.Client
	clock := causal.NewClock(causal.ClockOptions{})
	for _, ahead := range []time.Duration{30 * time.Second, 0} {
		b := serveAlone(t, noOnward, func(c *component.Config) { c.Clock = aheadBy(ahead) })
		clients = append(clients, must(component.NewClient(b.nc, component.ClientOptions{Journal: "main", Clock: clock}))(t))
	}
	ctx := soon(t)
	first := must(clients[0].AppendRaw(ctx, at("s", "e"), kind, []byte{1}))(t)
	second := must(clients[1].AppendRaw(ctx, at("s", "e"), kind, []byte{1}))(t)
	a, b := causal.HLC{Millis: first.Time, Tick: first.Tick}, causal.HLC{Millis: second.Time, Tick: second.Tick}
	if b.Compare(a) <= 0 {
		t.Fatalf("%s came after %s", b, a)
	}
	// Without the clock, the second node knows nothing of the first: the control.
	without := serveAlone(t, noOnward)
	third := must(without.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1}))(t)
	if third.Time >= first.Time {
		t.Fatalf("%d is not before %d: this proves nothing", third.Time, first.Time)
	}
}

func TestAClockTooFarAheadIsRefusedWithTheLimit(t *testing.T) {
	b := serve(t, noOnward)
	ctx := soon(t)
	ask := func(reading string) *nats.Msg {
		m := &nats.Msg{Subject: "batpak.main.append.s.e", Data: []byte(`{"kind":4097,"data":1}`),
			Header: nats.Header{"Content-Type": {"application/json"}, "Batpak-HLC": {reading}}}
		return must(b.nc.RequestMsgWithContext(ctx, m))(t)
	}
	now := causal.HLC{Millis: uint64(time.Now().UnixMilli())}
	for _, bad := range []string{"", "x", "1", "1.", "1.-1", "01.0", "1.65536", "1. 0", causal.HLC{Millis: now.Millis + 120_000}.String()} {
		if m := ask(bad); m.Header.Get("Nats-Service-Error-Code") != "400" {
			t.Errorf("%q got %v %s", bad, m.Header, m.Data)
		} else if strings.Contains(bad, now.String()[:5]) && !strings.Contains(string(m.Data), "the limit is 60000 ms") {
			t.Errorf("the limit is not in %s", m.Data)
		}
	}
	m := ask(causal.HLC{Millis: now.Millis + 30_000}.String())
	got, err := causal.ParseHLC(m.Header.Get("Batpak-HLC"))
	if err != nil || got.Millis < now.Millis+30_000 {
		t.Fatalf("the reply's clock is %s, %v", got, err)
	}
	// A node that is wrong by more than the client puts up with is not believed either.
	far := serveAlone(t, noOnward, func(c *component.Config) { c.Clock = aheadBy(time.Hour) })
	c := must(component.NewClient(far.nc, component.ClientOptions{Journal: "main", Clock: causal.NewClock(causal.ClockOptions{})}))(t)
	if _, err := c.Status(ctx); !errors.Is(err, causal.ErrClockAhead) || !errors.Is(err, component.ErrReply) {
		t.Fatalf("a node an hour ahead: %v", err)
	}
}
