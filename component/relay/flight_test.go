package relay

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
)

// aloft returns a relay whose present epoch has sent the events 11 to 20.
func aloft() (*Relay, *flight, context.Context) {
	r := &Relay{config: Config{Stream: "S", MaxPending: 16, MaxPendingBytes: 1 << 20}, acks: ackReader{stream: "S"}, grown: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancelCause(context.Background())
	f := &flight{reply: "inbox.2", cancel: cancel, room: make(chan struct{}, 1), sizes: make([]uint32, 16)}
	r.takeOff(f, 10)
	for range 10 {
		f.add(100)
	}
	return r, f, ctx
}

func ack(subject string, seq uint64) *nats.Msg {
	return &nats.Msg{Subject: subject, Data: fmt.Appendf(nil, `{"stream":"S","seq":%d}`, seq)}
}

func TestOnlyAcknowledgementsInOrderRaiseTheWatermark(t *testing.T) {
	refused := new(refusedError)
	for name, tc := range map[string]struct {
		message *nats.Msg // after 11 and 12 were acknowledged
		want    uint64
		ends    error
	}{
		"next":           {ack("inbox.2", 13), 13, nil},
		"again":          {ack("inbox.2", 12), 12, nil},
		"earlier epoch":  {ack("inbox.1", 13), 12, nil},
		"gap":            {ack("inbox.2", 14), 12, errAckGap},
		"never sent":     {ack("inbox.2", 21), 12, errAckGap},
		"other stream":   {&nats.Msg{Subject: "inbox.2", Data: []byte(`{"stream":"T","seq":13}`)}, 12, errors.ErrUnsupported},
		"refused":        {&nats.Msg{Subject: "inbox.2", Data: []byte(`{"error":{"code":400},"stream":"S"}`)}, 12, refused},
		"refused before": {&nats.Msg{Subject: "inbox.1", Data: []byte(`{"error":{"code":400},"stream":"S"}`)}, 12, nil},
		"no responders":  {&nats.Msg{Subject: "inbox.2", Header: nats.Header{"Status": {"503"}}}, 12, errNoStream},
	} {
		t.Run(name, func(t *testing.T) {
			r, f, ctx := aloft()
			r.acknowledged(ack("inbox.2", 11))
			r.acknowledged(ack("inbox.2", 12))
			r.acknowledged(tc.message)
			if got := r.Published(); got != tc.want || f.acked != tc.want || f.bytes != 100*f.pending() {
				t.Errorf("published %d, acknowledged %d, %d bytes on their way, want %d", got, f.acked, f.bytes, tc.want)
			}
			cause := context.Cause(ctx)
			switch tc.ends {
			case nil, errAckGap, errNoStream:
				if !errors.Is(cause, tc.ends) {
					t.Errorf("ended by %v", cause)
				}
			case refused:
				if !errors.As(cause, &refused) {
					t.Errorf("ended by %v", cause)
				}
			default:
				if cause == nil {
					t.Error("not ended")
				}
			}
		})
	}
}

// A publisher that waits is woken when half of what is allowed is free, in messages and bytes.
func TestRoomIsGivenInHalves(t *testing.T) {
	f := &flight{sizes: make([]uint32, 8)}
	if messages, bytes := f.roomFor(1000); messages != 8 || bytes != 1000 {
		t.Errorf("empty: %d messages, %d bytes", messages, bytes)
	}
	for range 8 {
		f.add(90)
	}
	for free, want := range []int{0, 0, 0, 0, 4, 5, 6, 7, 8} {
		if messages, _ := f.roomFor(1000); messages != want {
			t.Errorf("%d free: %d messages", free, messages)
		}
		if free < 8 {
			f.take()
		}
	}
	f.add(5000)
	if messages, _ := f.roomFor(1000); messages != 0 {
		t.Errorf("behind a large one: %d messages", messages)
	}
	f.take()
	if messages, bytes := f.roomFor(1000); messages != 8 || bytes != 1000 {
		t.Errorf("empty again: %d messages, %d bytes", messages, bytes)
	}
}
