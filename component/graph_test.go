package component_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"

	"github.com/nats-io/nats-server/v2/server"
)

// chain appends n events of a stream, each of which follows from the one before it and from the one
// before that.
func chain(t testing.TB, b *bed, n int, data []byte) (ids []causal.EventID) {
	t.Helper()
	for i := range n {
		a := codec.Append{Kind: kind, Data: data}
		for _, id := range ids[max(i-2, 0):i] {
			a.Causes = append(a.Causes, causal.Cause{ID: id})
		}
		ids = append(ids, must(b.client.Append(soon(t), at("s", "e"), a))(t).ID)
	}
	return ids
}

func TestTheGraphOverNATSIsTheOneThatWasAppended(t *testing.T) {
	b := serve(t, noOnward)
	ctx := soon(t)
	ids := chain(t, b, 30, []byte{1})
	for _, tc := range []struct {
		at              int
		direction       string
		depth, limit    uint64
		events, edges   int
		more            bool
		nearest, behind int // the second event is one of these
	}{
		{29, codec.DirectionCauses, 0, 0, 21, 39, true, 28, 27},
		{29, codec.DirectionCauses, 1000, 0, 30, 57, false, 28, 27},
		{0, codec.DirectionEffects, 1000, 1000, 30, 57, false, 1, 2},
		{10, codec.DirectionBoth, 1, 0, 5, 7, true, 8, 9},
		{10, codec.DirectionBoth, 1, 2, 2, 1, true, 8, 9},
		{0, codec.DirectionCauses, 1, 0, 1, 0, false, 0, 0},
	} {
		g := must(b.client.Graph(ctx, codec.GraphRequest{ID: ids[tc.at], Direction: tc.direction, Depth: tc.depth, Limit: tc.limit}))(t)
		if len(g.Events) != tc.events || len(g.Edges) != tc.edges || g.More != tc.more {
			t.Errorf("%+v: %d events, %d edges, more %v", tc, len(g.Events), len(g.Edges), g.More)
		}
		if len(g.Events) > 1 && g.Events[1].ID != ids[tc.nearest] && g.Events[1].ID != ids[tc.behind] {
			t.Errorf("%+v: event %d comes second", tc, g.Events[1].Seq)
		}
	}
	for limit, want := range map[uint64]component.Walked{0: {End: codec.EndGenesis}, 12: {End: codec.EndLimit}} {
		w := must(b.client.Walk(ctx, codec.WalkRequest{ID: ids[29], Limit: limit}))(t)
		n := 30
		if limit > 0 {
			n = int(limit)
		}
		if len(w.Events) != n || w.End != want.End || w.Events[n-1].ID != ids[30-n] {
			t.Errorf("limit %d: %d events, %s", limit, len(w.Events), w.End)
		}
	}
}

func TestGraphAndWalkInJSON(t *testing.T) {
	b := serve(t, noOnward)
	ids := chain(t, b, 3, []byte{1})
	reply := rawRequest(t, b.nc, "batpak.main.graph", fmt.Appendf(nil, `{"id":"%s","direction":"effects"}`, ids[0]), asJSON)
	var g struct {
		Events []struct{ ID string }
		Edges  [][]string
		More   *bool
	}
	if err := json.Unmarshal(reply.Data, &g); err != nil || len(g.Events) != 3 || g.Events[0].ID != ids[0].String() ||
		fmt.Sprint(g.Edges) != fmt.Sprint([][]string{{ids[0].String(), ids[1].String()}, {ids[0].String(), ids[2].String()}, {ids[1].String(), ids[2].String()}}) ||
		g.More == nil || *g.More {
		t.Errorf("%v %s", err, reply.Data)
	}
	reply = rawRequest(t, b.nc, "batpak.main.walk", fmt.Appendf(nil, `{"id":"%s","limit":2}`, ids[2]), asJSON)
	var w struct {
		Events []struct{ Seq int }
		End    string
	}
	if err := json.Unmarshal(reply.Data, &w); err != nil || fmt.Sprint(w) != "{[{3} {2}] limit}" {
		t.Errorf("%v %s", err, reply.Data)
	}
}

