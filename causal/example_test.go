package causal_test

import (
	"fmt"
	"time"

	"batpak/causal"
)

// A stream of two events, and what a changed byte does to it.
func ExampleHead() {
	envelopes := [][]byte{[]byte("the first event's bytes"), []byte("the second event's bytes")}
	coord := causal.Coordinate{Scope: "shop", Entity: "order-7"}

	var head causal.Head
	var headers []causal.Header
	for i, envelope := range envelopes {
		h := causal.Header{Coordinate: coord, Seq: uint64(i + 1), Version: head.Version + 1, Prev: head.Hash}
		headers = append(headers, h)
		head = head.Next(&h, causal.HashEnvelope(envelope))
	}

	verify := func() error {
		var head causal.Head
		for i := range headers {
			if err := head.Check(&headers[i]); err != nil {
				return err
			}
			head = head.Next(&headers[i], causal.HashEnvelope(envelopes[i]))
		}
		return nil
	}
	fmt.Println(verify())
	envelopes[0][4] = 'F'
	fmt.Println(verify() != nil)
	// Output:
	// <nil>
	// true
}

// Two nodes whose wall clocks disagree: what was received is still before what is sent.
func ExampleClock() {
	wall := func(ms int64) func() time.Time { return func() time.Time { return time.UnixMilli(ms) } }
	ahead := causal.NewClock(causal.ClockOptions{Now: wall(1500)})
	behind := causal.NewClock(causal.ClockOptions{Now: wall(1000)})

	sent := ahead.Now()
	received, err := behind.Observe(sent)
	fmt.Println(sent, received, err)

	_, err = behind.Observe(causal.HLC{Millis: 1_000_000})
	fmt.Println(err)
	// Output:
	// 1500.0 1500.1 <nil>
	// causal: clock too far ahead: 999000 ms ahead, the limit is 60000 ms
}

func ExampleIDs() {
	var ids causal.IDs
	a, b := ids.Next(1_760_000_000_000), ids.Next(1_760_000_000_000)
	fmt.Println(a.Compare(b), a.Millis(), a.String()[14:15])
	// Output: -1 1760000000000 7
}

func ExampleParseKind() {
	k, err := causal.ParseKind("0x1001")
	fmt.Println(k, k.Category(), k.Type(), k.Reserved(), err)
	// Output: 0x1001 1 1 false <nil>
}

// Two branches that were merged crosswise: neither of their last events follows from the other, and
// two events are their best common ancestors.
func ExampleGraph() {
	id := func(n byte) causal.EventID { return causal.EventID{15: n} }
	g, err := causal.NewGraph(
		causal.Vertex{ID: id(1)},
		causal.Vertex{ID: id(2), Causes: []causal.EventID{id(1)}},
		causal.Vertex{ID: id(3), Causes: []causal.EventID{id(1)}},
		causal.Vertex{ID: id(4), Causes: []causal.EventID{id(2), id(3)}},
		causal.Vertex{ID: id(5), Causes: []causal.EventID{id(3), id(2)}},
	)
	fmt.Println(err, g.HappensBefore(id(1), id(5)), g.Concurrent(id(4), id(5)))
	for _, best := range g.CommonAncestors(id(4), id(5)) {
		fmt.Println(best[15])
	}
	// Output:
	// <nil> true true
	// 2
	// 3
}
