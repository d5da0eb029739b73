package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"
)

// receipts are those of all appends that were acknowledged.
type receipts struct {
	mu     sync.Mutex // guards all
	all    []codec.Receipt
	newest codec.Receipt
}

func (r *receipts) add(receipt codec.Receipt) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, receipt)
	if receipt.Seq > r.newest.Seq {
		r.newest = receipt
	}
	return len(r.all)
}

func (r *receipts) last() codec.Receipt {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.newest
}

func (r *receipts) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.all)
}

// order is one that was sent.
type order struct {
	key  string
	at   causal.Coordinate
	what ordered
	err  error
}

// place sends n orders, with keys, many at a time. After each acknowledgement it calls acked with
// how many there were. It returns the orders that got no answer; a refusal is an error.
func (d *demo) place(ctx context.Context, name string, seed uint64, n, inflight int, acked func(count int)) (unanswered []order, err error) {
	at, what := orders(seed, n)
	feeding, stop := context.WithCancel(ctx) // ends with the first order that gets no answer
	defer stop()
	next := make(chan int)
	var mu sync.Mutex // guards unanswered, err and done
	done := 0
	var workers sync.WaitGroup
	for range inflight {
		workers.Go(func() { // ends when next is closed
			for i := range next {
				o := order{key: fmt.Sprintf("%s-%d", name, i+1), at: at[i], what: what[i]}
				var r codec.Receipt
				r, o.err = component.Append(ctx, d.client, d.types, o.at, o.what, component.WithKey(o.key))
				var refusal *component.Error
				mu.Lock()
				switch {
				case o.err == nil:
					d.acked.add(r)
					if done++; acked != nil {
						acked(done)
					}
				case errors.As(o.err, &refusal):
					err = o.err
				default:
					unanswered = append(unanswered, o)
					stop()
				}
				mu.Unlock()
			}
		})
	}
	for i := range n {
		select {
		case next <- i:
			continue
		case <-feeding.Done():
		}
		break
	}
	close(next)
	workers.Wait()
	return unanswered, err
}

// crash is step 5.
func (d *demo) crash(ctx context.Context) error {
	if err := d.title("SIGKILL while orders come in, and a reopen"); err != nil {
		return err
	}
	// Orders come until the node is gone; what has no answer then will get none.
	const enough, plenty, inflight = 300, 100_000, 64
	loading, cancel := context.WithCancel(ctx)
	defer cancel()
	killed := make(chan error, 1)
	kill := func(count int) {
		if count == enough {
			go func() {
				killed <- d.node.kill()
				cancel()
			}()
		}
	}
	before := d.acked.count()
	unanswered, err := d.place(loading, "late-order", 2, plenty, inflight, kill)
	if err != nil {
		return err
	}
	select {
	case err := <-killed:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := d.say("killed after %d more were acknowledged, with %d on their way", d.acked.count()-before, len(unanswered)); err != nil {
		return err
	}
	if err := d.restart(ctx); err != nil {
		return err
	}
	if err := d.compare(ctx); err != nil {
		return err
	}
	if err := d.repeat(ctx, unanswered); err != nil {
		return err
	}
	return d.showBalances(ctx)
}

// restart starts the node again, at the address that it had.
func (d *demo) restart(ctx context.Context) error {
	address, err := url.Parse(d.node.url)
	if err != nil {
		return err
	}
	d.node.close()
	select {
	case <-d.again: // from before
	default:
	}
	began := time.Now()
	node, err := startChild(ctx, d.home, address.Host)
	if err != nil {
		return err
	}
	d.node = node
	took := time.Since(began)
	select {
	case <-d.again:
	case <-ctx.Done():
		return ctx.Err()
	}
	return d.say("opened again in %s: process %d", brief(took), node.cmd.Process.Pid)
}

// compare looks for every event that was acknowledged.
func (d *demo) compare(ctx context.Context) error {
	found := map[causal.EventID]causal.Hash{}
	for ev, err := range d.client.Read(ctx, codec.Selection{Limit: codec.MaxLimit}) {
		if err != nil {
			return err
		}
		found[ev.ID] = ev.Hash
	}
	for _, r := range d.acked.all {
		if hash, ok := found[r.ID]; !ok || hash != r.Hash {
			return fmt.Errorf("event %d (%s) was acknowledged and is lost", r.Seq, r.ID)
		}
	}
	return d.say("acknowledged so far: %d; found again with the same hash: %d; lost: 0", d.acked.count(), d.acked.count())
}

// repeat sends again what got no answer: the key tells the node what it has already.
func (d *demo) repeat(ctx context.Context, unanswered []order) error {
	there, now := 0, 0
	for _, o := range unanswered {
		r, err := component.Append(ctx, d.client, d.types, o.at, o.what, component.WithKey(o.key))
		if err != nil {
			return err
		}
		d.acked.add(r)
		if r.Duplicate {
			there++
		} else {
			now++
		}
	}
	return d.say("the %d without an answer are sent again, with their keys: %d had been kept, %d are new, none is there twice", len(unanswered), there, now)
}