func TestWhatGraphAndWalkRefuse(t *testing.T) {
	b := serve(t, noOnward)
	id := chain(t, b, 1, []byte{1})[0]
	unknown := "00000000-0000-7000-8000-000000000001"
	for body, want := range map[string]struct {
		name string
		code codec.Code
	}{
		fmt.Sprintf(`{"id":"%s","direction":"up"}`, id):                    {"graph", codec.CodeInvalid},
		fmt.Sprintf(`{"id":"%s"}`, id):                                     {"graph", codec.CodeInvalid},
		fmt.Sprintf(`{"id":"%s","direction":"both","depth":0}`, id):        {"graph", codec.CodeInvalid},
		fmt.Sprintf(`{"id":"%s","direction":"both","depth":1001}`, id):     {"graph", codec.CodeInvalid},
		fmt.Sprintf(`{"id":"%s","direction":"both","limit":1001}`, id):     {"graph", codec.CodeInvalid},
		fmt.Sprintf(`{"id":"%s","direction":"both","more":1}`, id):         {"graph", codec.CodeInvalid},
		fmt.Sprintf(`{"id":"%s","direction":"both"}`, unknown):             {"graph", codec.CodeNotFound},
		fmt.Sprintf(`{"id":"%s"}`, unknown):                                {"walk", codec.CodeNotFound},
		fmt.Sprintf(`{"id":"%s","limit":0}`, id):                           {"walk", codec.CodeInvalid},
		`{"limit":1}`:                                                      {"walk", codec.CodeInvalid},
		fmt.Sprintf(`{"id":"%s","direction":"both"} `, unknown):            {"graph.s", codec.CodeInvalid},
		fmt.Sprintf(`{"id":"%s","direction":"both"}  `, unknown):           {"walk.s.e", codec.CodeInvalid},
		fmt.Sprintf(`{"id":"%s","direction":"both","depth":1} `, unknown):  {"graph.s.e.f", codec.CodeInvalid},
		fmt.Sprintf(`{"id":"%s","direction":"both","depth":1}  `, unknown): {"walk.s.e.f.g", codec.CodeInvalid},
	} {
		if e := refusal(t, rawRequest(t, b.nc, "batpak.main."+want.name, []byte(body), asJSON)); e.Code != want.code {
			t.Errorf("%s %s: %+v", want.name, body, e)
		}
	}
}

// A graph and a walk never pass the connection's limit, and say that there is more.
func TestGraphAndWalkEndEarlyRatherThanPassTheLimit(t *testing.T) {
	t.Parallel()
	b := serveOn(t, func(o *server.Options) { o.MaxPayload = 64 << 10 }, noOnward)
	const n = 40
	ids := chain(t, b, n, append([]byte{0xda, 0x0b, 0xb8}, strings.Repeat("\x01", 3000)...)) // six times as long in JSON
	ctx := soon(t)

	seen, last := 0, ids[n-1]
	for end := codec.EndLimit; end == codec.EndLimit; {
		w := must(b.client.Walk(ctx, codec.WalkRequest{ID: last}))(t)
		if len(w.Events) < 2 || len(w.Events) == n {
			t.Fatalf("%d events of %d", len(w.Events), n)
		}
		seen, last, end = seen+len(w.Events)-1, w.Events[len(w.Events)-1].ID, w.End
	}
	if seen != n-1 {
		t.Errorf("%d events of %d", seen+1, n)
	}
	g := must(b.client.Graph(ctx, codec.GraphRequest{ID: ids[0], Direction: codec.DirectionEffects, Depth: 1000}))(t)
	if k := len(g.Events); k < 10 || k == n || !g.More || len(g.Edges) != 2*k-3 {
		t.Errorf("%d events, %d edges, more %v", k, len(g.Edges), g.More)
	}
	for name, body := range map[string]string{"graph": `{"id":"%s","direction":"causes","depth":1000}`, "walk": `{"id":"%s"}`} {
		reply := rawRequest(t, b.nc, "batpak.main."+name, fmt.Appendf(nil, body, ids[n-1]), asJSON)
		var page struct {
			Events []struct{ ID string }
			Edges  [][]string
			More   bool
			End    string
		}
		if err := json.Unmarshal(reply.Data, &page); err != nil || len(page.Events) < 1 || len(page.Events) == n || !page.More && page.End != codec.EndLimit {
			t.Fatalf("%s: %v %.200s", name, err, reply.Data)
		}
		there := map[string]bool{}
		for _, e := range page.Events {
			there[e.ID] = true
		}
		for _, e := range page.Edges {
			if !there[e[0]] || !there[e[1]] {
				t.Errorf("an edge of an event that was cut off: %v", e)
			}
		}
	}
}

