package journal

import (
	"sync"

	"batpak/codec"
)

// request is a batch, or an erasure, on its way through the journal. Whoever holds it owns it: the
// queue, then the sequencer, then the committer, then the reply goroutine.
type request struct {
	batch    *Batch   // nil in an erasure
	erasing  *erasing // nil in a batch
	done     func([]codec.Receipt, error)
	bytes    int64
	keeps    bool // the proofs of its receipts are in use after done
	receipts []codec.Receipt
	err      error

	// What survey found out before the request was queued.
	surveyed uint64 // conditions were held against the events up to here
	refused  error  // the conflict it met
}

// events is how many events to count for the request while it is queued.
func (r *request) events() int {
	if r.erasing != nil {
		return 1
	}
	return len(r.batch.Events)
}

// conditional says whether the request has a condition that may have to look at many events.
func (r *request) conditional() bool {
	for i := range r.batch.Events {
		if r.batch.Events[i].Unless != nil {
			return true
		}
	}
	return false
}

// queue holds the requests that the sequencer has not taken yet. It is bounded in events and
// bytes, and never makes a caller wait.
type queue struct {
	maxEvents int
	maxBytes  int64
	wake      chan struct{} // has room for one: a token says that there may be something to take

	surveys sync.WaitGroup // requests that are being surveyed; none begins after closed

	mu     sync.Mutex // guards what follows
	reqs   []*request
	events int
	bytes  int64
	closed bool
}

func (q *queue) put(r *request) error {
	q.mu.Lock()
	switch {
	case q.closed:
		q.mu.Unlock()
		return ErrClosed
	case len(q.reqs) > 0 && (q.events+r.events() > q.maxEvents || q.bytes+r.bytes > q.maxBytes):
		q.mu.Unlock()
		return ErrBusy
	}
	q.reqs = append(q.reqs, r)
	q.events += r.events()
	q.bytes += r.bytes
	first := len(q.reqs) == 1
	q.mu.Unlock()
	if first {
		q.poke()
	}
	return nil
}

// beginSurvey counts a survey, unless the queue is closed.
func (q *queue) beginSurvey() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	q.surveys.Add(1)
	return nil
}

// take returns all requests, and gives the queue the empty slice spare to go on with.
func (q *queue) take(spare []*request) (reqs []*request, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	reqs, q.reqs = q.reqs, spare
	q.events, q.bytes = 0, 0
	return reqs, q.closed
}

// close refuses further requests; those that are queued stay.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.poke()
}

func (q *queue) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}
