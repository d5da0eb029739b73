package component

import (
	"sync"
	"time"

	"batpak/codec"
	"batpak/component/relay"
)

// heldReplies are the replies of committed appends with ack "stream", which wait for the relay.
// They are answered in the order in which they were committed, so the first one is also the
// first to run out of time.
type heldReplies struct {
	limit   int
	timeout time.Duration
	relay   *relay.Relay

	wake chan struct{} // has room for one: a token says that run should look again
	end  chan struct{} // closed by stop
	done chan struct{} // closed when run has ended

	mu       sync.Mutex // guards what follows
	reserved int        // appends on their way, here or still in the journal
	queue    []*appending
	ended    bool // nothing is held any more
}

func newHeldReplies(limit int, timeout time.Duration, r *relay.Relay) *heldReplies {
	h := &heldReplies{
		limit: limit, timeout: timeout, relay: r,
		wake: make(chan struct{}, 1), end: make(chan struct{}), done: make(chan struct{}),
	}
	r.OnPublished(func(uint64) { h.poke() })
	go h.run()
	return h
}

// reserve makes room for one append, before it is submitted. It returns false when there is none.
func (h *heldReplies) reserve() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.reserved >= h.limit {
		return false
	}
	h.reserved++
	return true
}

// unreserve gives the room back for an append that came to nothing.
func (h *heldReplies) unreserve() {
	h.mu.Lock()
	h.reserved--
	h.mu.Unlock()
}

// add holds the reply of a committed append, whose room was reserved. It does not wait.
func (h *heldReplies) add(a *appending) {
	a.deadline = time.Now().Add(h.timeout)
	h.mu.Lock()
	ended := h.ended
	if ended {
		h.reserved--
	} else {
		h.queue = append(h.queue, a)
	}
	h.mu.Unlock()
	if ended {
		h.answer(a, h.relay.Published())
		return
	}
	h.poke()
}

func (h *heldReplies) poke() {
	select {
	case h.wake <- struct{}{}:
	default: // run has not taken the last token yet, and will see this change too
	}
}

// stop answers everything with what was reached, and ends run. Later replies are not held.
func (h *heldReplies) stop() {
	close(h.end)
	<-h.done
}

// run is the goroutine that answers. It ends when stop is called.
func (h *heldReplies) run() {
	defer close(h.done)
	timer := time.NewTimer(h.timeout)
	defer timer.Stop()
	stopped, end := h.relay.Done(), h.end
	var due []*appending
	for end != nil {
		select {
		case <-h.wake:
		case <-timer.C:
		case <-stopped:
			stopped = nil // from now on nothing is published
		case <-end:
			end = nil
			h.mu.Lock()
			h.ended = true
			h.mu.Unlock()
		}
		published := h.relay.Published()
		var next time.Duration
		due, next = h.take(due, published, end == nil || stopped == nil)
		for i, a := range due {
			h.answer(a, published)
			due[i] = nil
		}
		timer.Reset(next)
	}
}

// take moves the replies that are due off the queue into due[:0], and says when to look again.
// Due is what is published, out of time, or everything.
func (h *heldReplies) take(due []*appending, published uint64, everything bool) ([]*appending, time.Duration) {
	due = due[:0]
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.queue) > 0 {
		a := h.queue[0]
		if !everything && a.last() > published && now.Before(a.deadline) {
			return due, a.deadline.Sub(now)
		}
		due = append(due, a)
		h.queue[0] = nil
		h.queue = h.queue[1:]
		h.reserved--
	}
	h.queue = nil
	return due, h.timeout
}

// last is the sequence of the batch's last event.
func (a *appending) last() uint64 { return a.receipts[len(a.receipts)-1].Seq }

// answer publishes a reply with the durability that was reached.
func (h *heldReplies) answer(a *appending, published uint64) {
	if a.last() <= published {
		for i := range a.receipts {
			a.receipts[i].Durable = codec.AckStream
		}
	}
	a.answer(a.receipts, nil)
}
