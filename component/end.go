package component

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// flushTime is how long the server may take to see what was sent to it.
const flushTime = 5 * time.Second

// load counts requests that are worked on.
type load struct {
	count atomic.Int64
	idle  chan struct{} // has room for one: a token says that count was 0
}

func (l *load) leave() {
	if l.count.Add(-1) == 0 {
		l.signal()
	}
}

func (l *load) signal() {
	select {
	case l.idle <- struct{}{}:
	default:
	}
}

// settle waits until nothing is worked on. It is for when nothing new comes in.
func (l *load) settle(ctx context.Context) error {
	for l.count.Load() > 0 {
		select {
		case <-l.idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	l.signal() // for whoever else waits
	return nil
}

// enter counts a request in, unless the node no longer takes its kind.
func (n *Node) enter(ep *endpoint) bool {
	l := n.loadOf(ep)
	l.count.Add(1) // before the state is read: whoever changes it sees one or the other
	state := n.state.Load()
	if state == stateServing || state == stateDraining && !ep.intake {
		return true
	}
	l.leave()
	return false
}

// leave counts a request out.
func (n *Node) leave(ep *endpoint) { n.loadOf(ep).leave() }

func (n *Node) loadOf(ep *endpoint) *load {
	if ep.intake {
		return &n.appends
	}
	return &n.others
}

// end takes everything down that open got to, once, in an order in which nothing is used after
// it is gone. Cause is why the node ends; nil when it was asked to.
func (n *Node) end(cause error) {
	n.ending.Do(func() {
		n.state.Store(stateClosed)
		var failed []error
		if n.service != nil {
			// What is left in the subscriptions is refused.
			failed = append(failed, n.service.Stop())
		}
		for _, sub := range n.strays {
			failed = append(failed, sub.Unsubscribe())
		}
		if n.held != nil {
			n.held.stop()
		}
		never := context.Background()
		_ = n.appends.settle(never) // the journal ends each of them
		n.cancel()                  // reads give up
		_ = n.others.settle(never)
		n.heads.stop()
		if n.relay != nil {
			_ = n.relay.Stop(n.ctx) // which has ended: at once
		}
		if n.journal != nil {
			failed = append(failed, n.journal.Close())
		}
		if n.folder != nil {
			failed = append(failed, n.folder.Close())
		}
		if n.nc.IsConnected() {
			failed = append(failed, flushFor(never, n.nc, flushTime)) // the last replies
		}
		n.err = cause
		if err := errors.Join(failed...); cause == nil && !errors.Is(err, nats.ErrConnectionClosed) {
			n.err = err
		}
		close(n.done)
	})
	<-n.done
}
