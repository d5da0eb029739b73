package component_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"

	"github.com/nats-io/nats.go"
	"github.com/vmihailenco/msgpack/v5"
)

var errFunds = errors.New("insufficient funds")

// withdrawing takes amount from a balance that never goes below zero. asked is called each time.
func withdrawing(amount int, asked func(balance int)) component.Decider[int] {
	return component.Decider[int]{
		Fold: func(balance int, e component.Opened) (int, error) {
			var n int
			err := msgpack.Unmarshal(e.Payload, &n)
			return balance + n, err
		},
		Decide: func(balance int) (*codec.Append, error) {
			if asked != nil {
				asked(balance)
			}
			if balance < amount {
				return nil, errFunds
			}
			data, err := msgpack.Marshal(-amount)
			return &codec.Append{Kind: kind, Data: data}, err
		},
	}
}

func add(t testing.TB, ctx context.Context, c *component.Client, to causal.Coordinate, n int) codec.Receipt {
	t.Helper()
	data := must(msgpack.Marshal(n))(t)
	return must(c.AppendRaw(ctx, to, kind, data))(t)
}

// requests counts the requests to some endpoints of the node.
func requests(t *testing.T, nc *nats.Conn, endpoints ...string) func() int {
	t.Helper()
	var subs []*nats.Subscription
	for _, name := range endpoints {
		for _, form := range []string{name, name + ".>"} {
			subs = append(subs, must(nc.SubscribeSync("batpak.main."+form))(t))
		}
	}
	return func() (sum int) {
		if err := nc.Flush(); err != nil { // what came before is pending by now
			t.Fatal(err)
		}
		for _, sub := range subs {
			n, _, err := sub.Pending()
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
		return sum
	}
}

func TestConcurrentDecisionsNeverOverdraw(t *testing.T) {
	for name, tweak := range map[string]func(*component.Config){"plain": noOnward, "sealed": sealed} {
		t.Run(name, func(t *testing.T) {
			b := serve(t, noOnward, tweak)
			ctx := soon(t)
			account := at("bank", "alice")
			add(t, ctx, b.client, account, 100)
			var paid, refused, attempts atomic.Int64
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for range 10 {
						d := withdrawing(3, nil)
						d.Open, d.Attempts = name == "sealed", 1000
						out, err := component.Decide(ctx, b.client, account, d)
						attempts.Add(int64(out.Attempts))
						switch {
						case err == nil && out.Appended && out.State >= 3:
							paid.Add(1)
						case errors.Is(err, errFunds) && !out.Appended && out.State == 1:
							refused.Add(1)
						default:
							t.Errorf("%+v, %v", out, err)
						}
					}
				})
			}
			wg.Wait()
			if paid.Load() != 33 || refused.Load() != 47 {
				t.Errorf("%d paid and %d refused, want 33 and 47", paid.Load(), refused.Load())
			}
			t.Logf("%d attempts for %d payments", attempts.Load(), paid.Load())
			if head := must(b.client.Head(ctx, causal.Stream{Coordinate: account}))(t); head.Version != 34 {
				t.Errorf("version %d", head.Version)
			}
		})
	}
}

// What a conflict brings is folded, and not read again.
func TestADecisionIsMadeAgainWithoutReading(t *testing.T) {
	b := serve(t, noOnward)
	ctx := soon(t)
	account := at("bank", "alice")
	add(t, ctx, b.client, account, 100)
	reads := requests(t, b.nc, "read", "open", "head", "get")
	var balances []int
	out, err := component.Decide(ctx, b.client, account, withdrawing(10, func(balance int) {
		if balances = append(balances, balance); len(balances) < 4 {
			add(t, ctx, b.client, account, -20)
		}
	}))
	if err != nil || fmt.Sprint(balances) != "[100 80 60 40]" || out.Attempts != 4 || out.State != 40 || out.Receipt.Version != 5 {
		t.Errorf("%+v after %v, %v", out, balances, err)
	}
	if n := reads(); n != 1 {
		t.Errorf("%d reads, want the first alone", n)
	}
}

// A conflict has room for some events alone: a decision that is further behind reads the others, and
// does not decide from a part.
func TestADecisionThatIsFarBehindReadsWhatIsMissing(t *testing.T) {
	b := serve(t, noOnward)
	ctx := soon(t)
	account := at("bank", "alice")
	add(t, ctx, b.client, account, 100)
	var balances []int
	_, err := component.Decide(ctx, b.client, account, withdrawing(10, func(balance int) {
		if balances = append(balances, balance); len(balances) > 1 {
			return
		}
		for range 50 {
			add(t, ctx, b.client, account, -2)
		}
	}))
	if !errors.Is(err, errFunds) || fmt.Sprint(balances) != "[100 0]" {
		t.Errorf("%v after %v", err, balances)
	}
}

