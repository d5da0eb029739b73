package journal_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/faultfs"
)

// following is an event of about size bytes that follows from others.
func following(entity string, size int, causes ...causal.EventID) journal.Append {
	a := large(entity, size)
	for _, id := range causes {
		a.Causes = append(a.Causes, causal.Cause{ID: id})
	}
	return a
}

// web appends n events, most of which follow from up to three before them, over several segments.
func web(tb testing.TB, j *journal.Journal, n int) []causal.Event {
	tb.Helper()
	r := rand.New(rand.NewPCG(uint64(n), 3))
	for range n {
		a := large(fmt.Sprintf("e%d", r.IntN(4)), 300+r.IntN(1500))
		a.Lane = uint32(r.IntN(2))
		for range r.IntN(4) {
			if seen := j.Visible(); seen > 0 {
				ev, err := j.GetSeq(1 + r.Uint64N(seen))
				if err != nil {
					tb.Fatal(err)
				}
				a.Causes = append(a.Causes, causal.Cause{ID: ev.ID})
			}
		}
		if r.IntN(5) == 0 {
			a.Causes = append(a.Causes, causal.Cause{ID: causal.EventID{1}, Lineage: causal.Lineage{9}})
		}
		mustAppend(tb, j, one(a))
	}
	events, err := audit(j)
	if err != nil {
		tb.Fatal(err)
	}
	return events
}

