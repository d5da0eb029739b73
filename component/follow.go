package component

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"batpak/causal"
	"batpak/codec"
)

// Unfollowed is a cause that could not be had, or that cannot be one.
type Unfollowed struct {
	Effect causal.EventID // one of those that name it
	Cause  causal.Cause
	Err    error // ErrNoNode when the journal is not among those that were given
}

// Follow adds to a graph the causes that its events have in other journals, and what those follow from, there and on
// into further journals. It asks the nodes of those journals; see [Client.Journals]. The request is the one that the graph
// came from: its Depth counts from the first event across journals, from each event of the graph on along causes, by the
// shortest way. No more events are added than fill its Limit; those that find no room need not be the furthest. Nor are
// more requests sent, or more causes returned that could not be had, than its Limit says. Whatever is left out for such a
// reason, More says so. Each event is checked to be the one that is named as the cause, in the journal that is named.
//
// What could not be had is returned too, each cause once, and the graph has the rest. A node that does not answer is not
// asked again, but for each of its journal's causes the error is the same. When events of other journals name causes in
// such a way that an event would follow from itself, the edges that would close the circle are left out, and are returned
// with an error that matches ErrReply; those that events of the graph's own journal name stay. The error that
// Follow itself returns is that of ctx.
func (c *Client) Follow(ctx context.Context, g Graph, req codec.GraphRequest, journals []Journal) (Graph, []Unfollowed, error) {
	own := g.Events[0].Lineage
	f := follower{
		c: c, journals: journals, req: req, graph: g, own: own, place: places(g.Events), given: g.distances(req.Direction),
		clients: map[causal.Lineage]*Client{own: c}, silent: make(map[causal.Lineage]error), failed: make(map[causal.Cause]bool),
	}
	f.graph.Events = g.Events[:len(g.Events):len(g.Events)]
	f.steps = slices.Clone(f.given)
	for steps := 0; steps <= req.Steps(); steps++ {
		for at := 0; at < len(f.graph.Events); at++ {
			if f.steps[at] != steps {
				continue
			}
			if err := f.goOn(ctx, at); err != nil {
				return g, nil, err
			}
		}
	}
	f.sort()
	f.join()
	return f.graph, f.lost, nil
}

// follower is one Follow. It goes on from events nearest first, so that an event's distance is the least when it is
// its turn, whichever way found it first.
type follower struct {
	c        *Client
	journals []Journal
	req      codec.GraphRequest
	graph    Graph
	own      causal.Lineage // of the graph's first event
	place    map[causal.EventID]int
	given    []int // how far from the first the graph's events were without other journals
	steps    []int // and how far they are
	clients  map[causal.Lineage]*Client
	requests int
	silent   map[causal.Lineage]error // why the node of that journal is asked no more
	failed   map[causal.Cause]bool    // those that are lost
	lost     []Unfollowed
}

// goOn takes the causes of an event. One that was given, and is no nearer than it was, has those in its own journal.
func (f *follower) goOn(ctx context.Context, at int) error {
	ev, steps := f.graph.Events[at], f.steps[at]
	has := at < len(f.given) && steps == f.given[at]
	for _, cause := range ev.Causes {
		cause = spelledOut(cause, &ev)
		if has && cause.Lineage == ev.Lineage {
			continue
		}
		if err := f.follow(ctx, ev.ID, cause, steps+1); err != nil {
			return err
		}
	}
	return nil
}

// spelledOut is a cause of an event with its lineage.
func spelledOut(cause causal.Cause, ev *causal.Event) causal.Cause {
	if cause.Lineage.IsZero() {
		cause.Lineage = ev.Lineage
	}
	return cause
}

// follow adds a cause that is steps away from the first event, and what it follows from.
func (f *follower) follow(ctx context.Context, effect causal.EventID, cause causal.Cause, steps int) error {
	at, known := f.place[cause.ID]
	switch {
	case known && f.graph.Events[at].Lineage == cause.Lineage:
		f.steps[at] = min(f.steps[at], steps)
		return nil
	case f.failed[cause]:
		return nil
	case steps > f.req.Steps(), max(len(f.graph.Events), f.requests, len(f.lost)) >= f.req.Max():
		f.graph.More = true
		return nil
	}
	var page Graph
	err := f.silent[cause.Lineage]
	switch {
	case err != nil:
	case known:
		err = fmt.Errorf("component: graph: %w: two journals have an event %s", ErrReply, cause.ID)
	default:
		page, err = f.ask(ctx, cause, f.req.Steps()-steps)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		f.failed[cause] = true
		f.lose(effect, cause, err)
		return nil
	}
	far := page.distances(codec.DirectionCauses)
	for i := range page.Events {
		id := page.Events[i].ID
		if _, known := f.place[id]; known || len(f.graph.Events) >= f.req.Max() {
			continue // there is more then, as goOn finds when it comes to what names it
		}
		f.place[id] = len(f.graph.Events)
		f.graph.Events = append(f.graph.Events, page.Events[i])
		f.steps = append(f.steps, steps+far[i])
	}
	return nil
}

