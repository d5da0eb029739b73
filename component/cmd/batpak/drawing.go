package main

import (
	"fmt"
	"slices"
	"strconv"

	"batpak/causal"
)

// drawing is a causal graph to be drawn, the newest event first: no event is above one that follows from it.
type drawing struct {
	events  []drawn
	kinds   []causal.Kind // ascending
	streams []causal.Stream
}

// drawn is one event of a drawing.
type drawn struct {
	causal.Header
	causes  []int // that are drawn too, by their place in it
	hidden  int   // causes that are not
	stream  int   // place of its stream among the drawing's
	asked   bool  // the drawing is of what is around it
	erased  bool  // its payload was
	denied  bool  // it is what is left of an append that a gate denied
	palette int   // place of its kind among the drawing's
}

// newDrawing orders events. Gone are the payload keys that were destroyed.
func newDrawing(events []causal.Event, asked causal.EventID, gone map[causal.KeyID]bool) (*drawing, error) {
	byID := make(map[causal.EventID]*causal.Event, len(events))
	vertices := make([]causal.Vertex, len(events))
	for i := range events {
		byID[events[i].ID] = &events[i]
		vertices[i] = events[i].Vertex()
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
		n.hidden = hiddenCauses(&h, byID)
		d.events[at] = n
		d.kinds = append(d.kinds, h.Kind)
	}
	slices.Sort(d.kinds)
	d.kinds = slices.Compact(d.kinds)
	streams := make(map[causal.Stream]int)
	for i := range d.events {
		n := &d.events[i]
		n.palette = slices.Index(d.kinds, n.Kind)
		s := n.Stream()
		if _, ok := streams[s]; !ok {
			streams[s] = len(d.streams)
			d.streams = append(d.streams, s)
		}
		n.stream = streams[s]
	}
	return d, nil
}

// hiddenCauses counts an event's causes that are not among those that are drawn, each once.
func hiddenCauses(h *causal.Header, drawn map[causal.EventID]*causal.Event) (n int) {
	for i, c := range h.Causes {
		foreign := !c.Lineage.IsZero() && c.Lineage != h.Lineage
		if (foreign || drawn[c.ID] == nil) && !slices.Contains(h.Causes[:i], c) {
			n++
		}
	}
	return n
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
	text := fmt.Sprintf("%d  %s  v%d  %s", n.Seq, printable(streamText(&n.Header)), n.Version, n.Kind)
	return text + n.remarks()
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
