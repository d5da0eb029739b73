package projection_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/component/projection"
	"batpak/component/relay"
	"batpak/faultfs"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Deposited is the payload of an account's events.
type Deposited struct {
	Amount int64 `msgpack:"amount"`
}

const deposited causal.Kind = 0x1001

// Balances of accounts, folded from the events of a journal, with a checkpoint in a file.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	j, js, home := bank(ctx)

	// The projection: what the state is, and what an event does to it.
	var registry codec.Registry
	if err := codec.Register[Deposited](&registry, deposited, 1); err != nil {
		log.Fatal(err)
	}
	type balances map[string]int64
	p, err := projection.New(projection.Config[balances]{
		JetStream: js,
		Stream:    "BATPAK_BANK",
		Store:     projection.NewFileStore(home, "balances"),
		New:       func() balances { return balances{} },
		Fold: func(b *balances, e projection.Event) error {
			if e.Kind == deposited {
				d, err := codec.Decode[Deposited](&registry, &e.Event, e.Payload)
				if err != nil {
					return err
				}
				(*b)[e.Entity] += d.Amount
			}
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error)
	go func() { ended <- p.Run(running) }()

	// Who has appended may wait for what they appended.
	var last uint64
	for _, amount := range []int64{100, 20, 3} {
		kind, schema, data, err := registry.Encode(Deposited{Amount: amount})
		if err != nil {
			log.Fatal(err)
		}
		receipts, err := j.Append(ctx, &journal.Batch{Events: []journal.Append{{
			Coordinate: causal.Coordinate{Scope: "bank", Entity: "alice"}, Kind: kind, Schema: schema, Data: data,
		}}})
		if err != nil {
			log.Fatal(err)
		}
		last = receipts[0].Seq
	}
	if err := p.Wait(ctx, last); err != nil {
		log.Fatal(err)
	}
	p.View(func(b *balances) { fmt.Println("alice has", (*b)["alice"], "after event", last) })

	stop()
	if err := <-ended; err != nil {
		log.Fatal(err)
	}
	// Output: alice has 123 after event 3
}

// bank starts a server, a journal and its relay, in a folder that is left to the system.
func bank(ctx context.Context) (*journal.Journal, jetstream.JetStream, faultfs.FS) {
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
	root, err := os.OpenRoot(dir)
	if err != nil {
		log.Fatal(err)
	}
	home := faultfs.Dir(root)
	if err := home.Mkdir("journal", 0o700); err != nil {
		log.Fatal(err)
	}
	j, err := journal.Open(ctx, faultfs.Sub(home, "journal"), journal.Options{Name: "bank"})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := relay.Start(ctx, relay.Config{Journal: j, Conn: nc}); err != nil {
		log.Fatal(err)
	}
	return j, js, home
}
