package component_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"
)

// Reserved is the payload of a reservation of seats.
type Reserved struct{ Seats int }

// A show has ten seats. The rule is the client's: the node has no gate for it, and yet no two clients
// can reserve the last seats.
func ExampleDecide() {
	nc, stop := connectToServer()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "batpak")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	node, err := component.Open(ctx, component.Config{Conn: nc, Dir: dir, Name: "seats", Onward: component.OnwardNone})
	if err != nil {
		log.Fatal(err)
	}
	defer node.Drain(ctx)
	client, err := component.NewClient(nc, component.ClientOptions{Journal: "seats"})
	if err != nil {
		log.Fatal(err)
	}
	var types codec.Registry
	if err := codec.Register[Reserved](&types, 0x1001, 1); err != nil {
		log.Fatal(err)
	}

	show := causal.Coordinate{Scope: "theatre", Entity: "show-1"}
	errFull := errors.New("not that many seats are left")
	reserve := func(seats int) component.Decider[int] {
		return component.Decider[int]{
			Fold: func(taken int, e component.Opened) (int, error) {
				r, err := codec.Decode[Reserved](&types, &e.Event, e.Payload)
				return taken + r.Seats, err
			},
			Decide: func(taken int) (*codec.Append, error) {
				if taken+seats > 10 {
					return nil, errFull
				}
				kind, schema, data, err := types.Encode(Reserved{seats})
				return &codec.Append{Kind: kind, Schema: schema, Data: data}, err
			},
		}
	}
	for _, seats := range []int{6, 3, 2, 1} {
		out, err := component.Decide(ctx, client, show, reserve(seats))
		fmt.Println(seats, "when", out.State, "are taken:", out.Appended, err)
	}
	// Output:
	// 6 when 0 are taken: true <nil>
	// 3 when 6 are taken: true <nil>
	// 2 when 9 are taken: false not that many seats are left
	// 1 when 9 are taken: true <nil>
}
