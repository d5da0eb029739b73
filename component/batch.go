package component

import (
	"fmt"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
)

// receiptRoom is what one receipt of a batch takes in a reply at most without its proof, in bytes, by format.
var receiptRoom = [...]int{codec.Msgpack: 256, codec.JSON: 512}

// withoutProofs leaves the proofs out of the receipts of a batch when they do not fit a message: what is
// committed must have its reply.
func withoutProofs(receipts []codec.Receipt, limit int) error {
	err := error(&sizeError{reason: "the reply does not fit a message of the connection", limit: limit})
	for i := range receipts {
		if receipts[i].Proof != nil {
			receipts[i].Proof, err = nil, nil
		}
	}
	return err
}

// serveBatch takes in 1 to codec.MaxBatch events, all or none.
func (n *Node) serveBatch(req request) (goesOn bool) {
	a := n.newAppending(req)
	err := a.decodeBatch()
	if err == nil {
		err = a.submit()
	}
	if err != nil {
		n.refuse(&req, err)
		a.release()
		return false
	}
	return true
}

// decodeBatch makes the request's body the batch.
func (a *appending) decodeBatch() (err error) {
	scope := "" // of the subject; "" in the form without one
	if a.req.tokens != "" {
		if scope, err = codec.UnescapeToken(a.req.tokens); err != nil {
			return err
		}
	}
	var body codec.Batch
	if err := codec.Unmarshal(a.req.body, a.req.format, &body); err != nil {
		return err
	}
	a.many, a.ack, a.batch.Key = true, body.Ack, body.Key
	trace := ""
	if len(a.req.header) > 0 {
		if a.batch.Key, err = keyOf(a.req.header, body.Key); err != nil {
			return err
		}
		for _, name := range [...]string{headerExpect, headerExpectSeq} {
			if _, there, _ := headerValue(a.req.header, name); there {
				return &invalidError{"the header " + name + " does not say which event of the batch it is about"}
			}
		}
		if err = a.node.observe(a.req.header); err != nil {
			return err
		}
		trace = traceOf(a.req.header)
	}
	// What is committed must have its reply, so whether that fits is asked before.
	if size, limit := len(body.Events)*receiptRoom[a.req.format], a.node.maxMessage(); size > limit {
		return &sizeError{reason: "the receipts of so many events do not fit a message of the connection", limit: limit}
	}
	events := make([]journal.Append, len(body.Events))
	for i := range body.Events {
		e := &body.Events[i]
		if scope != "" && e.Scope == "" {
			e.Scope = scope
		}
		if scope != "" && e.Scope != scope {
			return &invalidError{fmt.Sprintf("event %d is in another scope than the subject's", i)}
		}
		unless, err := inScope(e.Unless, scope)
		if err != nil {
			return fmt.Errorf("event %d: %w", i, err)
		}
		e.Meta = withTrace(e.Meta, trace)
		set(&events[i], causal.Coordinate{Scope: e.Scope, Entity: e.Entity}, e, e.Expect, unless)
	}
	a.batch.Events = events
	return nil
}
