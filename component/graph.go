package component

import (
	"context"
	"slices"

	"batpak/causal"
	"batpak/codec"
)

func (n *Node) serveWalk(req request) (goesOn bool) {
	var body codec.WalkRequest
	if err := codec.Unmarshal(req.body, req.format, &body); err != nil {
		n.refuse(&req, err)
		return false
	}
	return n.inBackground(n.reads, req, func(ctx context.Context, req *request) (answer, error) {
		page, err := n.journal.Walk(ctx, body, n.pageRoom(req.format, 1))
		if err != nil {
			return answer{}, err
		}
		reply := &codec.WalkReply{Events: page.Envelopes, End: page.End}
		return answer{reply, func(size, limit int) error {
			_, err := cutEvents(&reply.Events, size, limit)
			reply.End = codec.EndLimit
			return err
		}}, nil
	})
}

func (n *Node) serveGraph(req request) (goesOn bool) {
	var body codec.GraphRequest
	if err := codec.Unmarshal(req.body, req.format, &body); err != nil {
		n.refuse(&req, err)
		return false
	}
	return n.inBackground(n.reads, req, func(ctx context.Context, req *request) (answer, error) {
		page, err := n.journal.Graph(ctx, body, n.pageRoom(req.format, 1))
		if err != nil {
			return answer{}, err
		}
		reply := &codec.GraphReply{Events: page.Envelopes, Edges: page.Edges, More: page.More}
		return answer{reply, func(size, limit int) error { return cutGraph(reply, size, limit) }}, nil
	})
}

// cutGraph is cut for a graph. The events furthest away are at the end, and their edges go with them.
func cutGraph(reply *codec.GraphReply, size, limit int) error {
	gone := reply.Events
	if _, err := cutEvents(&reply.Events, size, limit); err != nil {
		return err
	}
	cut := make(map[causal.EventID]bool)
	for _, envelope := range gone[len(reply.Events):] {
		ev, err := codec.DecodeEnvelope(envelope)
		if err != nil {
			return err
		}
		cut[ev.ID] = true
	}
	reply.Edges = slices.DeleteFunc(reply.Edges, func(e codec.Edge) bool { return cut[e.Cause] || cut[e.Effect] })
	reply.More = true
	return nil
}