func graphOf(tb testing.TB, events []causal.Event) *causal.Graph {
	tb.Helper()
	var vertices []causal.Vertex
	for i := range events {
		vertices = append(vertices, events[i].Vertex())
	}
	g, err := causal.NewGraph(vertices...)
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

// around is what a graph has around an event, by steps, as Journal.Graph should say it.
func around(g *causal.Graph, id causal.EventID, direction string, depth int) (ids map[causal.EventID]int, more bool) {
	ids = map[causal.EventID]int{id: 0}
	edge := []causal.EventID{id}
	for step := 1; len(edge) > 0; step++ {
		var next []causal.EventID
		for _, at := range edge {
			var near []causal.EventID
			if direction != codec.DirectionEffects {
				near = append(near, g.Causes(at)...)
			}
			if direction != codec.DirectionCauses {
				near = append(near, g.Effects(at)...)
			}
			for _, n := range near {
				if _, ok := ids[n]; ok {
					continue
				}
				if step > depth {
					return ids, true
				}
				ids[n] = step
				next = append(next, n)
			}
		}
		edge = next
	}
	return ids, false
}

// isAround says what of a page is not as it should be.
func isAround(g *causal.Graph, p *journal.GraphPage, req codec.GraphRequest) error {
	want, more := around(g, req.ID, req.Direction, req.Steps())
	if len(p.Envelopes) > req.Max() {
		return fmt.Errorf("%d events", len(p.Envelopes))
	}
	if cut := len(want) > req.Max(); len(p.Envelopes) != min(len(want), req.Max()) || p.More != (more || cut) {
		return fmt.Errorf("%d events of %d, more %v", len(p.Envelopes), len(want), p.More)
	}
	steps, got := 0, map[causal.EventID]bool{}
	edges := map[codec.Edge]bool{}
	for i, b := range p.Envelopes {
		ev, err := codec.DecodeEnvelope(b)
		if err != nil {
			return err
		}
		away, ok := want[ev.ID]
		if !ok || got[ev.ID] || away < steps || (i == 0) != (ev.ID == req.ID) {
			return fmt.Errorf("event %d of the page is %d, %d steps away", i, ev.Seq, away)
		}
		steps, got[ev.ID] = away, true
	}
	for id := range got {
		for _, c := range g.Causes(id) {
			if got[c] {
				edges[codec.Edge{Cause: c, Effect: id}] = true
			}
		}
	}
	for _, e := range p.Edges {
		if !edges[e] {
			return fmt.Errorf("edge %v", e)
		}
		delete(edges, e)
	}
	if len(edges) > 0 {
		return fmt.Errorf("%d edges are missing", len(edges))
	}
	return nil
}

// The graph by the index is the graph that the whole log makes: from open and sealed segments, from
// indexes that were written and that were made again.
func TestTheGraphByTheIndexIsThatOfTheLog(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	o := journal.Options{Name: "graph", SegmentBytes: small}
	j := openDir(t, dir, o)
	events := web(t, j, 250)
	g := graphOf(t, events)
	check := func(how string, j *journal.Journal) {
		t.Helper()
		for i := range events {
			for _, direction := range []string{codec.DirectionCauses, codec.DirectionEffects, codec.DirectionBoth} {
				for _, bound := range [][2]uint64{{1, 1000}, {2, 7}, {0, 0}, {1000, 1000}} {
					if bound[0] == 1000 && i%10 > 0 {
						continue
					}
					req := codec.GraphRequest{ID: events[i].ID, Direction: direction, Depth: bound[0], Limit: bound[1]}
					p, err := j.Graph(t.Context(), req, 1<<30)
					if err == nil {
						err = isAround(g, &p, req)
					}
					if err != nil {
						t.Errorf("%s: event %d, %s, depth %d, limit %d: %v", how, i+1, direction, req.Depth, req.Limit, err)
					}
				}
			}
		}
	}
	if s := j.Stats().Segments; s < 4 {
		t.Fatalf("%d segments", s)
	}
	check("as it was written", j)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	m := files(t, dir)
	check("opened again", openDir(t, dir, o))
	for name := range m {
		if strings.HasSuffix(name, ".idx") {
			delete(m, name)
		}
	}
	other := tempDir(t)
	place(t, other, m)
	check("without indexes", openDir(t, other, o))
}

func TestAGraphIsCutBySize(t *testing.T) {
	t.Parallel()
	j := openDir(t, tempDir(t), journal.Options{Name: "graph", SegmentBytes: small})
	var id causal.EventID
	for i := range 10 {
		a := following("e", 1000, id)
		if i == 0 {
			a.Causes = nil
		}
		id = mustAppend(t, j, one(a))[0].ID
	}
	req := codec.GraphRequest{ID: id, Direction: codec.DirectionCauses}
	for room, want := range map[int]int{1: 1, 2500: 2, 1 << 20: 10} {
		p, err := j.Graph(t.Context(), req, room)
		if err != nil || len(p.Envelopes) != want || len(p.Edges) != want-1 || p.More != (want < 10) {
			t.Errorf("%d bytes: %d events, %d edges, more %v, %v", room, len(p.Envelopes), len(p.Edges), p.More, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := j.Graph(ctx, req, 1<<20); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if _, err := j.Graph(t.Context(), codec.GraphRequest{ID: causal.EventID{1}, Direction: codec.DirectionBoth}, 1); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	if _, err := j.Graph(t.Context(), codec.GraphRequest{ID: id, Direction: "up"}, 1); !errors.Is(err, journal.ErrInvalid) {
		t.Errorf("direction: %v", err)
	}
}

// A graph reads what it returns, and of the indexes what it looks up.
func TestAGraphDoesNotReadTheLogThrough(t *testing.T) {
	t.Parallel()
	o := journal.Options{Name: "graph", SegmentBytes: small}
	mount := faultfs.NewDisk(faultfs.POSIX).Mount()
	j := openFS(t, mount, o)
	events := web(t, j, 300)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	in := faultfs.Inject(mount.Kill().Mount())
	j = openFS(t, in, o)
	before := len(in.Trace())
	p, err := j.Graph(t.Context(), codec.GraphRequest{ID: events[len(events)-1].ID, Direction: codec.DirectionBoth, Depth: 2}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	reads := 0
	for _, c := range in.Trace()[before:] {
		if c.Op == faultfs.OpReadAt && strings.HasSuffix(c.Name, ".seg") {
			reads++
		}
	}
	// A frame may take two reads, and the next event that there was no room for one more.
	if most := 2*len(p.Envelopes) + 2; len(p.Envelopes) > 60 || reads > most {
		t.Errorf("%d reads of segments for %d events of %d", reads, len(p.Envelopes), len(events))
	}
}

func TestAWalkIsTheStreamBackwards(t *testing.T) {
	t.Parallel()
	j := openDir(t, tempDir(t), journal.Options{Name: "graph", SegmentBytes: small})
	events := web(t, j, 250)
	for i := range events {
		var want []causal.Hash
		for n := i; n >= 0; n-- {
			if events[n].Stream() == events[i].Stream() {
				want = append(want, events[n].Hash)
			}
		}
		for _, limit := range []uint64{0, 1, 3, 1000} {
			req := codec.WalkRequest{ID: events[i].ID, Limit: limit}
			p, err := j.Walk(t.Context(), req, 1<<30)
			if err != nil {
				t.Fatal(err)
			}
			var got []causal.Hash
			for _, b := range p.Envelopes {
				got = append(got, causal.HashEnvelope(b))
			}
			end := codec.EndGenesis
			if len(want) > req.Max() {
				end = codec.EndLimit
			}
			if !slices.Equal(got, want[:min(len(want), req.Max())]) || p.End != end {
				t.Errorf("event %d, limit %d: %d events of %d, end %s", i+1, limit, len(got), len(want), p.End)
			}
		}
	}
	last := events[len(events)-1]
	if p, err := j.Walk(t.Context(), codec.WalkRequest{ID: last.ID}, 1); err != nil || len(p.Envelopes) != 1 || p.End != codec.EndLimit {
		t.Errorf("a byte of room: %d events, %s, %v", len(p.Envelopes), p.End, err)
	}
	if _, err := j.Walk(t.Context(), codec.WalkRequest{ID: causal.EventID{1}}, 1); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
}

// A graph of few events reads few of the effects of one that has very many.
func TestAGraphReadsEffectsAsFarAsItsLimit(t *testing.T) {
	disk := newDisk(t)
	o := journal.Options{Name: "wide", SegmentBytes: 8 << 20}
	j := openFS(t, disk, o)
	first := mustAppend(t, j, one(event("a", 0)))[0].ID
	const effects = 60_000
	for n := 0; n < effects; {
		b := &journal.Batch{}
		for range 1000 {
			e := event("e", uint64(n))
			e.Causes = []causal.Cause{{ID: first}}
			b.Events = append(b.Events, e)
			n++
		}
		mustAppend(t, j, b)
	}
	// What is measured are index files. One that was not written yet is at the next open.
	for indexes := 0; indexes == 0 || indexes < j.Stats().Segments-1; j = openFS(t, disk, o) {
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		indexes = 0
		for name := range readAll(t, disk) {
			if strings.HasSuffix(name, ".idx") {
				indexes++
			}
		}
	}
	ask := func(limit uint64) journal.GraphPage {
		page, err := j.Graph(t.Context(), codec.GraphRequest{ID: first, Direction: codec.DirectionEffects, Limit: limit, Depth: 1}, 8<<20)
		if err != nil || len(page.Envelopes) != int(limit) || !page.More {
			t.Fatalf("limit %d: %d events, more %t, %v", limit, len(page.Envelopes), page.More, err)
		}
		return page
	}
	ask(1)
	least := uint64(math.MaxUint64) // that a request allocates: the next segment is made meanwhile
	for range 20 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		ask(2)
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	if least > effects && !underRace { // which drops what pools keep
		t.Errorf("%d bytes a request", least)
	}
	ask(1000) // in more than one piece
}
