package component

import (
	"context"
	"fmt"
	"iter"

	"batpak/causal"
	"batpak/codec"
)

// Get returns the event with this id.
func (c *Client) Get(ctx context.Context, id causal.EventID) (causal.Event, error) {
	return c.get(ctx, &codec.GetRequest{ID: id})
}

// GetSeq returns the event with this sequence.
func (c *Client) GetSeq(ctx context.Context, seq uint64) (causal.Event, error) {
	return c.get(ctx, &codec.GetRequest{Seq: seq})
}

func (c *Client) get(ctx context.Context, req *codec.GetRequest) (causal.Event, error) {
	var reply codec.GetReply
	if err := c.ask(ctx, "get", req, &reply); err != nil {
		return causal.Event{}, err
	}
	ev, err := codec.DecodeEnvelope(reply.Event)
	switch {
	case err != nil:
		err = fmt.Errorf("component: get: %w: %w", ErrReply, err)
	case ev.Hash != reply.Hash:
		err = fmt.Errorf("component: get: %w: event %d has hash %s, not %s", ErrReply, ev.Seq, ev.Hash, reply.Hash)
	case req.Seq != 0 && ev.Seq != req.Seq, req.Seq == 0 && ev.ID != req.ID:
		err = fmt.Errorf("component: get: %w: it is event %d (%s)", ErrReply, ev.Seq, ev.ID)
	}
	return ev, err
}

// Read gives the events that sel selects, in ascending order, up to what the journal had when it
// was asked first (and up to sel.Until). Limit is how many are asked for at a time. Each event is
// decoded from its envelope, and its hash is computed here. An error ends it. With a scope in
// sel, the subject for that scope is asked.
func (c *Client) Read(ctx context.Context, sel codec.Selection) iter.Seq2[causal.Event, error] {
	return func(yield func(causal.Event, error) bool) {
		subject, err := selectionSubject("read", &sel)
		if err != nil {
			yield(causal.Event{}, err)
			return
		}
		for more := true; more; {
			var reply codec.ReadReply
			if err := c.ask(ctx, subject, &sel, &reply); err != nil {
				yield(causal.Event{}, err)
				return
			}
			for _, envelope := range reply.Events {
				ev, err := eventOf(envelope, &sel)
				if !yield(ev, err) || err != nil {
					return
				}
			}
			if more, err = advance(&sel, &reply); err != nil {
				yield(causal.Event{}, fmt.Errorf("component: %s: %w", subject, err))
				return
			}
		}
	}
}

// Opened is an event with its payload in clear, or with why there is none.
type Opened struct {
	causal.Event
	State   causal.PayloadState
	Payload []byte // one MessagePack value; nil unless State is causal.Plain or causal.Opened
}

// Open is Read with the payloads opened. An event whose payload was erased, or whose key is
// missing, is not an error: its State says so.
func (c *Client) Open(ctx context.Context, sel codec.Selection) iter.Seq2[Opened, error] {
	return func(yield func(Opened, error) bool) {
		subject, err := selectionSubject("open", &sel)
		if err != nil {
			yield(Opened{}, err)
			return
		}
		for more := true; more; {
			var reply codec.OpenReply
			if err := c.ask(ctx, subject, &codec.OpenRequest{Selection: sel}, &reply); err != nil {
				yield(Opened{}, err)
				return
			}
			if !yieldOpened(&reply, &sel, yield) {
				return
			}
			if more, err = advance(&sel, &reply.ReadReply); err != nil {
				yield(Opened{}, fmt.Errorf("component: %s: %w", subject, err))
				return
			}
		}
	}
}

// OpenIDs gives the events with these ids, in their order, with the payloads opened. An id that is
// not there is an error that matches ErrNotFound.
func (c *Client) OpenIDs(ctx context.Context, ids ...causal.EventID) iter.Seq2[Opened, error] {
	return func(yield func(Opened, error) bool) {
		for len(ids) > 0 {
			var reply codec.OpenReply
			asked := ids[:min(len(ids), codec.MaxIDs)]
			if err := c.ask(ctx, "open", &codec.OpenRequest{IDs: asked}, &reply); err != nil {
				yield(Opened{}, err)
				return
			}
			if n := len(reply.Events); n == 0 || n > len(asked) {
				yield(Opened{}, fmt.Errorf("component: open: %w: %d events for %d ids", ErrReply, n, len(asked)))
				return
			}
			if !yieldOpened(&reply, nil, yield) {
				return
			}
			ids = ids[len(reply.Events):]
		}
	}
}

// yieldOpened gives a page's events, and says whether to go on.
func yieldOpened(reply *codec.OpenReply, sel *codec.Selection, yield func(Opened, error) bool) bool {
	if len(reply.Data) != len(reply.Events) {
		yield(Opened{}, fmt.Errorf("component: open: %w: %d payloads for %d events", ErrReply, len(reply.Data), len(reply.Events)))
		return false
	}
	for i, envelope := range reply.Events {
		ev, err := eventOf(envelope, sel)
		o := Opened{Event: ev, Payload: reply.Data[i].Data}
		if err == nil {
			err = o.settle(reply.Data[i].State)
		}
		if err != nil {
			yield(Opened{}, err)
			return false
		}
		if !yield(o, nil) {
			return false
		}
	}
	return true
}

// settle fills in the state, and the payload that a page left to the envelope.
func (o *Opened) settle(state codec.OpenState) error {
	switch state {
	case codec.StatePlain:
		o.State = causal.Plain
		if o.Payload == nil {
			o.Payload = o.Data
		}
	case codec.StateOpened:
		o.State = causal.Opened
	case codec.StateShredded:
		o.State = causal.Shredded
	case codec.StateKeyMissing:
		o.State = causal.KeyMissing
	default:
		return fmt.Errorf("component: open: %w: event %d has state %.20q", ErrReply, o.Seq, state)
	}
	if (o.State == causal.Plain || o.State == causal.Opened) != (o.Payload != nil) {
		return fmt.Errorf("component: open: %w: event %d is %s, with a payload of %d bytes", ErrReply, o.Seq, state, len(o.Payload))
	}
	return nil
}

// selectionSubject returns the subject to ask for a selection.
func selectionSubject(name string, sel *codec.Selection) (string, error) {
	if sel.Scope == "" {
		return name, nil
	}
	return scopeSubject(name, sel.Scope)
}

// eventOf decodes an envelope of a page, and checks that it belongs there: behind sel.After,
// which moves on to it. Sel is nil for events in another order.
func eventOf(envelope []byte, sel *codec.Selection) (causal.Event, error) {
	ev, err := codec.DecodeEnvelope(envelope)
	switch {
	case err != nil:
		return ev, fmt.Errorf("component: %w: %w", ErrReply, err)
	case sel == nil:
	case ev.Seq <= sel.After:
		return ev, fmt.Errorf("component: %w: event %d after %d", ErrReply, ev.Seq, sel.After)
	default:
		sel.After = ev.Seq
	}
	return ev, nil
}

// advance moves the selection on to the next page, and says whether there is one.
func advance(sel *codec.Selection, reply *codec.ReadReply) (more bool, err error) {
	if sel.Until == 0 {
		sel.Until = reply.Head
	}
	// A page without events moves on too, when the node looked at much and found nothing.
	if reply.More && len(reply.Events) == 0 && reply.Next <= sel.After {
		return false, fmt.Errorf("%w: more after %d, but no next page", ErrReply, sel.After)
	}
	sel.After = max(sel.After, reply.Next)
	return reply.More && sel.After < sel.Until, nil
}
