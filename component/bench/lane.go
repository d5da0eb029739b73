package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// A lane is one connection's share of a load. Its subscription's goroutine owns
// everything in it once primed is closed, and until closed is.
type lane struct {
	tally
	*window
	nc      *nats.Conn
	next    func(int, uint64) (string, []byte)
	check   func(*nats.Msg) error
	fail    context.CancelCauseFunc
	running *countdown
	sub     *nats.Subscription

	slots   []slot
	first   int // the load's number of slots[0]
	stride  int // from one of this lane's slots to its next
	busy    int // slots that wait for a reply
	inbox   string
	primed  chan struct{}
	started bool // primed was seen closed
	closed  chan struct{}
}

// A slot is one operation in flight.
type slot struct {
	n    uint64 // requests made
	sent int64
	is   verdict // refuse: no request is out

	// replies alternate, so that a second reply to one request is not taken
	// for the reply to the next.
	replies [2]string
}

// countdown closes idle when the last lane has no request out.
type countdown struct {
	left atomic.Int64
	idle chan struct{}
}

func newCountdown(n int, idle chan struct{}) *countdown {
	c := &countdown{idle: idle}
	c.left.Store(int64(n))
	return c
}

func (c *countdown) done() {
	if c.left.Add(-1) == 0 {
		close(c.idle)
	}
}

// newLane makes the lane of connection i, which has each slot whose number
// leaves i when divided by the number of connections.
func newLane(w *window, r Requests, i, inflight int, fail context.CancelCauseFunc, running *countdown) *lane {
	nc := r.Conns[i]
	ln := &lane{
		window: w, nc: nc, next: r.Next, check: r.Check, fail: fail, running: running,
		first: i, stride: min(len(r.Conns), inflight),
		inbox:  nc.NewInbox() + ".",
		primed: make(chan struct{}),
		closed: make(chan struct{}),
	}
	ln.slots = make([]slot, (inflight-i+ln.stride-1)/ln.stride)
	for s := range ln.slots {
		for parity := range 2 {
			ln.slots[s].replies[parity] = ln.inbox + strconv.Itoa(2*s+parity)
		}
	}
	return ln
}

func (ln *lane) subscribe() error {
	sub, err := ln.nc.Subscribe(ln.inbox+"*", ln.reply)
	if err != nil {
		return err
	}
	ln.sub = sub
	sub.SetClosedHandler(func(string) { close(ln.closed) })
	return nil
}

// prime starts every slot.
func (ln *lane) prime() {
	for s := range ln.slots {
		ln.send(s, ln.now())
	}
	if ln.busy == 0 {
		ln.running.done()
	}
	close(ln.primed)
}

// send starts a slot's next request, or retires the slot.
func (ln *lane) send(s int, now int64) {
	sl := &ln.slots[s]
	if sl.is = ln.begin(now); sl.is == refuse {
		return
	}
	subject, body := ln.next(ln.first+s*ln.stride, sl.n)
	sl.sent = now
	if err := ln.nc.PublishRequest(subject, sl.replies[sl.n&1], body); err != nil {
		sl.is = refuse
		ln.fail(fmt.Errorf("request to %q: %w", subject, err))
		return
	}
	sl.n++
	ln.busy++
}

// reply ends a slot's request and starts its next. It runs on the
// subscription's goroutine.
func (ln *lane) reply(m *nats.Msg) {
	if !ln.started {
		<-ln.primed
		ln.started = true
	}
	now := ln.now()
	s, ok := ln.slotOf(m.Subject)
	if !ok {
		ln.failed(fmt.Errorf("reply on %q: nothing was asked there: %w", m.Subject, errStray))
		return
	}
	sl := &ln.slots[s]
	if err := ln.judge(m); err != nil {
		ln.failed(err)
	} else {
		ln.ended(ln.window, sl.is, sl.sent, now)
	}
	ln.busy--
	ln.send(s, now)
	if ln.busy == 0 {
		ln.running.done()
	}
}

var errStray = errors.New("unexpected reply")

// slotOf finds the slot that waits for a reply on this subject.
func (ln *lane) slotOf(subject string) (int, bool) {
	token := 0
	for _, c := range []byte(subject[len(ln.inbox):]) {
		digit := int(c - '0')
		if digit > 9 || token > 2*len(ln.slots) {
			return 0, false
		}
		token = token*10 + digit
	}
	s := token / 2
	if s >= len(ln.slots) {
		return 0, false
	}
	sl := &ln.slots[s]
	return s, sl.is != refuse && int(sl.n-1)&1 == token&1
}

func (ln *lane) judge(m *nats.Msg) error {
	if m.Header != nil {
		if err := errorReply(m); err != nil {
			return err
		}
	}
	if ln.check != nil {
		return ln.check(m)
	}
	return nil
}

// close ends the subscription, waits for its goroutine, and gives what it saw and
// how many requests are still without a reply.
func (ln *lane) close() (seen *tally, unanswered uint64) {
	// An error says that the connection has ended the subscription before.
	_ = ln.sub.Unsubscribe()
	<-ln.closed
	return &ln.tally, uint64(ln.busy)
}
