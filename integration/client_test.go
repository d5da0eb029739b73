package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// client makes requests to the journal "main".
type client struct{ nc *nats.Conn }

// base is in front of the subjects of its requests.
const base = "batpak.main."

var asJSON = nats.Header{"Content-Type": {"application/json"}}

// refusal is an error reply.
type refusal struct {
	code, number, message string
	retry                 bool
	details               fields
}

func (r *refusal) Error() string {
	return fmt.Sprintf("refused: %s (%s): %s %v", r.code, r.number, r.message, r.details)
}

// numbers are the codes as numbers, in the header of an error reply.
var numbers = map[string]string{"invalid": "400", "denied": "403", "not_found": "404", "conflict": "409", "shredded": "410",
	"too_large": "413", "erased": "423", "key_missing": "424", "busy": "429", "internal": "500", "unavailable": "503", "storage": "507"}

// refusedWith says whether an error is a refusal with this code.
func refusedWith(err error, code string) bool {
	var r *refusal
	return errors.As(err, &r) && r.code == code
}

// ask makes a request and returns the reply's body. An error reply is a *refusal.
func (c client) ask(ctx context.Context, subject string, body []byte, header nats.Header) ([]byte, error) {
	msg, err := c.nc.RequestMsgWithContext(ctx, &nats.Msg{Subject: base + subject, Data: body, Header: header})
	if err != nil {
		return nil, err
	}
	return msg.Data, refusalIn(msg)
}

// refusalIn reads an error reply in either format; nil when the reply is none.
func refusalIn(msg *nats.Msg) error {
	number, text := msg.Header.Get("Nats-Service-Error-Code"), msg.Header.Get("Nats-Service-Error")
	if number == "" && text == "" {
		return nil
	}
	r := &refusal{number: number}
	if len(msg.Data) > 0 && msg.Data[0] == '{' {
		var body struct {
			Code, Message string
			Retry         bool
		}
		if err := json.Unmarshal(msg.Data, &body); err != nil {
			return fmt.Errorf("error reply %q: %w", msg.Data, err)
		}
		r.code, r.message, r.retry = body.Code, body.Message, body.Retry
	} else {
		f, err := unpackFields(msg.Data)
		if err != nil {
			return fmt.Errorf("error reply %q: %w", msg.Data, err)
		}
		r.code, r.message = f.str("code"), f.str("message")
		r.retry, _ = f.get("retry").(bool)
		r.details, _ = f.get("details").(fields)
	}
	if numbers[r.code] != number || text == "" {
		return fmt.Errorf("an error reply that does not agree with itself: %v %q", msg.Header, msg.Data)
	}
	return r
}

// fields makes a request in MessagePack.
func (c client) fields(ctx context.Context, subject string, body fields) (fields, error) {
	reply, err := c.ask(ctx, subject, pack(body), nil)
	if err != nil {
		return nil, err
	}
	return unpackFields(reply)
}

// append appends one event.
func (c client) append(ctx context.Context, scope, entity string, body fields) (receipt, error) {
	f, err := c.fields(ctx, "append."+token(scope)+"."+token(entity), body)
	if err != nil {
		return receipt{}, err
	}
	return receiptOf(f)
}

// get returns one event by its sequence.
func (c client) get(ctx context.Context, seq uint64) (event, error) {
	f, err := c.fields(ctx, "get", fields{{"seq", seq}})
	if err != nil {
		return event{}, err
	}
	e, err := eventOf(f.bin("event"))
	if err == nil && hash(f.bin("hash")) != e.hash {
		err = fmt.Errorf("get %d: the reply says hash %x, the bytes have %x", seq, f.bin("hash"), e.hash)
	}
	return e, err
}

// journal returns all events of the journal, in order.
func (c client) journal(ctx context.Context) iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		after := uint64(0)
		for more := true; more; {
			page, err := c.fields(ctx, "read", fields{{"after", after}, {"limit", 1000}})
			if err != nil {
				yield(event{}, err)
				return
			}
			list, _ := page.get("events").([]any)
			for _, x := range list {
				envelope, _ := x.([]byte)
				if e, err := eventOf(envelope); !yield(e, err) || err != nil {
					return
				}
			}
			after = page.num("next")
			more, _ = page.get("more").(bool)
		}
	}
}

// all returns all events of the journal at once.
func (c client) all(ctx context.Context) ([]event, error) {
	var events []event
	for e, err := range c.journal(ctx) {
		if err != nil {
			return nil, fmt.Errorf("read event %d: %w", len(events)+1, err)
		}
		events = append(events, e)
	}
	return events, nil
}

// status returns what the node says of itself.
func (c client) status(t testing.TB) fields {
	t.Helper()
	f, err := c.fields(within(t), "status", nil)
	if err != nil {
		t.Fatalf("status: %v", err)
	}
	return f
}

// onwardEqualsJournal waits until the onward stream has as many messages as there are events,
// and returns an error unless message N is event N, with its subject, and there is nothing else.
func (c client) onwardEqualsJournal(ctx context.Context, events []event) error {
	js, err := jetstream.New(c.nc)
	if err != nil {
		return err
	}
	if len(events) == 0 {
		return nil
	}
	cons, err := js.OrderedConsumer(ctx, "BATPAK_MAIN", jetstream.OrderedConsumerConfig{})
	if err != nil {
		return fmt.Errorf("onward stream: %w", err)
	}
	it, err := cons.Messages(jetstream.PullMaxMessages(2000))
	if err != nil {
		return fmt.Errorf("onward stream: %w", err)
	}
	defer it.Stop()
	for i := range events {
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("onward stream: wait for message %d of %d: %w", i+1, len(events), err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("onward stream: %w", err)
		}
		if err := sameOnward(&events[i], meta.Sequence.Stream, m.Subject(), m.Headers(), m.Data()); err != nil {
			return err
		}
	}
	s, err := js.Stream(ctx, "BATPAK_MAIN")
	if err != nil {
		return fmt.Errorf("onward stream: %w", err)
	}
	if state := s.CachedInfo().State; state.FirstSeq != 1 || state.LastSeq != uint64(len(events)) || state.Msgs != state.LastSeq {
		return fmt.Errorf("onward stream has messages %d to %d, %d in all, for %d events", state.FirstSeq, state.LastSeq, state.Msgs, len(events))
	}
	return nil
}

// sameOnward returns an error unless a message of the onward stream is what an event becomes.
func sameOnward(e *event, seq uint64, subject string, header nats.Header, data []byte) error {
	switch before := header.Get("Nats-Expected-Last-Sequence"); {
	case seq != e.seq:
		return fmt.Errorf("onward stream: message %d where event %d should be", seq, e.seq)
	case string(data) != string(e.envelope):
		return fmt.Errorf("onward stream: message %d is not the bytes of event %d", seq, e.seq)
	case subject != e.onwardSubject("main"):
		return fmt.Errorf("onward stream: message %d has subject %s", seq, subject)
	case before != fmt.Sprint(seq-1):
		return fmt.Errorf("onward stream: message %d expects %q", seq, before)
	}
	return nil
}