func TestClientBelievesNoGraphThatItsEventsDoNotSay(t *testing.T) {
	b := serve(t, noOnward)
	ctx := soon(t)
	ids := chain(t, b, 4, []byte{1})
	envelopes := make([][]byte, len(ids))
	for i, id := range ids {
		envelopes[i] = must(b.client.Get(ctx, id))(t).Envelope
	}
	other := must(b.client.AppendRaw(ctx, at("s", "other"), kind, []byte{1}))(t)
	stranger := must(b.client.Get(ctx, other.ID))(t).Envelope
	liar := must(component.NewClient(b.nc, component.ClientOptions{Journal: "liar"}))(t)
	tell := liarOn(t, b, "liar")
	walk := func() error { _, err := liar.Walk(ctx, codec.WalkRequest{ID: ids[2]}); return err }
	ask := func(direction string, at int) func() error {
		return func() error {
			_, err := liar.Graph(ctx, codec.GraphRequest{ID: ids[at], Direction: direction, Depth: 1, Limit: uint64(at)})
			return err
		}
	}
	graph := ask(codec.DirectionCauses, 2)
	edge := func(cause, effect int) codec.Edge { return codec.Edge{Cause: ids[cause], Effect: ids[effect]} }
	back := [][]byte{envelopes[2], envelopes[1]}
	moved := must(b.client.Get(ctx, ids[1]))(t)
	moved.Seq = 9
	late := codec.AppendEnvelope(nil, &moved.Header, moved.Data)
	moved.Seq, moved.Lineage = 2, causal.NewLineage()
	foreign := codec.AppendEnvelope(nil, &moved.Header, moved.Data)
	for what, tc := range map[string]struct {
		lie codec.Body
		ask func() error
	}{
		"no events":               {&codec.WalkReply{End: codec.EndMissing}, walk},
		"another event":           {&codec.WalkReply{Events: envelopes[1:2], End: codec.EndLimit}, walk},
		"not the one before":      {&codec.WalkReply{Events: [][]byte{envelopes[2], envelopes[0]}, End: codec.EndGenesis}, walk},
		"another stream":          {&codec.WalkReply{Events: [][]byte{envelopes[2], stranger}, End: codec.EndGenesis}, walk},
		"an end that is none":     {&codec.WalkReply{Events: envelopes[2:3], End: codec.EndGenesis}, walk},
		"an unknown end":          {&codec.WalkReply{Events: envelopes[2:3], End: "tired"}, walk},
		"more than was asked for": {&codec.GraphReply{Events: [][]byte{envelopes[2], envelopes[1], envelopes[0]}}, graph},
		"not an envelope":         {&codec.GraphReply{Events: [][]byte{{1}}}, graph},
		"an edge to nowhere":      {&codec.GraphReply{Events: envelopes[2:3], Edges: []codec.Edge{edge(1, 2)}}, graph},
		"an edge turned around":   {&codec.GraphReply{Events: back, Edges: []codec.Edge{edge(2, 1)}}, graph},
		"an edge twice":           {&codec.GraphReply{Events: back, Edges: []codec.Edge{edge(1, 2), edge(1, 2)}}, graph},
		"an edge left out":        {&codec.GraphReply{Events: back}, graph},
		"an event twice":          {&codec.GraphReply{Events: [][]byte{envelopes[2], envelopes[2]}}, graph},
		"an unconnected event":    {&codec.GraphReply{Events: [][]byte{envelopes[2], stranger}}, graph},
		"an effect":               {&codec.GraphReply{Events: envelopes[2:4], Edges: []codec.Edge{edge(2, 3)}}, graph},
		"a cause":                 {&codec.GraphReply{Events: back, Edges: []codec.Edge{edge(1, 2)}}, ask(codec.DirectionEffects, 2)},
		"an event too far away":   {&codec.GraphReply{Events: [][]byte{envelopes[3], envelopes[1], envelopes[0]}, Edges: []codec.Edge{edge(1, 3), edge(0, 1)}}, ask(codec.DirectionCauses, 3)},
		"a cause that came later": {&codec.GraphReply{Events: [][]byte{envelopes[2], late}, Edges: []codec.Edge{edge(1, 2)}}, graph},
		"another journal's event": {&codec.GraphReply{Events: [][]byte{envelopes[2], foreign}, Edges: []codec.Edge{edge(1, 2)}}, graph},
	} {
		tell(tc.lie)
		if err := tc.ask(); !errors.Is(err, component.ErrReply) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, tc := range map[string]struct {
		truth *codec.GraphReply
		ask   func() error
	}{
		codec.DirectionCauses:  {&codec.GraphReply{Events: back, Edges: []codec.Edge{edge(1, 2)}}, graph},
		codec.DirectionEffects: {&codec.GraphReply{Events: envelopes[2:4], Edges: []codec.Edge{edge(2, 3)}}, ask(codec.DirectionEffects, 2)},
		codec.DirectionBoth:    {&codec.GraphReply{Events: envelopes[2:4], Edges: []codec.Edge{edge(2, 3)}}, ask(codec.DirectionBoth, 2)},
	} {
		tell(tc.truth)
		if err := tc.ask(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}
