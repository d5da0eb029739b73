package gates_test

import (
	"errors"
	"fmt"
	"iter"

	"github.com/vmihailenco/msgpack/v5"

	"batpak/causal"
	"batpak/gates"
)

// Booked is the payload of the only kind of event here.
type Booked struct{ Cents int64 }

const kindBooked causal.Kind = 0x1001

// balanceNeverBelowZero is the rule: no account is ever overdrawn.
var balanceNeverBelowZero = gates.Fold("balance-never-below-zero",
	func(balance int64, e gates.Event) (int64, error) {
		var b Booked
		if err := msgpack.Unmarshal(e.Payload, &b); err != nil {
			return 0, err
		}
		return balance + b.Cents, nil
	},
	func(balance int64, p *gates.Proposal) *gates.Denial {
		var b Booked
		if err := msgpack.Unmarshal(p.Data, &b); err != nil {
			return &gates.Denial{Code: "not_a_booking", Err: err}
		}
		if balance+b.Cents < 0 {
			return &gates.Denial{
				Code:    "insufficient_funds",
				Message: "the account does not have that much",
				Details: map[string]any{"balance": balance},
			}
		}
		return nil
	})

// memory is a View of events in memory. A journal does this from its log.
type memory struct {
	streams map[causal.Stream][]gates.Event
	seq     uint64
}

func (m *memory) Head(s causal.Stream) causal.Head {
	events := m.streams[s]
	if len(events) == 0 {
		return causal.Head{}
	}
	last := &events[len(events)-1]
	return causal.Head{Seq: last.Seq, Version: last.Version, Hash: last.Hash}
}

func (m *memory) Events(s causal.Stream, after uint64) iter.Seq2[gates.Event, error] {
	return func(yield func(gates.Event, error) bool) {
		for _, e := range m.streams[s][after:] {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// append takes the permit, the only way to get at what may be appended.
func (m *memory) append(permit *gates.Permit) error {
	p, names, err := permit.Use()
	if err != nil {
		return err
	}
	e := gates.Event{Event: causal.Event{Header: p.Header, Data: p.Data}, Payload: p.Data}
	head := m.Head(e.Stream())
	m.seq++
	e.Seq, e.Version, e.Prev, e.Gates = m.seq, head.Version+1, head.Hash, names
	e.Hash = causal.HashEnvelope(append(e.Prev[:], e.Data...)) // stands for the envelope
	m.streams[e.Stream()] = append(m.streams[e.Stream()], e)
	return nil
}

func Example() {
	chain, err := gates.NewChain(balanceNeverBelowZero)
	if err != nil {
		panic(err)
	}
	journal := &memory{streams: map[causal.Stream][]gates.Event{}}

	for _, cents := range []int64{500, -300, -300} {
		data, _ := msgpack.Marshal(Booked{Cents: cents})
		p := &gates.Proposal{
			Header: causal.Header{
				Coordinate: causal.Coordinate{Scope: "bank", Entity: "alice"},
				Kind:       kindBooked,
			},
			Data: data,
		}
		permit, err := chain.Judge(p, journal)
		if denial := (*gates.Denial)(nil); errors.As(err, &denial) {
			fmt.Printf("%d: %s %v\n", cents, denial.Code, denial.Details)
			continue
		}
		fmt.Printf("%d: permitted, append: %v, again: %v\n", cents, journal.append(permit), journal.append(permit))
	}
	// Output:
	// 500: permitted, append: <nil>, again: gates: permit: already used
	// -300: permitted, append: <nil>, again: gates: permit: already used
	// -300: insufficient_funds map[balance:200]
}
