package component_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"
	"batpak/gates"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

type Ordered struct {
	Total    int    `msgpack:"total"`
	Currency string `msgpack:"currency"`
}

// A node, a client, an append, a condition that does not hold, and a read.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	nc, stop := connectToServer()
	defer stop()
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	// A rule that every append must pass.
	chain, err := gates.NewChain(gates.New("no-big-orders", func(p *gates.Proposal, _ gates.View) *gates.Denial {
		if len(p.Data) > 1000 {
			return &gates.Denial{Code: "too_big"}
		}
		return nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	node, err := component.Open(ctx, component.Config{
		Conn: nc, Dir: dir, Name: "orders", Gates: chain,
		Onward: component.OnwardNone, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer node.Drain(ctx)

	// What follows may be in another process.
	client, err := component.NewClient(nc, component.ClientOptions{Journal: "orders"})
	if err != nil {
		log.Fatal(err)
	}
	var types codec.Registry
	if err := codec.Register[Ordered](&types, 0x1001, 1); err != nil {
		log.Fatal(err)
	}
	order := causal.Coordinate{Scope: "shop", Entity: "order-1"}
	receipt, err := component.Append(ctx, client, &types, order, Ordered{Total: 1250, Currency: "EUR"},
		component.WithKey("cart-77"), component.Expect(0))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("event", receipt.Seq, "version", receipt.Version, receipt.Durable)

	// Somebody who believes that the order does not exist yet.
	_, err = component.Append(ctx, client, &types, order, Ordered{Total: 9}, component.Expect(0))
	var refused *component.Error
	if errors.As(err, &refused) {
		conflict, _ := refused.Conflict()
		fmt.Println(refused.Code, "at version", *conflict.Version)
	}

	for ev, err := range client.Read(ctx, codec.Selection{Scope: "shop"}) {
		if err != nil {
			log.Fatal(err)
		}
		ordered, err := codec.Decode[Ordered](&types, &ev, ev.Data)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ev.Coordinate, ordered.Total, ordered.Currency, "by", ev.Gates)
	}
	// Output:
	// event 1 version 1 disk
	// conflict at version 1
	// shop/order-1 1250 EUR by [no-big-orders]
}

// connectToServer starts a server in this process. A real one runs elsewhere, and nats.Connect is
// all there is to do.
func connectToServer() (nc *nats.Conn, stop func()) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		log.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		log.Fatal("the server does not start")
	}
	if nc, err = nats.Connect(s.ClientURL()); err != nil {
		log.Fatal(err)
	}
	return nc, func() { nc.Close(); s.Shutdown() }
}

// What an order led to: the graph goes from an event to those that name it as a cause, and on from them.
func ExampleClient_Graph() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	nc, stop := connectToServer()
	defer stop()
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	node, err := component.Open(ctx, component.Config{
		Conn: nc, Dir: dir, Name: "orders", Onward: component.OnwardNone, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer node.Drain(ctx)
	client, err := component.NewClient(nc, component.ClientOptions{Journal: "orders"})
	if err != nil {
		log.Fatal(err)
	}

	add := func(entity string, kind causal.Kind, causes ...causal.EventID) causal.EventID {
		a := codec.Append{Kind: kind, Data: []byte{0xc0}} // null
		for _, id := range causes {
			a.Causes = append(a.Causes, causal.Cause{ID: id})
		}
		receipt, err := client.Append(ctx, causal.Coordinate{Scope: "shop", Entity: entity}, a)
		if err != nil {
			log.Fatal(err)
		}
		return receipt.ID
	}
	ordered := add("order-7", 0x1001)
	paid := add("account-3", 0x2001, ordered)
	picked := add("stock-9", 0x3001, ordered)
	add("order-7", 0x1002, paid, picked)

	page, err := client.Graph(ctx, codec.GraphRequest{ID: ordered, Direction: codec.DirectionEffects})
	if err != nil {
		log.Fatal(err)
	}
	for _, ev := range page.Events {
		fmt.Println(ev.Seq, ev.Coordinate, ev.Kind)
	}
	var vertices []causal.Vertex
	for i := range page.Events {
		vertices = append(vertices, page.Events[i].Vertex())
	}
	graph, err := causal.NewGraph(vertices...)
	fmt.Println(len(page.Edges), page.More, graph.Concurrent(paid, picked), err)
	// Output:
	// 1 shop/order-7 0x1001
	// 2 shop/account-3 0x2001
	// 3 shop/stock-9 0x3001
	// 4 shop/order-7 0x1002
	// 4 false true <nil>
}
