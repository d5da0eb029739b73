package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// drawDOT writes the graph for Graphviz: causes are at the bottom, events of a stream are of one group. Graphviz reads
// entities of HTML in every label.
func drawDOT(out io.Writer, d *drawing) error {
	w := bufio.NewWriter(out)
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`, `&`, "&amp;")
	fmt.Fprint(w, "digraph batpak {\n  rankdir=BT\n  node [shape=box style=\"rounded,filled\" fontname=\"sans-serif\" fontsize=10]\n  edge [color=\"#667085\"]\n")
	for i := range d.events {
		n := &d.events[i]
		style := ""
		switch {
		case n.denied:
			style = fmt.Sprintf(" shape=octagon style=filled color=%q penwidth=2", deniedColour)
		case n.erased:
			style = ` style="rounded,dashed" fontcolor="#667085"`
		case n.asked:
			style = " penwidth=3"
		}
		fmt.Fprintf(w, "  %s [label=\"%s\" tooltip=\"%s\" group=s%d fillcolor=\"%s\"%s]\n",
			d.node(i), quote.Replace(n.label()), n.ID, n.stream, n.pale(), style)
	}
	for i := range d.events {
		for _, c := range d.events[i].causes {
			fmt.Fprintf(w, "  %s -> %s\n", d.node(c), d.node(i))
		}
	}
	fmt.Fprint(w, "}\n")
	return w.Flush()
}

// drawMermaid writes the graph as a Mermaid flowchart: causes are at the bottom. Of what a name may have, %%{ would begin a
// directive and a backtick Markdown.
func drawMermaid(out io.Writer, d *drawing) error {
	w := bufio.NewWriter(out)
	quote := strings.NewReplacer(`&`, "&amp;", `"`, "&quot;", `<`, "&lt;", `>`, "&gt;", "#", "&num;", "%", "&percnt;", "`", "&grave;")
	fmt.Fprint(w, "flowchart BT\n")
	for i := range d.events {
		n := &d.events[i]
		open, shut := "(", ")"
		class := fmt.Sprintf("k%d", n.palette)
		switch {
		case n.denied:
			open, shut, class = "{{", "}}", "denied"
		case n.erased:
			class = "erased"
		case n.asked:
			open, shut = "([", "])"
		}
		fmt.Fprintf(w, "  %s%s\"%s\"%s:::%s\n", d.node(i), open, quote.Replace(n.label()), shut, class)
	}
	for i := range d.events {
		for _, c := range d.events[i].causes {
			fmt.Fprintf(w, "  %s --> %s\n", d.node(c), d.node(i))
		}
	}
	for i := range d.kinds {
		fmt.Fprintf(w, "  classDef k%d fill:%s,stroke:%s,color:#101828\n", i, kindPale[i%len(kindPale)], kindColours[i%len(kindColours)])
	}
	fmt.Fprintf(w, "  classDef denied fill:#fee4e2,stroke:%s,stroke-width:3px,color:#101828\n", deniedColour)
	fmt.Fprint(w, "  classDef erased fill:#ffffff,stroke:#667085,stroke-dasharray:4 3,color:#667085\n")
	return w.Flush()
}
