package component_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"

	"github.com/nats-io/nats.go/micro"
)

// beside starts a node for another journal on a bed's server, and returns a client of it.
func (b *bed) beside(t testing.TB, name, prefix string) (*component.Node, *component.Client) {
	t.Helper()
	node := must(component.Open(context.Background(), component.Config{
		Conn: b.server.Connect(), Dir: t.TempDir(), Name: name, Prefix: prefix, SegmentBytes: 4 << 20, Onward: component.OnwardNone,
		ClaimWait: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	}))(t)
	t.Cleanup(func() { node.Close() })
	return node, must(component.NewClient(b.nc, component.ClientOptions{Journal: name, Prefix: prefix}))(t)
}

// relay of events between journals: b2 follows from a1, a2 from b1 and b2, c1 from a2 and b2.
func TestFollowGoesOnIntoOtherJournals(t *testing.T) {
	b := serve(t, noOnward)
	other, there := b.beside(t, "other", "")
	far, away := b.beside(t, "far", "elsewhere")
	ctx := soon(t)
	add := func(c *component.Client, causes ...causal.Cause) causal.EventID {
		t.Helper()
		return must(c.Append(ctx, at("s", "e"), codec.Append{Kind: kind, Data: []byte{1}, Causes: causes}))(t).ID
	}
	a1 := add(b.client)
	b1 := add(there)
	b2 := add(there, in(b.node, a1), causal.Cause{ID: b1})
	a2 := add(b.client, in(other, b1), in(other, b2))
	c1 := add(away, in(b.node, a2), in(other, b2), in(other, b2))
	c2 := add(away, causal.Cause{ID: c1})

	journals := must(away.Journals(ctx, 300*time.Millisecond))(t)
	if len(journals) != 3 || !slices.Contains(journals, component.Journal{Name: "far", Lineage: far.Journal().Lineage(), Prefix: "elsewhere"}) {
		t.Fatalf("journals %v", journals)
	}
	for _, tc := range []struct {
		depth, limit uint64
		want         []causal.EventID
		edges        int
		more         bool
	}{
		{0, 0, []causal.EventID{c2, c1, a2, b2, b1, a1}, 7, false},
		{4, 0, []causal.EventID{c2, c1, a2, b2, b1, a1}, 7, false},
		{1, 0, []causal.EventID{c2, c1}, 1, true},
		{2, 0, []causal.EventID{c2, c1, a2, b2}, 4, true},
		{0, 3, []causal.EventID{c2, c1, a2}, 2, true},
	} {
		req := codec.GraphRequest{ID: c2, Direction: codec.DirectionCauses, Depth: tc.depth, Limit: tc.limit}
		g, lost, err := away.Follow(ctx, must(away.Graph(ctx, req))(t), req, journals)
		if err != nil || len(lost) > 0 {
			t.Fatalf("%v, lost %v", err, lost)
		}
		var got []causal.EventID
		for i := range g.Events {
			got = append(got, g.Events[i].ID)
		}
		slices.SortFunc(got, causal.EventID.Compare)
		slices.SortFunc(tc.want, causal.EventID.Compare)
		if !slices.Equal(got, tc.want) || len(g.Edges) != tc.edges || g.More != tc.more {
			t.Errorf("depth %d, limit %d: %d events, not %d; %d edges, more %v", tc.depth, tc.limit, len(got), len(tc.want), len(g.Edges), g.More)
		}
	}

	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	req := codec.GraphRequest{ID: c2, Direction: codec.DirectionCauses}
	g, lost, err := away.Follow(ctx, must(away.Graph(ctx, req))(t), req, must(away.Journals(ctx, 300*time.Millisecond))(t))
	if err != nil || len(g.Events) != 3 || len(lost) == 0 {
		t.Fatalf("%d events, lost %v, %v", len(g.Events), lost, err)
	}
	for _, l := range lost {
		if l.Cause.Lineage != other.Journal().Lineage() || !errors.Is(l.Err, component.ErrNoNode) {
			t.Errorf("lost %+v", l)
		}
	}
}

