package component

import (
	"context"
	"fmt"
	"math"
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

// Graph returns the events around one: what it follows from, what follows from it, or both. The reply is checked
// against what its events say of their causes: each event is there once, and connected with the first in at most as
// many steps as were asked for, and the edges are every one between two of them, each from the earlier event to the
// later. To go on behind what is here, ask again from an event at its border.
func (c *Client) Graph(ctx context.Context, req codec.GraphRequest) (Graph, error) {
	var reply codec.GraphReply
	if err := c.ask(ctx, "graph", &req, &reply); err != nil {
		return Graph{}, err
	}
	g := Graph{Edges: reply.Edges, More: reply.More}
	var err error
	if g.Events, err = eventsFrom(reply.Events, req.ID, req.Max()); err == nil {
		err = g.check(&req)
	}
	if err != nil {
		return Graph{}, fmt.Errorf("component: graph: %w", err)
	}
	return g, nil
}

// check says whether the graph is one that its events say, and an answer to req. Its errors match ErrReply.
func (g *Graph) check(req *codec.GraphRequest) error {
	place := places(g.Events)
	if len(place) < len(g.Events) {
		return fmt.Errorf("%w: an event is there twice", ErrReply)
	}
	missing := make(map[codec.Edge]bool) // edges that events say; false when it was found
	for i := range g.Events {
		ev := &g.Events[i]
		for _, id := range ev.Vertex().Causes {
			at, there := place[id]
			if !there || g.Events[at].Lineage != ev.Lineage {
				continue
			}
			if seq := g.Events[at].Seq; seq >= ev.Seq {
				return fmt.Errorf("%w: event %d cannot follow from event %d", ErrReply, ev.Seq, seq)
			}
			missing[codec.Edge{Cause: id, Effect: ev.ID}] = true
		}
	}
	said := len(missing)
	for _, e := range g.Edges {
		if !missing[e] {
			return fmt.Errorf("%w: %s is not said to be a cause of %s, or for the second time", ErrReply, e.Cause, e.Effect)
		}
		missing[e] = false
	}
	if len(g.Edges) < said {
		return fmt.Errorf("%w: %d edges, of %d", ErrReply, len(g.Edges), said)
	}
	for i, steps := range g.distances(req.Direction) {
		if steps == unconnected || steps > req.Steps() {
			return fmt.Errorf("%w: event %d is not among those that were asked for", ErrReply, g.Events[i].Seq)
		}
	}
	return nil
}

// unconnected is the distance of an event that the first one does not lead to.
const unconnected = math.MaxInt

// distances is how many steps each event of a graph is from the first, in a direction.
func (g *Graph) distances(direction string) []int {
	place, near := places(g.Events), make([][]int, len(g.Events))
	for _, e := range g.Edges {
		cause, effect := place[e.Cause], place[e.Effect]
		if direction != codec.DirectionEffects {
			near[effect] = append(near[effect], cause)
		}
		if direction != codec.DirectionCauses {
			near[cause] = append(near[cause], effect)
		}
	}
	steps := slices.Repeat([]int{unconnected}, len(g.Events))
	steps[0] = 0
	for queue := []int{0}; len(queue) > 0; queue = queue[1:] {
		for _, at := range near[queue[0]] {
			if steps[at] == unconnected {
				steps[at] = steps[queue[0]] + 1
				queue = append(queue, at)
			}
		}
	}
	return steps
}

// places is where each event is.
func places(events []causal.Event) map[causal.EventID]int {
	place := make(map[causal.EventID]int, len(events))
	for i := range events {
		place[events[i].ID] = i
	}
	return place
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
