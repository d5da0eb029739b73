package component

import (
	"context"
	"fmt"
	"slices"

	"batpak/causal"
	"batpak/codec"
)

// Walked is a part of a stream, backwards.
type Walked struct {
	Events []causal.Event // the newest first
	End    string         // why there are no more: codec.EndGenesis, EndLimit or EndMissing
}

// Walk returns an event and those before it in its stream, as many as the request's Limit says or a message
// holds. Each is checked to be the one whose hash the event behind it carries. To go on where it ended with
// codec.EndLimit, ask again from the last event, which then comes first.
func (c *Client) Walk(ctx context.Context, req codec.WalkRequest) (Walked, error) {
	var reply codec.WalkReply
	if err := c.ask(ctx, "walk", &req, &reply); err != nil {
		return Walked{}, err
	}
	w := Walked{End: reply.End}
	var err error
	if w.Events, err = eventsFrom(reply.Events, req.ID, req.Max()); err != nil {
		return Walked{}, fmt.Errorf("component: walk: %w", err)
	}
	for i := range w.Events[1:] {
		before := &w.Events[i+1]
		head := causal.Head{Seq: before.Seq, Version: before.Version, Hash: before.Hash}
		if err := head.Check(&w.Events[i].Header); err != nil {
			return Walked{}, fmt.Errorf("component: walk: %w: %w", ErrReply, err)
		}
		if before.Stream() != w.Events[i].Stream() {
			return Walked{}, fmt.Errorf("component: walk: %w: event %d is of stream %s", ErrReply, before.Seq, before.Stream())
		}
	}
	last := &w.Events[len(w.Events)-1]
	switch w.End {
	case codec.EndGenesis, codec.EndLimit, codec.EndMissing:
	default:
		return Walked{}, fmt.Errorf("component: walk: %w: it ends with %.20q", ErrReply, w.End)
	}
	if (w.End == codec.EndGenesis) != (last.Version == 1) {
		return Walked{}, fmt.Errorf("component: walk: %w: it ends with %s at version %d", ErrReply, w.End, last.Version)
	}
	return w, nil
}

// Graph is a part of the causal graph.
type Graph struct {
	Events []causal.Event // by distance from the first
	Edges  []codec.Edge   // every one between two of the events
	More   bool           // the graph goes on behind what is here
}

// Graph returns the events around one: what it follows from, what follows from it, or both. Each edge is checked
// to be what its effect says. To go on behind what is here, ask again from an event at its border.
func (c *Client) Graph(ctx context.Context, req codec.GraphRequest) (Graph, error) {
	var reply codec.GraphReply
	if err := c.ask(ctx, "graph", &req, &reply); err != nil {
		return Graph{}, err
	}
	g := Graph{Edges: reply.Edges, More: reply.More}
	var err error
	if g.Events, err = eventsFrom(reply.Events, req.ID, req.Max()); err != nil {
		return Graph{}, fmt.Errorf("component: graph: %w", err)
	}
	causes := make(map[causal.EventID][]causal.EventID, len(g.Events))
	for i := range g.Events {
		causes[g.Events[i].ID] = g.Events[i].Vertex().Causes
	}
	for _, e := range g.Edges {
		if _, there := causes[e.Cause]; !there || !slices.Contains(causes[e.Effect], e.Cause) {
			return Graph{}, fmt.Errorf("component: graph: %w: %s is not said to be a cause of %s", ErrReply, e.Cause, e.Effect)
		}
	}
	return g, nil
}

// eventsFrom decodes the events of a reply of which the first was asked for by its id.
func eventsFrom(envelopes [][]byte, id causal.EventID, most int) ([]causal.Event, error) {
	if len(envelopes) == 0 || len(envelopes) > most {
		return nil, fmt.Errorf("%w: %d events, of at most %d", ErrReply, len(envelopes), most)
	}
	events := make([]causal.Event, len(envelopes))
	for i, envelope := range envelopes {
		ev, err := codec.DecodeEnvelope(envelope)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrReply, err)
		}
		events[i] = ev
	}
	if events[0].ID != id {
		return nil, fmt.Errorf("%w: the first event is %s", ErrReply, events[0].ID)
	}
	return events, nil
}
