package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"

	"github.com/spf13/cobra"
)

// graphing is what the flags of graph say.
type graphing struct {
	*app
	connection
	direction, format string
	depth, limit      uint64
	follow            bool
}

// formats are how a graph is written.
var formats = map[string]func(w io.Writer, d *drawing) error{
	"svg": drawSVG, "dot": drawDOT, "mermaid": drawMermaid,
}

func (a *app) graphCommand() *cobra.Command {
	g := &graphing{app: a}
	cmd := &cobra.Command{
		Use:   "graph ID|SEQUENCE",
		Short: "Draw what an event follows from, and what follows from it",
		Long: `Draw the causal graph around an event, as git log --graph does: the newest event comes first, and a line leads
down from each event to its causes. Kinds have colours on a terminal. An event is a dot, ● ; one whose payload
was erased is ○ ; one that a gate denied is ✗ ; the one that was asked for is ◉ . Behind it are its sequence,
stream, version and kind, and with a + how many causes it has that are not drawn.

With --format it is a picture for something else to show: svg has a column for each stream, dot is for Graphviz,
mermaid for pages that know it. With --json it is the reply of the protocol.

With --follow, causes in other journals are asked for there: of every node that answers on this connection. Their
events have the journal's name before their sequence. A journal that does not answer is told of, and left out.`,
		Example: `  batpak graph 42
  batpak graph 019a8c1e-0b5e-7c3a-9d51-3f6d2a9be001 --direction causes --depth 3
  batpak graph 42 --format svg > graph.svg
  batpak graph 42 --direction causes --follow`,
		Args: cobra.ExactArgs(1),
	}
	cmd.RunE = g.withClient(g.run)
	g.bind(cmd)
	f := cmd.Flags()
	f.StringVar(&g.direction, "direction", codec.DirectionBoth, "`which` way: causes, effects or both")
	f.StringVar(&g.format, "format", "", "svg, dot or mermaid instead of a drawing in `text`")
	f.Uint64Var(&g.depth, "depth", codec.DefaultDepth, "at most this `number` of steps away, up to 1000")
	f.BoolVar(&g.follow, "follow", false, "go on into other journals that answer")
	f.Uint64Var(&g.limit, "limit", codec.DefaultLimit, "at most this `number` of events, up to 1000")
	return cmd
}

func (g *graphing) run(ctx context.Context, client *component.Client, args []string) error {
	draw, known := formats[g.format]
	switch {
	case g.format != "" && !known:
		return usage("--format %q is not svg, dot or mermaid", g.format)
	case g.format != "" && g.json:
		return usage("--format and --json do not go together")
	case g.direction != codec.DirectionCauses && g.direction != codec.DirectionEffects && g.direction != codec.DirectionBoth:
		return usage("--direction %q is not causes, effects or both", g.direction)
	case g.depth == 0 || g.depth > codec.MaxGraph:
		return usage("--depth is from 1 to %d", codec.MaxGraph)
	case g.limit == 0 || g.limit > codec.MaxLimit:
		return usage("--limit is from 1 to %d", codec.MaxLimit)
	}
	id, err := causal.ParseEventID(args[0])
	if err != nil { // it may be a sequence
		ev, err := getEvent(ctx, client, args[0])
		if err != nil {
			return err
		}
		id = ev.ID
	}
	req := codec.GraphRequest{ID: id, Direction: g.direction, Depth: g.depth, Limit: g.limit}
	page, err := client.Graph(ctx, req)
	if err != nil {
		return err
	}
	names := make(map[causal.Lineage]string)
	if g.follow {
		if page, err = g.goOn(ctx, client, page, req, names); err != nil {
			return err
		}
	}
	if g.json {
		reply := codec.GraphReply{Edges: page.Edges, More: page.More}
		for i := range page.Events {
			reply.Events = append(reply.Events, page.Events[i].Envelope)
		}
		return g.screen.body(&reply)
	}
	gone, err := erasedAmong(ctx, client, page.Events)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil: // erasures may be in a scope that is not for this client
		fmt.Fprintln(g.err, "batpak: which payloads were erased is not known:", trim(err))
	}
	d, err := newDrawing(page.Events, page.Edges, id, gone)
	if err != nil {
		return err
	}
	d.name(page.Events[0].Lineage, names)
	if draw != nil {
		err = draw(g.screen.w, d)
	} else {
		err = g.screen.drawLines(d)
	}
	if err == nil && page.More {
		fmt.Fprintln(g.err, "batpak: the graph goes on: see --depth and --limit, or ask from another event")
	}
	return err
}

// findJournals is how long the nodes have to say which journal they serve.
const findJournals = 500 * time.Millisecond

// goOn follows causes into other journals, whose names it notes.
func (g *graphing) goOn(ctx context.Context, client *component.Client, page component.Graph, req codec.GraphRequest, names map[causal.Lineage]string) (component.Graph, error) {
	journals, err := client.Journals(ctx, min(findJournals, g.timeout))
	if err != nil {
		return page, err
	}
	for _, j := range journals {
		names[j.Lineage] = j.Name
	}
	page, lost, err := client.Follow(ctx, page, req, journals)
	for _, l := range lost {
		fmt.Fprintf(g.err, "batpak: cause %s of %s is not drawn: %s\n", l.Cause.ID, l.Effect, trim(l.Err))
	}
	return page, err
}

// erasedAmong returns the payload keys that were destroyed, when any of the events has one.
func erasedAmong(ctx context.Context, client *component.Client, events []causal.Event) (map[causal.KeyID]bool, error) {
	for i := range events {
		if events[i].Enc != nil {
			return destroyedKeys(ctx, client)
		}
	}
	return nil, nil
}
