package gates_test

import (
	"fmt"
	"time"

	"batpak/causal"
	"batpak/gates"
)

// Gates that need no code: a limit for payloads, kinds for each scope, a payment that names what
// it pays for, and a rate for guests alone.
func Example_rules() {
	chain, err := gates.NewChain(
		gates.MaxSize("size", 4096),
		gates.AllowKinds("kinds",
			gates.KindRule{Scope: "guest-*", Kinds: []gates.KindRange{gates.OneKind(0x1001)}},
			gates.KindRule{Scope: "*", Kinds: []gates.KindRange{gates.Category(1), gates.Category(2)}}),
		gates.When(gates.Match{Kinds: []gates.KindRange{gates.OneKind(0x2001)}}, gates.RequireCauses("paid-for", 1)),
		gates.When(gates.Match{Scopes: []gates.Pattern{"guest-*"}}, gates.MaxRate("guests", gates.Rate{Events: 1, Per: time.Minute})),
	)
	if err != nil {
		panic(err)
	}
	seq := uint64(1)
	for _, e := range []struct {
		scope string
		kind  causal.Kind
	}{{"guest-1", 0x1001}, {"guest-1", 0x1001}, {"guest-1", 0x2001}, {"shop", 0x2001}, {"shop", 0x1001}} {
		_, err := chain.Judge(&gates.Proposal{Header: causal.Header{
			Coordinate: causal.Coordinate{Scope: e.scope, Entity: "basket"}, Kind: e.kind,
			Seq: seq, Time: causal.HLC{Millis: 1_800_000_000_000},
		}}, nil)
		fmt.Println(err)
		if err == nil {
			seq++
		}
	}
	// Output:
	// <nil>
	// gates: guests: rate_exceeded: guest-1 has had its 1 events in 1m0s
	// gates: kinds: kind_not_allowed: kind 0x2001 is not allowed in scope guest-1
	// gates: paid-for: causes_missing: the event names 0 of the causes that count, and needs 1
	// <nil>
}
