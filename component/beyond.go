package component

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/component/relay"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Errors of ErasuresBeyond.
var (
	// ErrNoStream: there is no onward stream, or no JetStream.
	ErrNoStream = errors.New("no onward stream")

	// ErrStreamDiffers: the stream is another journal's, or what it has does not follow from the journal.
	ErrStreamDiffers = errors.New("the onward stream is not of this journal")
)

// BeyondConfig says where a journal's onward stream is. The zero value is good.
type BeyondConfig struct {
	Prefix string // of the subjects; default "batpak"
	Stream string // its name; default "BATPAK_" and the journal's name in upper case
}

// Beyond is what the onward stream has beyond the end of a journal.
type Beyond struct {
	Last     uint64 // sequence of the stream's last message; more than the journal's head when it has more
	Lost     uint64 // how many of its first messages beyond the head the stream has lost, erasures perhaps among them
	Erasures []journal.ErasureRecord
}

// erasures is the stream of events that say what was erased, and what was renewed after that.
var erasures = causal.Stream{Coordinate: causal.Coordinate{Scope: causal.SystemScope, Entity: journal.ErasureEntity}}

// beyondWait is how long a server may take for an answer.
const beyondWait = 5 * time.Second

// ErasuresBeyond reads the erasures that the journal's onward stream has and the journal, restored from a
// backup, does not. They are believed as far as they can be checked: each is the event that its message's number
// says, of the journal's lineage, and the next one in the chain of erasures that the journal has. An erasure that
// the stream has lost breaks the chain: ErrStreamDiffers, as for the stream of another lineage. ErrNoStream
// means that nothing is there to be asked. Whoever may publish into the stream could make up an erasure.
//
// The journal is read and not changed: see journal.RestoreOptions for who applies them.
func ErasuresBeyond(ctx context.Context, nc *nats.Conn, j *journal.Journal, cfg BeyondConfig) (Beyond, error) {
	setDefault(&cfg.Prefix, DefaultPrefix)
	setDefault(&cfg.Stream, relay.StreamName(j.Name()))
	b, err := erasuresBeyond(ctx, nc, j, cfg)
	if err != nil {
		return b, fmt.Errorf("component: erasures in stream %s: %w", cfg.Stream, err)
	}
	return b, nil
}

func erasuresBeyond(ctx context.Context, nc *nats.Conn, j *journal.Journal, cfg BeyondConfig) (b Beyond, err error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return b, err
	}
	asking, cancel := context.WithTimeout(ctx, beyondWait)
	defer cancel()
	stream, err := js.Stream(asking, cfg.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, nats.ErrNoResponders) ||
		errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		return b, fmt.Errorf("%w: %w", ErrNoStream, err)
	}
	if err != nil {
		return b, err
	}
	info := stream.CachedInfo()
	b.Last = info.State.LastSeq
	if lineage := info.Config.Metadata[relay.MetadataLineage]; lineage != j.Lineage().String() {
		return b, fmt.Errorf("%w: its lineage is %q, not %s", ErrStreamDiffers, lineage, j.Lineage())
	}
	head := j.Visible()
	if b.Last <= head {
		return b, nil
	}
	if first := info.State.FirstSeq; first > head+1 {
		b.Lost = first - head - 1
	}
	if err := sameAt(asking, stream, j, head, info.State.FirstSeq); err != nil {
		return b, err
	}
	subject := fmt.Sprintf("%s.%s.events.%s.%s.*", cfg.Prefix, j.Name(), erasures.Scope, erasures.Entity)
	// Renewals are of the same chain, so they are read too.
	cons, err := stream.CreateConsumer(asking, jetstream.ConsumerConfig{
		FilterSubject: subject, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: head + 1,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return b, err
	}
	consumer := cons.CachedInfo()
	defer func() {
		deleting, cancel := context.WithTimeout(context.WithoutCancel(ctx), beyondWait)
		defer cancel()
		_ = stream.DeleteConsumer(deleting, consumer.Name) // or it goes away by itself
	}()
	chain := j.Head(erasures)
	for left := consumer.NumPending; left > 0; {
		batch, err := cons.Fetch(int(min(left, 512)), jetstream.FetchMaxWait(beyondWait))
		if err != nil {
			return b, err
		}
		before := left
		for m := range batch.Messages() {
			if chain, err = b.take(m, j.Lineage(), chain); err != nil {
				return b, err
			}
			left--
		}
		if err := errors.Join(batch.Error(), ctx.Err()); err != nil {
			return b, err
		}
		if left == before {
			return b, errors.New("the server does not give the messages")
		}
	}
	return b, nil
}

// sameAt compares the stream's message with the journal's last event, when there are both.
func sameAt(ctx context.Context, stream jetstream.Stream, j *journal.Journal, head, first uint64) error {
	if head == 0 || head < first {
		return nil
	}
	m, err := stream.GetMsg(ctx, head)
	if err != nil {
		return err
	}
	ev, err := j.GetSeq(head)
	if err == nil && !bytes.Equal(ev.Envelope, m.Data) {
		err = fmt.Errorf("%w: message %d is another event", ErrStreamDiffers, head)
	}
	return err
}

// take checks a message and takes in its erasure, if it is one.
func (b *Beyond) take(m jetstream.Msg, lineage causal.Lineage, chain causal.Head) (causal.Head, error) {
	meta, err := m.Metadata()
	if err != nil {
		return chain, err
	}
	bad := func(err error) (causal.Head, error) {
		return chain, fmt.Errorf("%w: message %d: %w", ErrStreamDiffers, meta.Sequence.Stream, err)
	}
	ev, err := codec.DecodeEnvelope(bytes.Clone(m.Data()))
	if err != nil {
		return bad(err)
	}
	if ev.Seq != meta.Sequence.Stream || ev.Lineage != lineage || ev.Stream() != erasures {
		return bad(fmt.Errorf("it is event %d of %s, lineage %s", ev.Seq, ev.Stream(), ev.Lineage))
	}
	if err := chain.Check(&ev.Header); err != nil {
		return bad(err)
	}
	chain = chain.Next(&ev.Header, ev.Hash)
	if ev.Kind != causal.KindShred {
		return chain, nil
	}
	var e codec.Erasure
	if err := codec.Unmarshal(ev.Data, codec.Msgpack, &e); err != nil {
		return bad(err)
	}
	b.Erasures = append(b.Erasures, journal.ErasureRecord{
		Erasure: journal.Erasure{Entity: e.Entity, Kind: e.Kind, Category: e.Category, Event: e.Event, Subject: e.Subject,
			Reason: e.Reason, Actor: e.Actor},
		Keys: e.Keys, Events: e.Events, ID: ev.ID, Seq: ev.Seq, Time: ev.Time,
	})
	return chain, nil
}
