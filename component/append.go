package component

import (
	"strings"
	"sync"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
)

// appending is an append or a batch on its way through the journal. It is pooled: appends are
// what a node does most.
type appending struct {
	node *Node
	req  request
	ack  codec.Ack

	body  codec.Append
	event [1]journal.Append
	batch journal.Batch

	many bool // the reply is that of a batch

	// While the reply is held: what it says, and until when.
	receipts []codec.Receipt
	single   [1]codec.Receipt
	deadline time.Time

	done func([]codec.Receipt, error) // finish, made once
}

var appendings = sync.Pool{New: func() any { return new(appending) }}

func (n *Node) newAppending(req request) *appending {
	a := appendings.Get().(*appending)
	if a.done == nil {
		a.done = a.finish
	}
	a.node, a.req = n, req
	return a
}

// release gives a back, without anything of the request in it.
func (a *appending) release() {
	*a = appending{done: a.done}
	appendings.Put(a)
}

// serveAppend takes in one event.
func (n *Node) serveAppend(req request) (goesOn bool) {
	at, err := coordinateOf(req.tokens)
	if err != nil {
		n.refuse(&req, err)
		return false
	}
	a := n.newAppending(req)
	if err = a.decodeAppend(at); err == nil {
		err = a.submit()
	}
	if err != nil {
		n.refuse(&req, err)
		a.release()
		return false
	}
	return true
}

// coordinateOf reads "scope.entity" of a subject.
func coordinateOf(tokens string) (causal.Coordinate, error) {
	first, second, _ := strings.Cut(tokens, ".")
	scope, err := codec.UnescapeToken(first)
	if err != nil {
		return causal.Coordinate{}, err
	}
	entity, err := codec.UnescapeToken(second)
	if err != nil {
		return causal.Coordinate{}, err
	}
	return causal.Coordinate{Scope: scope, Entity: entity}, nil
}

// decodeAppend makes the request's body the one event of the batch.
func (a *appending) decodeAppend(at causal.Coordinate) error {
	if err := codec.Unmarshal(a.req.body, a.req.format, &a.body); err != nil {
		return err
	}
	if a.body.Scope != "" || a.body.Entity != "" {
		return &invalidError{"scope and entity are in the subject, not in the body"}
	}
	e := &a.event[0]
	a.batch.Key, a.ack = a.body.Key, a.body.Ack
	expect := a.body.Expect
	if len(a.req.header) > 0 {
		var err error
		if a.batch.Key, err = keyOf(a.req.header, a.batch.Key); err != nil {
			return err
		}
		if expect, err = expectOf(a.req.header, headerExpect, expect); err != nil {
			return err
		}
		if e.ExpectSeq, err = expectOf(a.req.header, headerExpectSeq, nil); err != nil {
			return err
		}
		if err = a.node.observe(a.req.header); err != nil {
			return err
		}
		a.body.Meta = withTrace(a.body.Meta, traceOf(a.req.header))
	}
	unless, err := inScope(a.body.Unless, at.Scope)
	if err != nil {
		return err
	}
	set(e, at, &a.body, expect, unless)
	a.batch.Events = a.event[:]
	return nil
}

// inScope fills a condition's scope in, and refuses another one.
func inScope(unless *codec.Selection, scope string) (*codec.Selection, error) {
	if unless == nil || scope == "" {
		return unless, nil
	}
	if unless.Scope == "" {
		unless.Scope = scope
	}
	if unless.Scope != scope {
		return nil, &invalidError{"unless looks at another scope than the append's own"}
	}
	return unless, nil
}

// set makes e what the body asks for.
func set(e *journal.Append, at causal.Coordinate, body *codec.Append, expect *uint64, unless *codec.Selection) {
	e.Coordinate = at
	e.Lane, e.Kind, e.Schema, e.Data = body.Lane, body.Kind, body.Schema, body.Data
	e.Causes, e.Correlation, e.Subject, e.Meta = body.Causes, body.Correlation, body.Subject, body.Meta
	e.Expect, e.Unless, e.Renew = expect, unless, body.Renew
}

// submit hands the batch to the journal. After an error nobody else has a.
func (a *appending) submit() error {
	n := a.node
	for i := range a.batch.Events {
		if size := len(a.batch.Events[i].Data); size > n.maxPayload {
			return &journal.LimitError{What: "payload", Size: size, Limit: n.maxPayload}
		}
	}
	if a.ack != codec.AckStream {
		return n.journal.Submit(&a.batch, a.done)
	}
	if n.held == nil {
		return &invalidError{"ack stream: this node has no onward stream"}
	}
	if !n.held.reserve() {
		return errBusy
	}
	if err := n.journal.Submit(&a.batch, a.done); err != nil {
		n.held.unreserve()
		return err
	}
	return nil
}

// finish is what the journal calls, on its reply goroutine, when the batch has its outcome.
func (a *appending) finish(receipts []codec.Receipt, err error) {
	if a.ack != codec.AckStream {
		a.answer(receipts, err)
		return
	}
	if err != nil {
		a.node.held.unreserve()
		a.answer(nil, err)
		return
	}
	a.receipts = append(a.single[:0], receipts...)
	for i := range a.receipts {
		a.receipts[i].Proof = a.receipts[i].Proof.Clone() // the journal's is its own again after this
	}
	a.node.held.add(a)
}

// answer publishes the outcome and ends the request.
func (a *appending) answer(receipts []codec.Receipt, err error) {
	n, ep := a.node, a.req.ep
	defer n.leave(ep)
	defer a.release()
	defer func() {
		if v := recover(); v != nil {
			n.panicked(&a.req, v)
		}
	}()
	switch {
	case err != nil:
		n.refuse(&a.req, err)
	case a.many:
		n.respond(&a.req, answer{body: &codec.BatchReply{Receipts: receipts}, shrink: func(_, limit int) error {
			return withoutProofs(receipts, limit)
		}})
	default:
		buf := replies.Get().(*[]byte)
		out, err := codec.Marshal((*buf)[:0], a.req.format, &receipts[0])
		if err != nil {
			n.refuse(&a.req, err)
		} else {
			n.publish(&a.req, out)
		}
		*buf = out
		replies.Put(buf)
	}
}
