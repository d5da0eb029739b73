package main

import (
	"fmt"
	"math/rand/v2"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/projection"
	"batpak/gates"

	"github.com/vmihailenco/msgpack/v5"
)

// The demo's journal is that of a shop: scope "shop", one entity per customer.
const shop = "shop"

// deposited is money that a customer paid in.
type deposited struct {
	Cents int64 `msgpack:"cents"`
}

// ordered is an order that the customer's balance pays for.
type ordered struct {
	Item  string `msgpack:"item"`
	Cents int64  `msgpack:"cents"`
}

// moved is where a customer lives: personal data, sealed under a key of the customer's own.
type moved struct {
	Name   string `msgpack:"name"`
	Street string `msgpack:"street"`
}

const (
	kindDeposited causal.Kind = 0x1001
	kindOrdered   causal.Kind = 0x1002
	kindMoved     causal.Kind = 0x2001
)

// shopTypes says which kind is which type.
func shopTypes() (*codec.Registry, error) {
	r := new(codec.Registry)
	for _, err := range []error{
		codec.Register[deposited](r, kindDeposited, 1),
		codec.Register[ordered](r, kindOrdered, 1),
		codec.Register[moved](r, kindMoved, 1),
	} {
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

// cents is what an event does to its customer's balance.
func cents(kind causal.Kind, payload []byte) (int64, error) {
	switch kind {
	case kindDeposited:
		var d deposited
		err := msgpack.Unmarshal(payload, &d)
		return d.Cents, err
	case kindOrdered:
		var o ordered
		err := msgpack.Unmarshal(payload, &o)
		return -o.Cents, err
	}
	return 0, nil
}

const balanceGate = "balance-never-below-zero"

// demoGates are the demo's rules: one, which knows a customer's balance from the customer's events.
func demoGates() (*gates.Chain, error) {
	return gates.NewChain(gates.Fold(balanceGate,
		func(balance int64, e gates.Event) (int64, error) {
			c, err := cents(e.Header.Kind, e.Payload)
			return balance + c, err
		},
		func(balance int64, p *gates.Proposal) *gates.Denial {
			c, err := cents(p.Header.Kind, p.Data)
			switch {
			case err != nil:
				return &gates.Denial{Code: "malformed", Message: "not a deposit or an order", Err: err}
			case balance+c < 0:
				return &gates.Denial{
					Code:    "insufficient_funds",
					Message: fmt.Sprintf("%s are there, %s are needed", money(balance), money(-c)),
					Details: map[string]any{"balance_cents": balance, "needed_cents": -c},
				}
			}
			return nil
		}))
}

// books is the state of the demo's projection.
type books struct {
	Accounts map[string]account `msgpack:"accounts"`
}

type account struct {
	Orders  int   `msgpack:"orders"`
	Balance int64 `msgpack:"balance"`
}

func newBooks() books { return books{Accounts: map[string]account{}} }

// fold takes an event of the onward stream into the books.
func (b *books) fold(e projection.Event) error {
	c, err := cents(e.Kind, e.Payload)
	if err != nil || c == 0 {
		return err
	}
	a := b.Accounts[e.Entity]
	a.Balance += c
	if e.Kind == kindOrdered {
		a.Orders++
	}
	b.Accounts[e.Entity] = a
	return nil
}

// money is an amount for people.
func money(cents int64) string {
	sign := ""
	if cents < 0 {
		sign, cents = "-", -cents
	}
	return fmt.Sprintf("%s%s.%02d", sign, grouped(uint64(cents/100)), cents%100)
}

// customers of the shop. The last one has little.
var customers = []string{"ada", "bo", "cy", "di", "eli", "fay", "gus", "mo"}

const (
	muchMoney   = 10_000_00 // cents
	littleMoney = 20_00
)

var items = []string{"tea", "rice", "lamp", "rope", "book", "kettle", "paint", "chair"}

// orders makes n orders of those customers who have much. The same seed makes the same orders.
func orders(seed uint64, n int) (at []causal.Coordinate, what []ordered) {
	random := rand.New(rand.NewPCG(seed, 1))
	for range n {
		at = append(at, customer(customers[random.IntN(len(customers)-1)]))
		what = append(what, ordered{Item: items[random.IntN(len(items))], Cents: 100 + random.Int64N(1900)})
	}
	return at, what
}

func customer(name string) causal.Coordinate { return causal.Coordinate{Scope: shop, Entity: name} }