// A node that says it has another journal's lineage is not believed when its events are of its own.
func TestFollowChecksWhoseTheEventsAre(t *testing.T) {
	b := serve(t, noOnward)
	_, there := b.beside(t, "other", "")
	ctx := soon(t)
	id := must(there.Append(ctx, at("s", "e"), codec.Append{Kind: kind, Data: []byte{1}}))(t).ID
	claimed := causal.NewLineage()
	from := must(b.client.Append(ctx, at("s", "e"), codec.Append{Kind: kind, Data: []byte{1}, Causes: []causal.Cause{{Lineage: claimed, ID: id}}}))(t)
	for _, depth := range []uint64{1, 10} {
		req := codec.GraphRequest{ID: from.ID, Direction: codec.DirectionCauses, Depth: depth}
		g, lost, err := b.client.Follow(ctx, must(b.client.Graph(ctx, req))(t), req, []component.Journal{{Name: "other", Lineage: claimed, Prefix: component.DefaultPrefix}})
		if err != nil || len(g.Events) != 1 || len(lost) != 1 || !errors.Is(lost[0].Err, component.ErrReply) {
			t.Errorf("depth %d: %d events, lost %v, %v", depth, len(g.Events), lost, err)
		}
	}
}

// in names an event of a node's journal as a cause from another.
func in(n *component.Node, id causal.EventID) causal.Cause {
	return causal.Cause{Lineage: n.Journal().Lineage(), ID: id}
}

// follow asks for the causes of an event, and has Follow go on from there into journals.
func (b *bed) follow(t *testing.T, req codec.GraphRequest, journals ...component.Journal) (component.Graph, []component.Unfollowed) {
	t.Helper()
	c := must(component.NewClient(b.nc, component.ClientOptions{Journal: "main", Timeout: 2 * time.Second}))(t)
	ctx := soon(t)
	req.Direction = codec.DirectionCauses
	g, lost, err := c.Follow(ctx, must(c.Graph(ctx, req))(t), req, journals)
	if err != nil {
		t.Fatal(err)
	}
	return g, lost
}

// effect appends an event to the bed's journal that follows from others.
func (b *bed) effect(t *testing.T, causes ...causal.Cause) causal.EventID {
	t.Helper()
	return must(b.client.Append(soon(t), at("s", "e"), codec.Append{Kind: kind, Data: []byte{1}, Causes: causes}))(t).ID
}

func TestFollowCountsTheShortestWay(t *testing.T) {
	b := serve(t, noOnward)
	other, there := b.beside(t, "other", "")
	known := component.Journal{Name: "other", Lineage: other.Journal().Lineage(), Prefix: component.DefaultPrefix}
	var z []causal.EventID
	for i := range 8 {
		a := codec.Append{Kind: kind, Data: []byte{1}}
		if i > 0 {
			a.Causes = []causal.Cause{{ID: z[i-1]}}
		}
		z = append(z, must(there.Append(soon(t), at("s", "e"), a))(t).ID)
	}
	check := func(g component.Graph, lost []component.Unfollowed, want ...[]causal.EventID) {
		t.Helper()
		at := 0
		for steps, ids := range want {
			for range ids {
				if at == len(g.Events) || !slices.Contains(ids, g.Events[at].ID) {
					t.Fatalf("%d events, of which number %d is not %d steps away", len(g.Events), at, steps)
				}
				at++
			}
		}
		if at < len(g.Events) || len(lost) > 0 {
			t.Fatalf("%d events, not %d; lost %v", len(g.Events), at, lost)
		}
	}
	for _, causes := range [][]causal.Cause{{in(other, z[7]), in(other, z[3])}, {in(other, z[3]), in(other, z[7])}} {
		id := b.effect(t, causes...)
		g, lost := b.follow(t, codec.GraphRequest{ID: id, Depth: 5}, known)
		check(g, lost, []causal.EventID{id}, []causal.EventID{z[7], z[3]}, []causal.EventID{z[6], z[2]}, []causal.EventID{z[5], z[1]}, []causal.EventID{z[4], z[0]})
		if len(g.Edges) != 9 || g.More {
			t.Errorf("%d edges, more %v", len(g.Edges), g.More)
		}
	}

	// The way through the other journal to an event of one's own may be the shorter one too.
	var a []causal.EventID
	for i := range 6 {
		var causes []causal.Cause
		if i > 0 {
			causes = []causal.Cause{{ID: a[i-1]}}
		}
		a = append(a, b.effect(t, causes...))
	}
	back := must(there.Append(soon(t), at("s", "e"), codec.Append{Kind: kind, Data: []byte{1}, Causes: []causal.Cause{in(b.node, a[2])}}))(t).ID
	id := b.effect(t, causal.Cause{ID: a[5]}, in(other, back))
	g, lost := b.follow(t, codec.GraphRequest{ID: id, Depth: 4}, known)
	check(g, lost, []causal.EventID{id}, []causal.EventID{a[5], back}, []causal.EventID{a[4], a[2]}, []causal.EventID{a[3], a[1]}, []causal.EventID{a[0]})
}

