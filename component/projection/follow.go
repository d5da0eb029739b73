package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"batpak/causal"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	most       = 256             // messages that are folded under one lock, but always a whole batch
	pullBytes  = 16 << 20        // on the way from the server at most, about
	pullCount  = 2048            // messages, likewise
	heartbeat  = 5 * time.Second // how often a server with nothing to send says so
	askWait    = 5 * time.Second // for each thing that is asked of the server
	shortPause = 20 * time.Millisecond
	longPause  = 2 * time.Second
)

// message is what a consumer delivered.
type message struct {
	seq      uint64 // in the stream
	delivery uint64 // the consumer's own count, from 1
	subject  string
	data     []byte
}

// follow reads and folds until ctx ends, which is no error, or something is wrong. A consumer
// is read until there is trouble with it; then comes a new one, which begins at the last event
// that was taken in.
func (p *Projection[S]) follow(ctx context.Context) error {
	pause := shortPause
	for {
		before := p.Seq()
		err := p.consume(ctx)
		var passed *passingError
		switch {
		case ctx.Err() != nil && (err == nil || errors.As(err, &passed) || errors.Is(err, ctx.Err())):
			return nil
		case !errors.As(err, &passed):
			return err
		}
		if p.Seq() > before {
			pause = shortPause
		} else {
			pause = min(2*pause, longPause)
		}
		p.log.Warn("projection starts reading again", "stream", p.config.Stream, "after", p.Seq(), "reason", passed.err)
		if !sleep(ctx, pause) {
			return nil
		}
	}
}

// passingError is a reason to begin with a new consumer.
type passingError struct{ err error }

func (e *passingError) Error() string { return e.err.Error() }
func (e *passingError) Unwrap() error { return e.err }

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

// connected waits for a connection and returns a context that ends, with a *passingError, as
// soon as that is lost. A server that was restarted has forgotten its consumers, and a stream
// may have been replaced while nobody was connected, so every connection is a new beginning.
// The status changes are watched by a goroutine that ends with stop.
func (p *Projection[S]) connected(ctx context.Context) (on context.Context, stop func(), err error) {
	conn := p.config.JetStream.Conn()
	status := conn.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.CLOSED)
	for !conn.IsConnected() {
		if conn.IsClosed() {
			err = p.trouble(nats.ErrConnectionClosed)
		}
		select {
		case <-status:
		case <-time.After(longPause): // a change may have come before the listener
		case <-ctx.Done():
			err = &passingError{ctx.Err()}
		}
		if err != nil {
			conn.RemoveStatusListener(status)
			return nil, nil, err
		}
	}
	on, lost := context.WithCancelCause(ctx)
	go func() {
		defer conn.RemoveStatusListener(status)
		for {
			select {
			case s := <-status:
				if s != nats.CONNECTED {
					lost(p.trouble(nats.ErrDisconnected))
				}
			case <-on.Done():
				return
			}
		}
	}()
	return on, func() { lost(nil) }, nil
}

// consume reads from one consumer. It returns a *passingError when another may do better.
func (p *Projection[S]) consume(ctx context.Context) (err error) {
	on, stop, err := p.connected(ctx)
	if err != nil {
		return err
	}
	defer stop()
	defer func() {
		if cause := context.Cause(on); cause != nil && ctx.Err() == nil {
			if passed := (*passingError)(nil); err == nil || errors.As(err, &passed) {
				err = cause // what happened is only what became of it
			}
		}
	}()
	stream, err := p.stream(on)
	if err != nil {
		return err
	}
	asking, cancel := context.WithTimeout(on, askWait)
	cons, err := stream.CreateConsumer(asking, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		// At the last event, to see that it is still the same; at 1 when there is none.
		OptStartSeq:       max(p.run.tip().seq, 1),
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: time.Minute, // when it is not deleted below
	})
	cancel()
	if err != nil {
		return p.trouble(err)
	}
	defer func() {
		if passed := (*passingError)(nil); errors.As(err, &passed) || !p.config.JetStream.Conn().IsConnected() {
			return // there is trouble with the server already
		}
		deleting, cancel := context.WithTimeout(context.WithoutCancel(ctx), askWait)
		defer cancel()
		_ = stream.DeleteConsumer(deleting, cons.CachedInfo().Name)
	}()

	// The callbacks run on goroutines of the connection. They end with the consumer, or with
	// this call, whichever is first.
	ended := make(chan struct{})
	defer close(ended)
	messages := make(chan message, most)
	broken := make(chan error, 1)
	broke := func(err error) {
		select {
		case broken <- err:
		default: // the first reason is enough
		}
	}
	reading, err := cons.Consume(func(m jetstream.Msg) {
		meta, err := m.Metadata()
		if err != nil {
			broke(err)
			return
		}
		select {
		case messages <- message{meta.Sequence.Stream, meta.Sequence.Consumer, m.Subject(), m.Data()}:
		case <-ended:
		}
	},
		jetstream.PullMaxMessagesWithBytesLimit(pullCount, p.pullBytes()),
		jetstream.PullHeartbeat(heartbeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { broke(err) }))
	if err != nil {
		return p.trouble(err)
	}
	defer reading.Stop()

	return p.read(ctx, on, messages, broken)
}

