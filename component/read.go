package component

import (
	"context"
	"fmt"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
)

// serveHead answers at once: where streams stand is in memory.
func (n *Node) serveHead(req request) (goesOn bool) {
	at, err := coordinateOf(req.tokens)
	var body codec.HeadRequest
	if err == nil {
		err = codec.Unmarshal(req.body, req.format, &body)
	}
	if err != nil {
		n.refuse(&req, err)
		return false
	}
	head := n.journal.Head(causal.Stream{Coordinate: at, Lane: body.Lane})
	n.respond(&req, answer{body: &codec.HeadReply{Version: head.Version, Seq: head.Seq, Hash: head.Hash}})
	return false
}

func (n *Node) serveGet(req request) (goesOn bool) {
	var body codec.GetRequest
	if err := codec.Unmarshal(req.body, req.format, &body); err != nil {
		n.refuse(&req, err)
		return false
	}
	return n.inBackground(n.reads, req, func(context.Context, *request) (answer, error) {
		var ev causal.Event
		var err error
		if body.Seq > 0 {
			ev, err = n.journal.GetSeq(body.Seq)
		} else {
			ev, err = n.journal.Get(body.ID)
		}
		if err != nil {
			return answer{}, err
		}
		return answer{body: &codec.GetReply{Event: ev.Envelope, Hash: ev.Hash}}, nil
	})
}

func (n *Node) serveRead(req request) (goesOn bool) {
	var sel codec.Selection
	err := codec.Unmarshal(req.body, req.format, &sel)
	if err == nil {
		err = narrow(&sel, req.tokens)
	}
	if err != nil {
		n.refuse(&req, err)
		return false
	}
	return n.inBackground(n.reads, req, func(ctx context.Context, req *request) (answer, error) {
		page, err := n.journal.Read(ctx, sel, n.pageRoom(req.format, 1))
		if err != nil {
			return answer{}, err
		}
		reply := &codec.ReadReply{Events: page.Envelopes, Next: page.Next, Head: page.Head, More: page.More}
		return answer{reply, func(size, limit int) error { return cut(reply, size, limit) }}, nil
	})
}

// narrow keeps a selection inside the scope of the subject, if that has one.
func narrow(sel *codec.Selection, token string) error {
	if token == "" {
		return nil
	}
	scope, err := codec.UnescapeToken(token)
	if err != nil {
		return err
	}
	if sel.Scope == "" {
		sel.Scope = scope
	}
	if sel.Scope != scope {
		return &invalidError{"the selection is in another scope than the subject's"}
	}
	return nil
}

// replyRoom is how many bytes of a message are for a reply's own keys and numbers.
const replyRoom = 1 << 10

// maxPage bounds the envelopes of a page, in bytes, where the server would take more: a node may
// work on many pages at a time. Only a page of a single event may be larger.
const maxPage = 1 << 20

// pageRoom is how many bytes of envelopes to read for a page of which every byte comes times
// times. JSON has each envelope in base64 and its payload again, so it starts with less; what
// really fits is seen when the page is encoded, and the rest is cut off.
func (n *Node) pageRoom(format codec.Format, times int) int {
	room := min(n.maxMessage()-replyRoom, maxPage) / times
	if format == codec.JSON {
		room /= 3
	}
	return room
}

// cut takes events off the end of a page of which size bytes were too many for a message of
// limit bytes. It returns an error when one event alone is too large.
func cut(page *codec.ReadReply, size, limit int) error {
	last, err := cutEvents(&page.Events, size, limit)
	if err != nil {
		return err
	}
	page.Next, page.More = last.Seq, true
	return nil
}

// cutEvents takes events off the end of a reply's, as cut does, and returns the last one that is left.
func cutEvents(events *[][]byte, size, limit int) (last causal.Event, err error) {
	keep := len(*events) * limit / size
	keep = max(min(keep, len(*events)-1), 1)
	last, err = codec.DecodeEnvelope((*events)[keep-1])
	if err != nil {
		return last, err
	}
	if len(*events) == 1 {
		return last, &sizeError{
			reason: fmt.Sprintf("event %d does not fit a message of the connection in this format", last.Seq),
			limit:  limit, seq: last.Seq,
		}
	}
	*events = (*events)[:keep]
	return last, nil
}

func (n *Node) serveOpen(req request) (goesOn bool) {
	var body codec.OpenRequest
	err := codec.Unmarshal(req.body, req.format, &body)
	if err == nil {
		err = narrow(&body.Selection, req.tokens)
	}
	if err != nil {
		n.refuse(&req, err)
		return false
	}
	return n.inBackground(n.reads, req, func(ctx context.Context, req *request) (answer, error) {
		page, err := n.selected(ctx, &body, n.pageRoom(req.format, 2))
		if err != nil {
			return answer{}, err
		}
		reply := &codec.OpenReply{
			ReadReply: codec.ReadReply{Events: page.Envelopes, Next: page.Next, Head: page.Head, More: page.More},
			Data:      make([]codec.Opened, len(page.Envelopes)),
		}
		for i, envelope := range page.Envelopes {
			if reply.Data[i], err = n.opened(envelope); err != nil {
				return answer{}, err
			}
		}
		return answer{reply, func(size, limit int) error {
			return cutOpened(reply, size, limit, len(body.IDs) > 0)
		}}, nil
	})
}

// selected reads what an open request names: the events of its selection, or those with its ids,
// in their order. An id of another scope than the subject's is as unknown as any.
func (n *Node) selected(ctx context.Context, body *codec.OpenRequest, room int) (journal.Page, error) {
	if len(body.IDs) == 0 {
		return n.journal.Read(ctx, body.Selection, room)
	}
	page := journal.Page{Head: n.journal.Visible()}
	for _, id := range body.IDs {
		if err := ctx.Err(); err != nil {
			return page, err
		}
		ev, err := n.journal.Get(id)
		if err == nil && body.Scope != "" && ev.Scope != body.Scope {
			err = fmt.Errorf("journal: event %s: %w", id, journal.ErrNotFound) // as if it were not there
		}
		if err != nil {
			return page, err
		}
		if room -= len(ev.Envelope); room < 0 && len(page.Envelopes) > 0 {
			page.More = true
			break
		}
		page.Envelopes = append(page.Envelopes, ev.Envelope)
	}
	return page, nil
}

// opened returns an event's payload in clear, or why there is none.
func (n *Node) opened(envelope []byte) (codec.Opened, error) {
	ev, err := codec.DecodeEnvelope(envelope)
	if err != nil {
		return codec.Opened{}, err
	}
	data, state, err := n.journal.Payload(&ev)
	if err != nil {
		return codec.Opened{}, err
	}
	return codec.Opened{State: codec.OpenState(state.String()), Data: data}, nil
}

// cutOpened is cut for a page with payloads. A lone event that was never sealed loses its payload,
// which its envelope has too.
func cutOpened(reply *codec.OpenReply, size, limit int, byID bool) error {
	if one := len(reply.Events) == 1; one && reply.Data[0].State == codec.StatePlain && reply.Data[0].Data != nil {
		reply.Data[0].Data = nil
		return nil
	}
	if err := cut(&reply.ReadReply, size, limit); err != nil {
		return err
	}
	reply.Data = reply.Data[:len(reply.Events)]
	if byID {
		reply.Next = 0 // the events are not in the journal's order
	}
	return nil
}