func TestFollowAsksASilentNodeOnce(t *testing.T) {
	b := serve(t, noOnward)
	silent := component.Journal{Name: "silent", Lineage: causal.NewLineage(), Prefix: component.DefaultPrefix}
	requests := must(b.nc.SubscribeSync("batpak.silent.>"))(t)
	var causes []causal.Cause
	for range 20 {
		causes = append(causes, causal.Cause{Lineage: silent.Lineage, ID: newID()})
	}
	first := b.effect(t, causes...)
	id := b.effect(t, append(causes, causal.Cause{ID: first})...)
	for limit, want := range map[uint64]int{100: 20, 5: 5} {
		g, lost := b.follow(t, codec.GraphRequest{ID: id, Limit: limit}, silent)
		if len(g.Events) != 2 || len(lost) != want || g.More != (want < 20) {
			t.Errorf("limit %d: %d events, %d lost, more %v", limit, len(g.Events), len(lost), g.More)
		}
		for _, l := range lost {
			if !errors.Is(l.Err, context.DeadlineExceeded) {
				t.Error(l.Err)
			}
		}
		if n, _, err := requests.Pending(); n != 1 || err != nil {
			t.Errorf("limit %d: %d requests, %v", limit, n, err)
		}
		must(requests.NextMsg(time.Second))(t)
	}
}

// newID returns an id that no event has.
func newID() causal.EventID {
	id := causal.EventID(causal.NewLineage())
	id[6] = 0x70 | id[6]&0x0f // version 7, as ids of events are
	return id
}

// foreign makes the envelope of an event as another journal could have it.
func foreign(lineage causal.Lineage, id causal.EventID, causes ...causal.Cause) []byte {
	h := causal.Header{Lineage: lineage, ID: id, Seq: 1, Coordinate: at("s", "e"), Version: 1, Kind: kind, Time: causal.HLC{Millis: 1}, Causes: causes}
	return codec.AppendEnvelope(nil, &h, []byte{1})
}

func TestFollowTakesNoEventWithMoreCausesThanAnAppendHas(t *testing.T) {
	b := serve(t, noOnward)
	tell := liarOn(t, b, "liar")
	liar := component.Journal{Name: "liar", Lineage: causal.NewLineage(), Prefix: component.DefaultPrefix}
	z := newID()
	id := b.effect(t, causal.Cause{Lineage: liar.Lineage, ID: z})
	var causes []causal.Cause
	for range codec.MaxCauses + 1 {
		causes = append(causes, causal.Cause{Lineage: causal.NewLineage(), ID: newID()})
	}
	for n, want := range map[int]int{codec.MaxCauses: 2, codec.MaxCauses + 1: 1} {
		tell(&codec.GraphReply{Events: [][]byte{foreign(liar.Lineage, z, causes[:n]...)}})
		g, lost := b.follow(t, codec.GraphRequest{ID: id}, liar)
		if len(g.Events) != want || len(lost) == 0 || errors.Is(lost[0].Err, component.ErrReply) != (want == 1) {
			t.Errorf("%d causes: %d events, %d lost", n, len(g.Events), len(lost))
		}
	}
}