// pullBytes is the limit of a pull request: never so small that a message does not fit.
func (p *Projection[S]) pullBytes() int {
	return max(pullBytes, 2*int(p.config.JetStream.Conn().MaxPayload()))
}

// stream looks at the stream and its metadata.
func (p *Projection[S]) stream(ctx context.Context) (jetstream.Stream, error) {
	asking, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	stream, err := p.config.JetStream.Stream(asking, p.config.Stream)
	if err != nil {
		return nil, p.trouble(err) // a stream that is missing may come
	}
	if named := stream.CachedInfo().Config.Metadata["batpak.lineage"]; named != "" {
		lineage, err := causal.ParseLineage(named)
		if p.run.lineage.IsZero() {
			p.run.lineage = lineage
		}
		if err != nil || lineage != p.run.lineage {
			return nil, fmt.Errorf("projection: stream %s is of %s, not %s: %w", p.config.Stream, named, p.run.lineage, ErrLineage)
		}
	}
	return stream, nil
}

// trouble sorts an error of the connection: what is closed stays so, anything else may pass.
func (p *Projection[S]) trouble(err error) error {
	err = fmt.Errorf("projection: stream %s: %w", p.config.Stream, err)
	if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrConnectionDraining) || p.config.JetStream.Conn().IsClosed() {
		return err
	}
	return &passingError{err}
}

// read takes in messages until something ends that: ctx, the connection, or an error.
func (p *Projection[S]) read(ctx, on context.Context, messages <-chan message, broken <-chan error) error {
	idle := time.NewTimer(p.config.Idle)
	defer idle.Stop()
	delivered := uint64(0)
	for {
		select {
		case <-on.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return context.Cause(on)
		case m := <-messages:
			if err := p.receive(ctx, &m, messages, &delivered); err != nil {
				return err
			}
			idle.Reset(p.config.Idle)
			// What the Store has from before an erasure still holds what was erased.
			soon := p.run.erased && len(messages) == 0
			if soon || p.run.at.seq-p.run.saved >= uint64(p.config.Every) {
				if err := p.save(ctx); err != nil {
					return err
				}
			}
		case <-idle.C:
			if err := p.save(ctx); err != nil {
				return err
			}
		case err := <-broken:
			return p.trouble(err)
		}
	}
}

// receive checks a message and those that wait behind it, and folds the whole batches among
// what is held then.
func (p *Projection[S]) receive(ctx context.Context, m *message, messages <-chan message, delivered *uint64) error {
	r := p.run
	var err error
	for n := 1; ; n++ {
		if *delivered++; m.delivery != *delivered {
			err = &passingError{fmt.Errorf("delivery %d was lost on the way", *delivered)}
			break
		}
		if err = p.place(m); err != nil || n == most {
			break
		}
		select {
		case *m = <-messages:
			continue
		default:
		}
		break
	}
	// What was good before an error is folded first.
	if n := r.whole(); n > 0 {
		if ferr := p.fold(ctx, r.held[:n]); ferr != nil {
			return ferr
		}
		r.drop(n)
	}
	return err
}

// place takes a message in when it is the next one. What a consumer delivers first may be the
// last event that was taken in, which must not have changed.
func (p *Projection[S]) place(m *message) error {
	r := p.run
	tip := r.tip()
	switch {
	case m.seq == tip.seq+1:
		return r.take(m)
	case m.seq > tip.seq:
		// Nothing was lost on the way, so this is the first one behind the tip that there is.
		return fmt.Errorf("projection: stream %s: event %d is needed, the next one it has is %d: %w", p.config.Stream, tip.seq+1, m.seq, ErrGap)
	case m.seq < tip.seq || m.delivery > 1:
		return &passingError{fmt.Errorf("message %d came after %d", m.seq, tip.seq)}
	}
	if hash := causal.HashEnvelope(m.data); hash != tip.hash {
		return fmt.Errorf("projection: stream %s: event %d has hash %s, and had %s: %w", p.config.Stream, m.seq, hash, tip.hash, ErrRewritten)
	}
	return nil
}
