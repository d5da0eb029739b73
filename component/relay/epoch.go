package relay

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"batpak/codec"

	"github.com/nats-io/nats.go"
)

const (
	shortPause = 10 * time.Millisecond // between epochs, when the last one got something done
	longPause  = 2 * time.Second       // what the pause grows to
	askWait    = 5 * time.Second       // for each thing that is asked of the server
	scanBytes  = 1 << 20               // read from the journal at a time
	// expectedHeader makes the server store a message only behind the message that it names.
	expectedHeader = "Nats-Expected-Last-Sequence"
)

// errFull ends a scan when there is no more room.
var errFull = errors.New("no room")

// run has epoch follow epoch. It returns why that ended: nil when ctx did.
func (r *Relay) run(ctx context.Context) error {
	pause := shortPause
	for {
		before := r.Published()
		err := r.runEpoch(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if final(err) {
			return err
		}
		if r.Published() > before {
			pause = shortPause
		} else {
			pause = min(2*pause, longPause)
		}
		r.retry(err)
		// Two relays that get into each other's way must not do so in step.
		if !sleep(ctx, pause/2+rand.N(pause/2)) {
			return nil
		}
	}
}

func (r *Relay) retry(err error) {
	r.mu.Lock()
	r.state.Phase, r.state.Err = Retrying, err
	r.mu.Unlock()
	r.log.Warn("relay starts again from where the stream stands", "stream", r.config.Stream, "reason", err)
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// runEpoch asks the stream where it stands and publishes from there until something is out of
// order. It returns what.
func (r *Relay) runEpoch(ctx context.Context) error {
	if err := r.connected(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	r.epoch++
	f := &flight{
		reply:  r.inbox + "." + strconv.FormatUint(r.epoch, 10),
		cancel: cancel,
		room:   make(chan struct{}, 1),
		sizes:  make([]uint32, r.config.MaxPending),
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		r.watch(ctx, f)
	}()
	defer func() {
		cancel(nil)
		<-watched
	}()

	at, err := r.stand(ctx)
	if err == nil {
		r.takeOff(f, at)
		err = r.publish(ctx, f)
		r.land()
	}
	if cause := context.Cause(ctx); cause != nil && !final(err) {
		return cause // err is only what became of it
	}
	return err
}

// connected waits until there is a connection: what is published without one piles up in the
// client, and would come too late anyway.
func (r *Relay) connected(ctx context.Context) error {
	for {
		for drained := false; !drained; { // older changes: the status now is what counts
			select {
			case <-r.status:
			default:
				drained = true
			}
		}
		switch r.conn.Status() {
		case nats.CONNECTED:
			return nil
		case nats.CLOSED:
			return fmt.Errorf("relay: %w", nats.ErrConnectionClosed)
		case nats.DRAINING_SUBS, nats.DRAINING_PUBS:
			return fmt.Errorf("relay: %w", nats.ErrConnectionDraining)
		}
		select {
		case <-r.status:
		case <-time.After(longPause): // the listener's channel drops changes when it is full
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watch ends the epoch when acknowledgements stay away or the connection is lost. It is a
// goroutine that runs as long as the epoch.
func (r *Relay) watch(ctx context.Context, f *flight) {
	const looks = 4 // within AckWait
	tick := time.NewTicker(max(r.config.AckWait/looks, time.Millisecond))
	defer tick.Stop()
	var acked uint64
	idle := 0
	for {
		select {
		case <-ctx.Done():
			return
		case status := <-r.status:
			if status != nats.CONNECTED {
				f.cancel(errDisconnected)
				return
			}
		case <-tick.C:
			r.mu.Lock()
			pending, now := f.pending(), f.acked
			r.mu.Unlock()
			if idle++; pending == 0 || now != acked {
				idle = 0
			}
			acked = now
			if idle >= looks {
				f.cancel(errAckMissing)
				return
			}
		}
	}
}

// publish publishes event after event and does not return without an error. Acknowledgements
// are taken in by acknowledged, which ends ctx when one is not what it should be.
func (r *Relay) publish(ctx context.Context, f *flight) error {
	p := publisher{relay: r, flight: f, expected: make([]string, 1)}
	p.msg.Reply = f.reply
	p.msg.Header = nats.Header{expectedHeader: p.expected}
	next := f.sent + 1 // only this goroutine changes sent
	for {
		if err := r.source.Wait(ctx, next); err != nil {
			return fmt.Errorf("relay: wait for event %d: %w", next, err)
		}
		messages, bytes, err := r.waitRoom(ctx, f)
		if err != nil {
			return err
		}
		p.next, p.room = next, messages
		_, err = r.source.Scan(ctx, next-1, min(bytes, scanBytes), p.visit)
		if p.err != nil && p.err != errFull {
			return p.err
		}
		if p.err == nil && err != nil {
			return fmt.Errorf("relay: read from event %d: %w", next, err)
		}
		if p.next == next {
			return fmt.Errorf("relay: event %d is visible and was not read", next)
		}
		next, p.err = p.next, nil
	}
}

// publisher publishes what a scan visits. The message is reused: the connection has copied it
// when PublishMsg returns.
type publisher struct {
	relay    *Relay
	flight   *flight
	msg      nats.Msg
	expected []string // the value of the header that never is absent
	next     uint64
	room     int
	err      error // why visit ended the scan
}

func (p *publisher) visit(seq uint64, envelope []byte) error {
	if p.room == 0 {
		p.err = errFull
		return p.err
	}
	if err := p.one(seq, envelope); err != nil {
		p.err = fmt.Errorf("relay: publish event %d: %w", seq, err)
		return p.err
	}
	return nil
}

func (p *publisher) one(seq uint64, envelope []byte) error {
	if seq != p.next {
		return fmt.Errorf("the journal gave it in place of %d", p.next)
	}
	route, err := codec.DecodeRoute(envelope)
	if err != nil {
		return err
	}
	r := p.relay
	p.msg.Subject = r.subject.of(&route)
	p.msg.Data = envelope
	p.expected[0] = strconv.FormatUint(seq-1, 10)
	if codec.ValidTraceparent(route.Traceparent) {
		p.msg.Header[codec.MetaTraceparent] = []string{string(route.Traceparent)}
	} else if len(p.msg.Header) > 1 {
		delete(p.msg.Header, codec.MetaTraceparent)
	}
	r.mu.Lock()
	p.flight.add(len(envelope))
	r.mu.Unlock()
	if err := r.conn.PublishMsg(&p.msg); err != nil {
		return err
	}
	p.next++
	p.room--
	return nil
}
