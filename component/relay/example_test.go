package relay_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"batpak/causal"
	"batpak/component/journal"
	"batpak/component/relay"
	"batpak/faultfs"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A journal's events, onward in JetStream.
func Example() {
	dir, err := os.MkdirTemp("", "batpak")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	// A server of our own; any other with JetStream will do.
	srv, err := server.NewServer(&server.Options{Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir + "/jetstream", NoLog: true, NoSigs: true})
	if err != nil {
		log.Fatal(err)
	}
	srv.Start()
	defer srv.Shutdown()
	nc, err := nats.Connect(srv.ClientURL())
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()

	// A journal, used from Go.
	if err := os.Mkdir(dir+"/journal", 0o700); err != nil {
		log.Fatal(err)
	}
	root, err := os.OpenRoot(dir + "/journal")
	if err != nil {
		log.Fatal(err)
	}
	defer root.Close()
	j, err := journal.Open(ctx, faultfs.Dir(root), journal.Options{Name: "orders"})
	if err != nil {
		log.Fatal(err)
	}
	defer j.Close()

	r, err := relay.Start(ctx, relay.Config{Journal: j, Conn: nc})
	if err != nil {
		log.Fatal(err)
	}
	receipts, err := j.Append(ctx, &journal.Batch{Events: []journal.Append{{
		Coordinate: causal.Coordinate{Scope: "shop", Entity: "order.17"},
		Kind:       0x1001,
		Data:       []byte{0xa6, 'p', 'l', 'a', 'c', 'e', 'd'},
	}}})
	if err != nil {
		log.Fatal(err)
	}
	if err := r.Wait(ctx, receipts[0].Seq); err != nil {
		log.Fatal(err)
	}
	fmt.Println("published", r.Published())

	js, err := jetstream.New(nc)
	if err != nil {
		log.Fatal(err)
	}
	stream, err := js.Stream(ctx, "BATPAK_ORDERS")
	if err != nil {
		log.Fatal(err)
	}
	m, err := stream.GetMsg(ctx, 1)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Subject, causal.HashEnvelope(m.Data) == receipts[0].Hash)

	if err := r.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// published 1
	// batpak.orders.events.shop.order%2E17.1001 true
}
