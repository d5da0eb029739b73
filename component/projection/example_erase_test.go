package projection_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"
	"batpak/component/projection"
	"batpak/keystore"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Moved is the payload of an event about where a customer lives.
type Moved struct {
	City string `msgpack:"city"`
}

const moved causal.Kind = 0x1002

// Where customers live, from payloads that are sealed by data subject, and what becomes of
// that when a customer is erased.
func Example_erase() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, js, closeShop := shop(ctx)
	defer closeShop()
	var registry codec.Registry
	if err := codec.Register[Moved](&registry, moved, 1); err != nil {
		log.Fatal(err)
	}

	type cities map[string]string
	p, err := projection.New(projection.Config[cities]{
		JetStream: js,
		Stream:    "BATPAK_SHOP",
		New:       func() cities { return cities{} },
		// The node opens what is sealed, for whoever may ask it to.
		Open: func(ctx context.Context, sealed []causal.Event) (opened []projection.Opened, err error) {
			ids := make([]causal.EventID, len(sealed))
			for i := range sealed {
				ids[i] = sealed[i].ID
			}
			for o, err := range client.OpenIDs(ctx, ids...) {
				if err != nil {
					return nil, err
				}
				opened = append(opened, projection.Opened{State: o.State, Payload: o.Payload})
			}
			return opened, nil
		},
		Fold: func(c *cities, e projection.Event) error {
			if e.Kind != moved || e.State == causal.Shredded { // of a shredded event nothing is made
				return nil
			}
			m, err := codec.Decode[Moved](&registry, &e.Event, e.Payload)
			if err == nil {
				(*c)[e.Subject] = m.City
			}
			return err
		},
		Erase: func(c *cities, e projection.Erasure) error {
			delete(*c, e.Subject)
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error)
	go func() { ended <- p.Run(running) }()
	show := func(seq uint64) {
		if err := p.Wait(ctx, seq); err != nil {
			log.Fatal(err)
		}
		p.View(func(c *cities) { fmt.Println("after event", seq, *c) })
	}

	var last uint64
	for customer, city := range map[string]string{"customer-7": "Bern", "customer-8": "Oslo"} {
		at := causal.Coordinate{Scope: "shop", Entity: customer}
		receipt, err := component.Append(ctx, client, &registry, at, Moved{City: city}, component.WithSubject(customer))
		if err != nil {
			log.Fatal(err)
		}
		last = receipt.Seq
	}
	show(last)
	erased, err := client.Shred(ctx, codec.ShredRequest{Subject: "customer-7", Reason: "request 88"})
	if err != nil {
		log.Fatal(err)
	}
	show(erased.Receipt.Seq)

	stop()
	if err := <-ended; err != nil {
		log.Fatal(err)
	}
	// Output:
	// after event 2 map[customer-7:Bern customer-8:Oslo]
	// after event 3 map[customer-8:Oslo]
}

// shop starts a server and a node that seals by data subject.
func shop(ctx context.Context) (*component.Client, jetstream.JetStream, func()) {
	dir, err := os.MkdirTemp("", "batpak")
	if err != nil {
		log.Fatal(err)
	}
	srv, err := server.NewServer(&server.Options{Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir + "/jetstream", NoLog: true, NoSigs: true})
	if err != nil {
		log.Fatal(err)
	}
	srv.Start()
	nc, err := nats.Connect(srv.ClientURL())
	if err != nil {
		log.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		log.Fatal(err)
	}
	node, err := component.Open(ctx, component.Config{
		Conn: nc, Dir: dir + "/journal", Name: "shop", Seal: keystore.Subject, RequireSubject: true,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	client, err := component.NewClient(nc, component.ClientOptions{Journal: "shop"})
	if err != nil {
		log.Fatal(err)
	}
	return client, js, func() {
		node.Close()
		nc.Close()
		srv.Shutdown()
		srv.WaitForShutdown()
		os.RemoveAll(dir)
	}
}
