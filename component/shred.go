package component

import (
	"batpak/codec"
	"batpak/component/journal"
)

// serveShred takes in an erasure. It is answered as an append is: by the journal's reply goroutine.
func (n *Node) serveShred(req request) (goesOn bool) {
	var body codec.ShredRequest
	err := codec.Unmarshal(req.body, req.format, &body)
	if err == nil {
		kept := req // not req itself, which would then be on the heap for every request
		err = n.journal.SubmitShred(journal.Erasure{
			Entity: body.Entity, Kind: body.Kind, Category: body.Category, Event: body.Event, Subject: body.Subject,
			Reason: body.Reason, Actor: body.Actor,
		}, func(done journal.Shredded, err error) { n.shredded(&kept, done, err) })
	}
	if err != nil {
		n.refuse(&req, err)
		return false
	}
	return true
}

// shredded publishes the outcome of an erasure and ends the request.
func (n *Node) shredded(req *request, done journal.Shredded, err error) {
	defer n.leave(req.ep)
	defer func() {
		if v := recover(); v != nil {
			n.panicked(req, v)
		}
	}()
	if err != nil {
		n.refuse(req, err)
		return
	}
	n.respond(req, answer{body: &codec.ShredReply{Receipt: done.Receipt, Keys: done.Keys, Events: done.Events}})
}