func TestFollowLeavesOutWhatWouldCloseACircle(t *testing.T) {
	b := serve(t, noOnward)
	tellX, tellY := liarOn(t, b, "x"), liarOn(t, b, "y")
	x := component.Journal{Name: "x", Lineage: causal.NewLineage(), Prefix: component.DefaultPrefix}
	y := component.Journal{Name: "y", Lineage: causal.NewLineage(), Prefix: component.DefaultPrefix}
	inX, inY := causal.Cause{Lineage: x.Lineage, ID: newID()}, causal.Cause{Lineage: y.Lineage, ID: newID()}
	first := b.effect(t, inX)
	last := b.effect(t, causal.Cause{ID: first})
	for what, tc := range map[string]struct {
		x, y  []causal.Cause // what their events follow from
		edges []codec.Edge
		lost  codec.Edge
	}{
		"from its effect": {[]causal.Cause{in(b.node, first)}, nil, nil, codec.Edge{Cause: first, Effect: inX.ID}},
		"from the last":   {[]causal.Cause{in(b.node, last)}, nil, nil, codec.Edge{Cause: last, Effect: inX.ID}},
		"through another": {[]causal.Cause{inY}, []causal.Cause{in(b.node, last)}, []codec.Edge{{Cause: inY.ID, Effect: inX.ID}}, codec.Edge{Cause: last, Effect: inY.ID}},
		"from each other": {[]causal.Cause{inY}, []causal.Cause{inX}, []codec.Edge{{Cause: inY.ID, Effect: inX.ID}}, codec.Edge{Cause: inX.ID, Effect: inY.ID}},
	} {
		tellX(&codec.GraphReply{Events: [][]byte{foreign(x.Lineage, inX.ID, tc.x...)}})
		tellY(&codec.GraphReply{Events: [][]byte{foreign(y.Lineage, inY.ID, tc.y...)}})
		g, lost := b.follow(t, codec.GraphRequest{ID: last}, x, y)
		if len(lost) != 1 || !errors.Is(lost[0].Err, component.ErrReply) || lost[0].Effect != tc.lost.Effect || lost[0].Cause.ID != tc.lost.Cause {
			t.Errorf("%s: lost %v", what, lost)
		}
		want := append(tc.edges, codec.Edge{Cause: inX.ID, Effect: first}, codec.Edge{Cause: first, Effect: last})
		causes := make(map[causal.EventID][]causal.EventID)
		for _, e := range g.Edges {
			causes[e.Effect] = append(causes[e.Effect], e.Cause)
			if !slices.Contains(want, e) {
				t.Errorf("%s: edge %v", what, e)
			}
		}
		var vertices []causal.Vertex
		for i := range g.Events {
			vertices = append(vertices, causal.Vertex{ID: g.Events[i].ID, Causes: causes[g.Events[i].ID]})
		}
		if _, err := causal.NewGraph(vertices...); err != nil || len(g.Edges) != len(want) {
			t.Errorf("%s: %d edges, not %d; %v", what, len(g.Edges), len(want), err)
		}
	}
}

func TestJournalsPassesOverWhatIsNoJournal(t *testing.T) {
	b := serve(t, noOnward)
	ctx := soon(t)
	liar := b.server.Connect()
	sub := must(liar.SubscribeSync("$SRV.INFO.batpak"))(t)
	must(0, liar.Flush())(t)
	found := make(chan []component.Journal, 1)
	go func() {
		journals, err := b.client.Journals(ctx, 300*time.Millisecond)
		if err != nil {
			t.Error(err)
		}
		found <- journals
	}()
	asked := must(sub.NextMsgWithContext(ctx))(t)
	for _, metadata := range []map[string]string{
		nil, {"journal": "x"}, {"journal": "a.b", "lineage": causal.NewLineage().String()}, {"journal": "x", "lineage": "y"},
		{"journal": "x", "lineage": causal.NewLineage().String(), "prefix": "a b"},
	} {
		info := micro.Info{ServiceIdentity: micro.ServiceIdentity{Name: "batpak", Metadata: metadata}}
		must(0, asked.Respond(must(json.Marshal(info))(t)))(t)
	}
	must(0, asked.Respond([]byte("{")))(t)
	if journals := <-found; len(journals) != 1 || journals[0].Name != "main" {
		t.Errorf("journals %v", journals)
	}
}