// lose notes what could not be had, as long as there is room.
func (f *follower) lose(effect causal.EventID, cause causal.Cause, err error) {
	if len(f.lost) >= f.req.Max() {
		f.graph.More = true
		return
	}
	f.lost = append(f.lost, Unfollowed{Effect: effect, Cause: cause, Err: err})
}

// ask returns an event of another journal, and what it follows from there at most depth away. It notes a node that
// does not answer.
func (f *follower) ask(ctx context.Context, cause causal.Cause, depth int) (Graph, error) {
	client, err := f.client(cause.Lineage)
	var page Graph
	if err == nil {
		f.requests++
		ctx, cancel := context.WithTimeout(ctx, f.c.timeout) // one node does not use up the time of all
		defer cancel()
		page, err = f.page(ctx, client, cause.ID, depth)
	}
	if errors.Is(err, ErrNoNode) || errors.Is(err, context.DeadlineExceeded) {
		f.silent[cause.Lineage] = err
	}
	if err != nil {
		return Graph{}, err
	}
	for i := range page.Events {
		ev := &page.Events[i]
		if ev.Lineage != cause.Lineage {
			return Graph{}, fmt.Errorf("component: graph: %w: event %s is of lineage %s, not %s", ErrReply, ev.ID, ev.Lineage, cause.Lineage)
		}
		if n := len(ev.Causes); n > codec.MaxCauses {
			return Graph{}, fmt.Errorf("component: graph: %w: event %s has %d causes, of at most %d", ErrReply, ev.ID, n, codec.MaxCauses)
		}
	}
	return page, nil
}

// page asks a node for a page of its graph.
func (f *follower) page(ctx context.Context, client *Client, id causal.EventID, depth int) (Graph, error) {
	if depth == 0 { // to the protocol that is no limit
		ev, err := client.Get(ctx, id)
		return Graph{Events: []causal.Event{ev}}, err
	}
	most := uint64(f.req.Max() - len(f.graph.Events))
	return client.Graph(ctx, codec.GraphRequest{ID: id, Direction: codec.DirectionCauses, Depth: uint64(depth), Limit: most})
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

// sort puts the events in order of their distance.
func (f *follower) sort() {
	order := make([]int, len(f.steps))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return f.steps[a] - f.steps[b] })
	events := make([]causal.Event, len(order))
	for i, at := range order {
		events[i] = f.graph.Events[at]
	}
	f.graph.Events, f.place = events, places(events)
}

// join makes the edges: every one between two of the graph's events that closes no circle. First come those within
// a journal, where the sequences show that there is none, and those that the graph's own journal names.
func (f *follower) join() {
	f.graph.Edges = nil
	before := newAncestors(len(f.graph.Events))
	for _, believed := range []bool{true, false} {
		for i := range f.graph.Events {
			ev := &f.graph.Events[i]
			named := make(map[causal.EventID]bool, len(ev.Causes))
			for _, cause := range ev.Causes {
				cause = spelledOut(cause, ev)
				at, there := f.place[cause.ID]
				within := cause.Lineage == ev.Lineage
				if !there || named[cause.ID] || f.graph.Events[at].Lineage != cause.Lineage || (within || ev.Lineage == f.own) != believed {
					continue
				}
				named[cause.ID] = true
				if within && f.graph.Events[at].Seq >= ev.Seq || !before.add(at, i) {
					f.lose(ev.ID, cause, fmt.Errorf("component: graph: %w: event %s is named as a cause of %s, but is not before it", ErrReply, cause.ID, ev.ID))
					continue
				}
				f.graph.Edges = append(f.graph.Edges, codec.Edge{Cause: cause.ID, Effect: ev.ID})
			}
		}
	}
}

// ancestors has for each event, by its place, a bit for each that it follows from.
type ancestors [][]uint64

func newAncestors(n int) ancestors {
	a := make(ancestors, n)
	for i := range a {
		a[i] = make([]uint64, (n+63)/64)
	}
	return a
}

func (a ancestors) has(event, ancestor int) bool { return a[event][ancestor/64]>>(ancestor%64)&1 != 0 }

// add lets an event follow from another, and says whether it could: not when that one follows from it.
func (a ancestors) add(cause, effect int) bool {
	if cause == effect || a.has(cause, effect) {
		return false
	}
	if a.has(effect, cause) {
		return true
	}
	for i := range a {
		if i != effect && !a.has(i, effect) {
			continue
		}
		a[i][cause/64] |= 1 << (cause % 64)
		for word, bits := range a[cause] {
			a[i][word] |= bits
		}
	}
	return true
}