// A name is taken once in a scope, whatever entity takes it: the events that match are the boundary, and
// the streams differ.
func TestADecisionAcrossStreams(t *testing.T) {
	b := serve(t, noOnward)
	ctx := soon(t)
	errTaken := errors.New("taken")
	claim := func(who string) error {
		_, err := component.Decide(ctx, b.client, at("names", who), component.Decider[bool]{
			Boundary: &codec.Selection{Kinds: []causal.Kind{kind}, Subject: "ada"},
			Attempts: 100,
			Fold:     func(bool, component.Opened) (bool, error) { return true, nil },
			Decide: func(taken bool) (*codec.Append, error) {
				if taken {
					return nil, errTaken
				}
				return &codec.Append{Kind: kind, Subject: "ada", Data: []byte{1}}, nil
			},
		})
		return err
	}
	must(b.client.AppendRaw(ctx, at("other", "x"), kind, []byte{1}, component.WithSubject("ada")))(t)
	must(b.client.AppendRaw(ctx, at("names", "x"), kind, []byte{1}, component.WithSubject("bob")))(t)
	var won atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if err := claim(fmt.Sprint("u", i)); err == nil {
				won.Add(1)
			} else if !errors.Is(err, errTaken) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d have the name", won.Load())
	}
}

func TestDecisionsEnd(t *testing.T) {
	b := serve(t, noOnward)
	ctx := soon(t)
	account := at("bank", "alice")
	add(t, ctx, b.client, account, 1000)

	contended := withdrawing(1, func(int) { add(t, ctx, b.client, account, -1) })
	contended.Attempts = 3
	out, err := component.Decide(ctx, b.client, account, contended)
	if !errors.Is(err, component.ErrContended) || !errors.Is(err, component.ErrConflict) || out.Attempts != 3 || out.Appended {
		t.Errorf("%+v, %v", out, err)
	}

	nothing := withdrawing(1, nil)
	nothing.Decide = func(int) (*codec.Append, error) { return nil, nil }
	if out, err := component.Decide(ctx, b.client, account, nothing); err != nil || out.Appended || out.Attempts != 0 || out.State != 997 {
		t.Errorf("%+v, %v", out, err)
	}

	bad := withdrawing(1, nil)
	bad.Fold = func(int, component.Opened) (int, error) { return 0, errFunds }
	if _, err := component.Decide(ctx, b.client, account, bad); !errors.Is(err, errFunds) {
		t.Error(err)
	}
	if _, err := component.Decide(ctx, b.client, account, component.Decider[int]{}); !errors.Is(err, component.ErrConfig) {
		t.Error(err)
	}

	own := withdrawing(1, nil)
	own.Decide = func(int) (*codec.Append, error) {
		return &codec.Append{Kind: kind, Data: []byte{1}, Unless: &codec.Selection{Entity: "alice"}}, nil
	}
	if out, err := component.Decide(ctx, b.client, account, own); !errors.Is(err, component.ErrConflict) || errors.Is(err, component.ErrContended) || out.Attempts != 1 {
		t.Errorf("%+v, %v", out, err)
	}

	ended, end := context.WithCancel(ctx)
	stop := withdrawing(1, func(int) { add(t, ctx, b.client, account, -1); end() })
	if _, err := component.Decide(ended, b.client, account, stop); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// An event of an older schema is read as the newest type, from the node as from anywhere else.
func TestOldEventsAreReadThroughUpcasts(t *testing.T) {
	b := serve(t, noOnward)
	ctx := soon(t)
	type cents struct{ Cents int }
	type money struct {
		Minor    int
		Currency string
	}
	var old, now codec.Registry
	if err := errors.Join(
		codec.Register[cents](&old, kind, 1),
		codec.Register[cents](&now, kind, 1), codec.Register[money](&now, kind, 2),
		codec.Upcast(&now, func(c cents) (money, error) { return money{c.Cents, "EUR"}, nil }), now.Check(),
	); err != nil {
		t.Fatal(err)
	}
	must(component.Append(ctx, b.client, &old, at("s", "e"), cents{5}))(t)
	must(component.Append(ctx, b.client, &now, at("s", "e"), money{7, "GBP"}))(t)
	var got []money
	for ev, err := range b.client.Read(ctx, codec.Selection{Scope: "s"}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, must(codec.Decode[money](&now, &ev, ev.Data))(t))
	}
	if fmt.Sprint(got) != "[{5 EUR} {7 GBP}]" {
		t.Errorf("%v", got)
	}
	newest := must(b.client.GetSeq(ctx, 2))(t)
	if _, err := codec.Decode[cents](&old, &newest, newest.Data); !errors.Is(err, codec.ErrNewerSchema) {
		t.Error(err)
	}
}
