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
	in := func(n *component.Node, id causal.EventID) causal.Cause {
		return causal.Cause{Lineage: n.Journal().Lineage(), ID: id}
	}
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
