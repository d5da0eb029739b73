package component_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"
	"batpak/component/bench"
	"batpak/component/journal"
	"batpak/keystore"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/nats-io/nkeys"
)

func keyPair(t testing.TB, n byte) (journal.Signer, string) {
	t.Helper()
	seed, err := nkeys.EncodeSeed(nkeys.PrefixByteServer, bytes.Repeat([]byte{n}, 32))
	if err != nil {
		t.Fatal(err)
	}
	s, err := journal.NewSigner(seed)
	if err != nil {
		t.Fatal(err)
	}
	public, err := s.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return s, public
}

func TestReceiptsOfANodeThatSignsHoldWithoutIt(t *testing.T) {
	pair, public := keyPair(t, 1)
	b := serve(t, noOnward, func(c *component.Config) { c.Signer = pair })
	ctx := context.Background()
	at := causal.Coordinate{Scope: "shop", Entity: "ada"}

	if st, err := b.client.Status(ctx); err != nil || st.Signer != public {
		t.Errorf("status says signer %q, %v", st.Signer, err)
	}
	msg, err := b.nc.Request("$SRV.INFO.batpak", nil, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var info micro.Info
	if err := json.Unmarshal(msg.Data, &info); err != nil || info.Metadata["signer"] != public {
		t.Errorf("metadata %v, %v", info.Metadata, err)
	}

	proved := func(what string, r codec.Receipt) {
		t.Helper()
		ev, err := b.client.Get(ctx, r.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := codec.VerifyReceipt(&r, ev.Envelope, public); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if found, err := b.client.VerifyReceipt(ctx, r); err != nil || !found.Valid {
			t.Errorf("%s: the node says %+v, %v", what, found, err)
		}
	}
	lone, err := b.client.AppendRaw(ctx, at, kind, []byte{1}, component.WithKey("k"))
	if err != nil {
		t.Fatal(err)
	}
	proved("append", lone)
	batch, err := b.client.Batch(ctx, codec.Batch{Events: []codec.Append{
		{Scope: "shop", Entity: "ada", Kind: kind, Data: []byte{2}}, {Scope: "shop", Entity: "bob", Kind: kind, Data: []byte{3}},
		{Scope: "shop", Entity: "ada", Kind: kind, Data: []byte{4}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range batch {
		proved("batch", r)
	}
	again, err := b.client.AppendRaw(ctx, at, kind, []byte{1}, component.WithKey("k"))
	if err != nil || !again.Duplicate || !reflect.DeepEqual(again.Proof, lone.Proof) {
		t.Errorf("the duplicate has %+v, %v", again, err)
	}

	ask := nats.NewMsg("batpak.main.append.shop.ada")
	ask.Header.Set("Content-Type", "application/json")
	ask.Data = []byte(`{"kind": 4097, "data": 5}`)
	if msg, err = b.nc.RequestMsg(ask, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	var r codec.Receipt
	if err := codec.Unmarshal(msg.Data, codec.JSON, &r); err != nil {
		t.Fatalf("%s: %v", msg.Data, err)
	}
	proved("append in JSON", r)
}

// The node takes no proof but that of the log: not a bent one, and not another's.
func TestVerifyRefusesAProofThatIsNotTheJournals(t *testing.T) {
	pair, public := keyPair(t, 1)
	mallory, name := keyPair(t, 2)
	b := serve(t, noOnward, func(c *component.Config) { c.Signer = pair })
	ctx := context.Background()
	r, err := b.client.AppendRaw(ctx, causal.Coordinate{Scope: "shop", Entity: "ada"}, kind, []byte{1})
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, p codec.Proof, want string) {
		t.Helper()
		r := r
		r.Proof = &p
		found, err := b.client.VerifyReceipt(ctx, r)
		if err != nil || found.Valid || !strings.Contains(found.Reason, want) {
			t.Errorf("%s: %+v, %v", what, found, err)
		}
	}
	bent := *r.Proof
	bent.Sig[0] ^= 1
	check("a bent signature", bent, "is not one of "+public)
	bent = *r.Proof
	bent.Path = append(bent.Path, causal.Hash{})
	check("a longer path", bent, "path")
	sig, err := mallory.Sign(causal.AppendRootMessage(nil, r.Lineage, 1, 1, causal.NewTree([]causal.Hash{r.Hash}).Root()))
	if err != nil {
		t.Fatal(err)
	}
	check("another signer", codec.Proof{Signer: name, First: 1, Last: 1, Sig: [64]byte(sig)}, "signed by "+public)

	if err := b.node.Close(); err != nil {
		t.Fatal(err)
	}
	b.cfg.Signer = nil
	b.open(t)
	if found, err := b.client.VerifyReceipt(ctx, r); err != nil || !found.Valid {
		t.Errorf("by a node that does not sign any more: %+v, %v", found, err)
	}
	unsigned, err := b.client.AppendRaw(ctx, causal.Coordinate{Scope: "shop", Entity: "ada"}, kind, []byte{1})
	if err != nil || unsigned.Proof != nil {
		t.Fatalf("%+v, %v", unsigned, err)
	}
	sig, err = mallory.Sign(causal.AppendRootMessage(nil, r.Lineage, 2, 2, causal.NewTree([]causal.Hash{unsigned.Hash}).Root()))
	if err != nil {
		t.Fatal(err)
	}
	r = unsigned
	check("of what is not signed", codec.Proof{Signer: name, First: 2, Last: 2, Sig: [64]byte(sig)}, "not signed")
}

// A committed batch has its reply, if need be without proofs.
func TestProofsThatDoNotFitAreLeftOut(t *testing.T) {
	pair, _ := keyPair(t, 1)
	b := serveAlone(t, noOnward, func(c *component.Config) { c.Signer = pair })
	events := make([]map[string]any, 1000)
	for i := range events {
		events[i] = map[string]any{"scope": "s", "entity": "e", "kind": kind, "data": i}
	}
	ask := nats.NewMsg("batpak.main.batch")
	ask.Header.Set("Content-Type", "application/json")
	ask.Data, _ = json.Marshal(map[string]any{"events": events})
	msg, err := b.nc.RequestMsg(ask, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var reply codec.BatchReply
	if err := codec.Unmarshal(msg.Data, codec.JSON, &reply); err != nil {
		t.Fatal(err)
	}
	if len(reply.Receipts) != 1000 || reply.Receipts[999].Proof != nil {
		t.Errorf("%d receipts, the last with %+v", len(reply.Receipts), reply.Receipts[999].Proof)
	}
}

// What signing costs over NATS, receipts with their proofs included: of a node as it is by default, which publishes its
// events onward, and of one that does not.
func BenchmarkSign(b *testing.B) {
	key, _ := keyPair(b, 1)
	for _, node := range []struct {
		name   string
		onward component.Onward
	}{{"onward", component.OnwardJetStream}, {"alone", component.OnwardNone}} {
		b.Run(node.name, func(b *testing.B) {
			plain := func(c *component.Config) { c.Onward = node.onward }
			takeTurns(b, "plain", "signed", plain, func(c *component.Config) { plain(c); c.Signer = key })
		})
	}
}

// What sealing costs over NATS, under keys that exist.
func BenchmarkSeal(b *testing.B) {
	takeTurns(b, "plain", "sealed", func(*component.Config) {}, func(c *component.Config) { c.Seal = keystore.Entity })
}

// What it costs to publish heads, a hundred times as often as by default.
func BenchmarkHeads(b *testing.B) {
	takeTurns(b, "without", "heads",
		func(c *component.Config) { c.Heads = component.NoHeads }, func(c *component.Config) { c.Heads = component.DefaultHeads / 100 })
}

// takeTurns loads two nodes in turns, so that both have the same disk and the same moments. It reports the median turn of
// each, and the median share of a turn of the other in the turn of the one beside it.
func takeTurns(b *testing.B, one, other string, tweakOne, tweakOther func(*component.Config)) {
	url := startServer(b)
	const turns, count = 40, 6_000
	rates := map[string][]float64{}
	caughtUp := map[string]func(){}
	requests := map[string]bench.Requests{}
	conns, err := bench.Connect(url, 4)
	if err != nil {
		b.Fatal(err)
	}
	defer bench.Disconnect(conns)
	request, err := codec.Marshal(nil, codec.Msgpack, &codec.Append{Kind: kind, Data: append([]byte{0xc4, 253}, make([]byte, 253)...)})
	if err != nil {
		b.Fatal(err)
	}
	for name, tweak := range map[string]func(*component.Config){one: tweakOne, other: tweakOther} {
		cfg := component.Config{
			Conn: connect(b, url), Dir: b.TempDir(), Name: name, Onward: component.OnwardNone, Heads: component.NoHeads,
			Logger: slog.New(slog.DiscardHandler),
		}
		tweak(&cfg)
		node, err := component.Open(context.Background(), cfg)
		if err != nil {
			b.Fatal(err)
		}
		defer node.Close()
		caughtUp[name] = func() {
			for s := node.Status(); cfg.Onward == component.OnwardJetStream && s.Published < s.Head; s = node.Status() {
				time.Sleep(time.Millisecond)
			}
		}
		requests[name] = bench.Requests{Conns: conns, Next: func(slot int, n uint64) (string, []byte) {
			return fmt.Sprintf("batpak.%s.append.shop.order-%d", name, (uint64(slot)+n*7)%1000), request
		}}
	}
	for turn := range 2 * turns {
		name := one
		if turn%4 == 1 || turn%4 == 2 {
			name = other
		}
		row, err := bench.Load{Name: name, Inflight: 256, Count: count}.Requests(context.Background(), requests[name])
		if err != nil || row.Errors > 0 {
			b.Fatal(err, row.Err)
		}
		rates[name] = append(rates[name], row.OpsPerS)
		caughtUp[name]() // what is left to publish is not for the other's turn
	}
	shares := make([]float64, turns)
	for i := range shares {
		shares[i] = rates[other][i] / rates[one][i]
	}
	for _, x := range [][]float64{rates[one], rates[other], shares} {
		slices.Sort(x)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(rates[one][turns/2], one+"/s")
	b.ReportMetric(rates[other][turns/2], other+"/s")
	b.ReportMetric(100*shares[turns/2], "%")
}

// A reply that waits for the stream keeps its own proof, whatever is answered before it.
func TestProofsOfHeldRepliesAreTheirOwn(t *testing.T) {
	pair, public := keyPair(t, 1)
	b := serve(t, func(c *component.Config) { c.Signer = pair })
	ctx := soon(t)
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() {
			var option []component.AppendOption
			if i%3 > 0 {
				option = append(option, component.AckStream())
			}
			r, err := b.client.AppendRaw(ctx, at("s", "e"), kind, []byte{1}, option...)
			if err != nil || r.Proof == nil || r.Proof.Signer != public {
				t.Errorf("%+v, %v", r, err)
				return
			}
			if err := r.Proof.Verify(r.Lineage, r.Seq, r.Hash); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
