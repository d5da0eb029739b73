package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	compareFirst    = 256     // messages at the end of the stream that are compared first
	compareMessages = 512     // fetched at a time
	compareBytes    = 4 << 20 // read at a time, of the journal and of the stream
)

// compareBack checks that the stream's messages from to to are the journal's events, those
// that the stream still has. It goes backwards in steps that grow, and ends early when it has
// seen as many bytes as can be on their way.
func (r *Relay) compareBack(ctx context.Context, stream jetstream.Stream, from, to uint64) error {
	seen := 0
	for step := uint64(compareFirst); from <= to && seen < r.config.MaxPendingBytes; step *= 2 {
		first := from
		if to-from >= step {
			first = to - step + 1
		}
		n, err := r.compare(ctx, stream, first, to)
		if err != nil {
			return err
		}
		seen += n
		to = first - 1
	}
	return nil
}

// compare checks the messages from to to, at least 1 and ascending, and returns how many bytes
// they have.
func (r *Relay) compare(ctx context.Context, stream jetstream.Stream, from, to uint64) (size int, err error) {
	defer func() {
		if err != nil && !final(err) {
			err = fmt.Errorf("relay: stream %s: compare from message %d: %w", r.config.Stream, from, err)
		}
	}()
	asking, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	cons, err := stream.CreateConsumer(asking, jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       from,
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: time.Minute, // should the deletion below not get through
	})
	if err != nil {
		return 0, err
	}
	info := cons.CachedInfo()
	defer func() {
		deleting, cancel := context.WithTimeout(ctx, askWait)
		defer cancel()
		_ = stream.DeleteConsumer(deleting, info.Name)
	}()

	// A fetch that is limited in bytes must have room for one message, whatever its size.
	fetchBytes := max(compareBytes, 2*int(r.conn.MaxPayload()))
	for left := info.NumPending; left > 0; {
		batch, err := cons.Fetch(int(min(left, compareMessages)), jetstream.FetchMaxBytes(fetchBytes), jetstream.FetchMaxWait(askWait))
		if err != nil {
			return size, err
		}
		var got []message
		before := left
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err != nil {
				return size, err
			}
			got = append(got, message{meta.Sequence.Stream, m.Data()})
			size += len(m.Data())
			left = min(left-1, meta.NumPending)
		}
		if err := batch.Error(); err != nil {
			return size, err
		}
		if left == before {
			return size, errors.New("the server does not give the messages")
		}
		// What lies beyond is not asked for here; it may have come in since.
		end := len(got)
		for end > 0 && got[end-1].seq > to {
			end--
		}
		if err := r.same(ctx, got[:end]); err != nil || end < len(got) {
			return size, err
		}
	}
	return size, ctx.Err()
}

type message struct {
	seq  uint64
	data []byte
}

// errCompared ends a scan when there is nothing left to compare.
var errCompared = errors.New("compared")

// same checks messages, ascending, against the journal.
func (r *Relay) same(ctx context.Context, got []message) error {
	for len(got) > 0 {
		before := len(got)
		var differs error
		_, err := r.source.Scan(ctx, got[0].seq-1, compareBytes, func(seq uint64, envelope []byte) error {
			if seq < got[0].seq {
				return nil // the stream has lost it
			}
			if seq != got[0].seq || !bytes.Equal(envelope, got[0].data) {
				differs = r.wrong(ErrOtherWriter, got[0].seq, "")
				return differs
			}
			if got = got[1:]; len(got) == 0 {
				return errCompared
			}
			return nil
		})
		switch {
		case differs != nil:
			return differs
		case len(got) == 0:
		case err != nil:
			return fmt.Errorf("relay: read from event %d: %w", got[0].seq, err)
		case len(got) == before:
			return fmt.Errorf("relay: event %d is visible and was not read", got[0].seq)
		}
	}
	return nil
}
