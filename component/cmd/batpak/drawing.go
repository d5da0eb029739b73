package main

import (
	"fmt"
	"slices"
	"strconv"

	"batpak/causal"
	"batpak/codec"
)

// drawing is a causal graph to be drawn, the newest event first: no event is above one that follows from it.
type drawing struct {
	events  []drawn
	kinds   []causal.Kind // ascending
	streams []lane
}

// lane is a stream of one of the journals.
type lane struct {
	causal.Stream
	lineage causal.Lineage
}

// drawn is one event of a drawing.
type drawn struct {
	causal.Header
	causes  []int  // that are drawn too, by their place in it
	hidden  int    // causes that are not
	stream  int    // place of its stream among the drawing's
	journal string // its name, when it is not of the journal that was asked
	asked   bool   // the drawing is of what is around it
	erased  bool   // its payload was
	denied  bool   // it is what is left of an append that a gate denied
	palette int    // place of its kind among the drawing's
}

// newDrawing orders events, which may be of several journals. The edges are every one between two of them. Gone are
// the payload keys that were destroyed.
func newDrawing(events []causal.Event, edges []codec.Edge, asked causal.EventID, gone map[causal.KeyID]bool) (*drawing, error) {
	byID := make(map[causal.EventID]*causal.Event, len(events))
	causes := make(map[causal.EventID][]causal.EventID, len(events))
	for _, e := range edges {
		causes[e.Effect] = append(causes[e.Effect], e.Cause)
	}
	vertices := make([]causal.Vertex, len(events))
	for i := range events {
		byID[events[i].ID] = &events[i]
		vertices[i] = causal.Vertex{ID: events[i].ID, Stream: events[i].Stream(), Causes: causes[events[i].ID]}
	}
	g, err := causal.NewGraph(vertices...)
	if err != nil {
		return nil, err
	}
	d := &drawing{}
	place := make(map[causal.EventID]int, len(events))
	for v := range g.Order() {
		place[v.ID] = len(events) - 1 - len(place)
	}
	d.events = make([]drawn, len(events))
	for id, at := range place {
		h := byID[id].Header
		n := drawn{Header: h, asked: id == asked, denied: h.Kind == causal.KindDenial, erased: h.Enc != nil && gone[h.Enc.Key]}
		for _, c := range g.Causes(id) {
			n.causes = append(n.causes, place[c])
		}
		slices.Sort(n.causes)
		n.hidden = distinctCauses(&h) - len(n.causes)
		d.events[at] = n
		d.kinds = append(d.kinds, h.Kind)
	}
	slices.Sort(d.kinds)
	d.kinds = slices.Compact(d.kinds)
	streams := make(map[lane]int)
	for i := range d.events {
		n := &d.events[i]
		n.palette = slices.Index(d.kinds, n.Kind)
		s := lane{n.Stream(), n.Lineage}
		if _, ok := streams[s]; !ok {
			streams[s] = len(d.streams)
			d.streams = append(d.streams, s)
		}
		n.stream = streams[s]
	}
	return d, nil
}

// distinctCauses counts an event's causes, each once, whether its lineage is spelled out or not.
func distinctCauses(h *causal.Header) int {
	distinct := make(map[causal.Cause]bool, len(h.Causes))
	for _, c := range h.Causes {
		if c.Lineage.IsZero() {
			c.Lineage = h.Lineage
		}
		distinct[c] = true
	}
	return len(distinct)
}

// name gives the events of other journals than one a name to be shown: that of their journal, or the beginning of its
// lineage.
func (d *drawing) name(own causal.Lineage, names map[causal.Lineage]string) {
	for i := range d.events {
		n := &d.events[i]
		if n.Lineage == own {
			continue
		}
		if n.journal = names[n.Lineage]; n.journal == "" {
			n.journal = n.Lineage.String()[:8]
		}
	}
}

// node is the event's name in a language for pictures: letters, digits and _.
func (d *drawing) node(i int) string {
	if n := &d.events[i]; n.journal == "" {
		return fmt.Sprintf("e%d", n.Seq)
	}
	return fmt.Sprintf("x%d", i)
}

// sign is the event in one character.
func (n *drawn) sign() string {
	switch {
	case n.denied:
		return "✗"
	case n.erased:
		return "○"
	case n.asked:
		return "◉"
	}
	return "●"
}

// label is what is said of the event beside its sign.
func (n *drawn) label() string {
	seq := strconv.FormatUint(n.Seq, 10)
	if n.journal != "" {
		seq = n.journal + ":" + seq
	}
	return printable(fmt.Sprintf("%s  %s  v%d  %s", seq, streamText(&n.Header), n.Version, n.Kind)) + n.remarks()
}

// remarks is what is out of the ordinary.
func (n *drawn) remarks() string {
	text := ""
	if n.denied {
		text += "  denied"
	}
	if n.erased {
		text += "  erased"
	}
	if n.hidden > 0 {
		text += "  +" + strconv.Itoa(n.hidden)
	}
	return text
}
