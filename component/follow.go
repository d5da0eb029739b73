package component

import (
	"context"
	"fmt"

	"batpak/causal"
	"batpak/codec"
)

// Unfollowed is a cause in another journal that could not be had.
type Unfollowed struct {
	Effect causal.EventID
	Cause  causal.Cause
	Err    error // ErrNoNode when the journal is not among those that were given
}

// Follow adds to a graph the causes that its events have in other journals, and what those follow from, there and on
// into further journals. It asks the nodes of those journals; see [Client.Journals]. The request is the one that the graph came
// from: its Depth counts from the first event across journals, and no more events are added than fill its Limit.
// Each event is checked to be the one that is named as the cause, in the journal that is named.
//
// What could not be had is returned too, and the graph has the rest. The error is that of ctx.
func (c *Client) Follow(ctx context.Context, g Graph, req codec.GraphRequest, journals []Journal) (Graph, []Unfollowed, error) {
	f := follower{c: c, journals: journals, req: req, graph: g, place: places(g.Events), clients: make(map[causal.Lineage]*Client)}
	f.graph.Events = g.Events[:len(g.Events):len(g.Events)]
	f.steps = g.distances()
	for at := 0; at < len(f.graph.Events); at++ {
		ev := &f.graph.Events[at]
		for _, cause := range ev.Causes {
			if cause.Lineage.IsZero() || cause.Lineage == ev.Lineage {
				continue
			}
			if err := f.follow(ctx, ev.ID, cause, f.steps[at]+1); err != nil {
				return g, nil, err
			}
		}
	}
	f.graph.Edges = f.edges()
	return f.graph, f.lost, nil
}

// follower is one Follow.
type follower struct {
	c        *Client
	journals []Journal
	req      codec.GraphRequest
	graph    Graph
	place    map[causal.EventID]int
	steps    []int // of the graph's events, from its first
	clients  map[causal.Lineage]*Client
	lost     []Unfollowed
}

// distances is how far each event of a graph is from the first.
func (g *Graph) distances() []int {
	near, place := make(map[causal.EventID][]causal.EventID), places(g.Events)
	for _, e := range g.Edges {
		near[e.Cause] = append(near[e.Cause], e.Effect)
		near[e.Effect] = append(near[e.Effect], e.Cause)
	}
	steps := make([]int, len(g.Events))
	seen := map[causal.EventID]bool{g.Events[0].ID: true}
	for queue := []causal.EventID{g.Events[0].ID}; len(queue) > 0; queue = queue[1:] {
		for _, id := range near[queue[0]] {
			if !seen[id] {
				seen[id] = true
				steps[place[id]] = steps[place[queue[0]]] + 1
				queue = append(queue, id)
			}
		}
	}
	return steps
}

// follow adds a cause that is steps away from the first event, and what it follows from.
func (f *follower) follow(ctx context.Context, effect causal.EventID, cause causal.Cause, steps int) error {
	at, known := f.place[cause.ID]
	switch {
	case known && f.graph.Events[at].Lineage == cause.Lineage:
		return nil
	case steps > f.req.Steps(), len(f.graph.Events) >= f.req.Max():
		f.graph.More = true
		return nil
	}
	page, err := f.ask(ctx, cause, f.req.Steps()-steps)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil && known {
		err = fmt.Errorf("component: graph: %w: two journals have an event %s", ErrReply, cause.ID)
	}
	for i := range page.Events {
		if lineage := page.Events[i].Lineage; err == nil && lineage != cause.Lineage {
			err = fmt.Errorf("component: graph: %w: event %s is of lineage %s, not %s", ErrReply, page.Events[i].ID, lineage, cause.Lineage)
		}
	}
	if err != nil {
		f.lost = append(f.lost, Unfollowed{Effect: effect, Cause: cause, Err: err})
		return nil
	}
	far := page.distances()
	f.graph.More = f.graph.More || page.More
	for i := range page.Events {
		id := page.Events[i].ID
		if _, known := f.place[id]; known {
			continue
		}
		if len(f.graph.Events) >= f.req.Max() {
			f.graph.More = true
			break
		}
		f.place[id] = len(f.graph.Events)
		f.graph.Events = append(f.graph.Events, page.Events[i])
		f.steps = append(f.steps, steps+far[i])
	}
	return nil
}

// ask returns an event of another journal, and what it follows from there at most depth away.
func (f *follower) ask(ctx context.Context, cause causal.Cause, depth int) (Graph, error) {
	client, err := f.client(cause.Lineage)
	if err != nil {
		return Graph{}, err
	}
	if depth == 0 { // to the protocol that is no limit
		ev, err := client.Get(ctx, cause.ID)
		if err != nil {
			return Graph{}, err
		}
		for _, c := range ev.Causes {
			f.graph.More = f.graph.More || c.Lineage.IsZero() || c.Lineage == ev.Lineage
		}
		return Graph{Events: []causal.Event{ev}}, nil
	}
	most := uint64(f.req.Max() - len(f.graph.Events))
	return client.Graph(ctx, codec.GraphRequest{ID: cause.ID, Direction: codec.DirectionCauses, Depth: uint64(depth), Limit: most})
}

// client is one of the journal that has a lineage.
func (f *follower) client(lineage causal.Lineage) (*Client, error) {
	if client := f.clients[lineage]; client != nil {
		return client, nil
	}
	for _, j := range f.journals {
		if j.Lineage != lineage {
			continue
		}
		client, err := NewClient(f.c.nc, ClientOptions{Journal: j.Name, Prefix: j.Prefix, Timeout: f.c.timeout, Clock: f.c.clock})
		if err == nil {
			f.clients[lineage] = client
		}
		return client, err
	}
	return nil, fmt.Errorf("component: graph: %w for a journal of lineage %s", ErrNoNode, lineage)
}

// edges is every edge between two of the graph's events.
func (f *follower) edges() (edges []codec.Edge) {
	for i := range f.graph.Events {
		ev := &f.graph.Events[i]
		named := make(map[causal.EventID]bool, len(ev.Causes))
		for _, cause := range ev.Causes {
			lineage := cause.Lineage
			if lineage.IsZero() {
				lineage = ev.Lineage
			}
			at, there := f.place[cause.ID]
			if there && !named[cause.ID] && f.graph.Events[at].Lineage == lineage {
				named[cause.ID] = true
				edges = append(edges, codec.Edge{Cause: cause.ID, Effect: ev.ID})
			}
		}
	}
	return edges
}

func places(events []causal.Event) map[causal.EventID]int {
	place := make(map[causal.EventID]int, len(events))
	for i := range events {
		place[events[i].ID] = i
	}
	return place
}
