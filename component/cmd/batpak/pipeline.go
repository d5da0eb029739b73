package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"batpak/codec"
	"batpak/component"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// pipeline sends append requests in order on one connection, many at a time. A component.Client
// waits for each answer in the goroutine that asked; requests from many goroutines have no order.
type pipeline struct {
	nc       *nats.Conn
	subject  string // of the endpoint, with a dot behind
	inflight int
	patience time.Duration // how long no answer may come

	inbox   string
	sub     *nats.Subscription
	replies chan *nats.Msg

	sent map[uint64]line // by number: those without an answer
	busy []line          // those that the node was too busy for
	wait time.Duration   // before they are sent again
}

// errNoAnswer is about a request without an answer: it may have been done.
var errNoAnswer = errors.New("no answer came, so it is not known whether it was appended")

// outcome is what became of a line.
type outcome struct {
	line    line
	receipt codec.Receipt
	err     error
}

func newPipeline(nc *nats.Conn, subject string, inflight int, patience time.Duration) (*pipeline, error) {
	p := &pipeline{
		nc: nc, subject: subject, inflight: inflight, patience: patience,
		inbox:   nc.NewInbox() + ".",
		replies: make(chan *nats.Msg, inflight),
		sent:    make(map[uint64]line, inflight),
	}
	var err error
	p.sub, err = nc.ChanSubscribe(p.inbox+"*", p.replies)
	return p, err
}

func (p *pipeline) close() { _ = p.sub.Unsubscribe() } // of a connection that may be gone

// run sends what comes from source, until it is closed or ctx ends or tell says no, and waits for
// the answers of what was sent. It calls tell with each line's outcome.
func (p *pipeline) run(ctx context.Context, source <-chan line, tell func(outcome) (goOn bool)) error {
	var stopped error
	done := ctx.Done()
	stop := func(err error) {
		source, done = nil, nil
		p.busy = nil
		if stopped == nil {
			stopped = err
		}
	}
	quiet := time.NewTimer(p.patience) // no answer has come for too long
	defer quiet.Stop()
	pause := time.NewTimer(0) // lines for which the node was too busy may be sent again
	<-pause.C
	defer pause.Stop()
	pausing := false
	for source != nil || len(p.sent) > 0 || len(p.busy) > 0 {
		if len(p.busy) > 0 && len(p.sent) == 0 && !pausing {
			pausing = true
			pause.Reset(p.wait)
		}
		take := source
		if len(p.sent) >= p.inflight || len(p.busy) > 0 {
			take = nil
		}
		select {
		case l, ok := <-take:
			switch {
			case !ok:
				source = nil
			case l.err != nil:
				if !tell(outcome{line: l, err: l.err}) {
					stop(nil)
				}
			default:
				if len(p.sent) == 0 {
					quiet.Reset(p.patience)
				}
				if err := p.send(l); err != nil {
					tell(outcome{line: l, err: err})
					stop(err)
				}
			}
		case m := <-p.replies:
			quiet.Reset(p.patience)
			o, ok := p.answer(m)
			if ok && !tell(o) {
				stop(nil)
			}
			if errors.Is(o.err, component.ErrNoNode) {
				p.sent = nil
				stop(o.err)
			}
		case <-pause.C:
			pausing = false
			again := p.busy
			p.busy = nil
			slices.SortFunc(again, func(a, b line) int { return cmp.Compare(a.number, b.number) })
			quiet.Reset(p.patience)
			for _, l := range again {
				if err := p.send(l); err != nil {
					tell(outcome{line: l, err: err})
					stop(err)
				}
			}
		case <-quiet.C:
			if len(p.sent) == 0 {
				continue // the input is what is slow
			}
			for _, number := range p.numbers() {
				tell(outcome{line: p.sent[number], err: errNoAnswer})
			}
			p.sent = nil
			stop(nil)
		case <-done:
			stop(ctx.Err())
		}
	}
	return stopped
}

// numbers are the lines that were sent, in order.
func (p *pipeline) numbers() []uint64 {
	var numbers []uint64
	for number := range p.sent {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	return numbers
}

func (p *pipeline) send(l line) error {
	if err := p.nc.PublishRequest(p.subject+l.subject, p.inbox+strconv.FormatUint(l.number, 10), l.body); err != nil {
		return err
	}
	p.sent[l.number] = l
	return nil
}

// answer finds the line that a reply is for. Ok is false when there is no outcome yet.
func (p *pipeline) answer(m *nats.Msg) (o outcome, ok bool) {
	number, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, p.inbox), 10, 64)
	l, waits := p.sent[number]
	if err != nil || !waits {
		return outcome{}, false
	}
	delete(p.sent, number)
	o = outcome{line: l}
	o.receipt, o.err = receiptIn(m)
	var refusal *component.Error
	if errors.As(o.err, &refusal) && refusal.Code == codec.CodeBusy {
		p.busy = append(p.busy, l)
		p.wait = max(refusal.RetryAfter(), 10*time.Millisecond)
		return outcome{}, false
	}
	return o, true
}

// receiptIn is what a reply to an append says.
func receiptIn(m *nats.Msg) (codec.Receipt, error) {
	var r codec.Receipt
	if m.Header.Get("Status") == "503" {
		return r, component.ErrNoNode
	}
	if m.Header.Get(micro.ErrorCodeHeader) != "" {
		var e codec.ErrorReply
		if err := codec.Unmarshal(m.Data, codec.Msgpack, &e); err != nil {
			return r, fmt.Errorf("%w: %w", component.ErrReply, err)
		}
		return r, &component.Error{
			Code: e.Code, Number: e.Code.Number(), Message: e.Message, Retry: e.Retry, Gate: e.Gate, Details: e.Details,
		}
	}
	if err := codec.Unmarshal(m.Data, codec.Msgpack, &r); err != nil {
		return r, fmt.Errorf("%w: %w", component.ErrReply, err)
	}
	return r, nil
}
