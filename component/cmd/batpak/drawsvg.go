package main

import (
	"bufio"
	"fmt"
	"html"
	"io"

	"batpak/causal"
)

// kindColours are the colours of kinds in pictures, and kindPale what is filled with them behind text. Red is
// left to denials.
var (
	kindColours = []string{"#0b7285", "#b35c00", "#2b7a3d", "#8b3fa8", "#2f5fd0", "#8a6d00", "#b0397c", "#4a5a6a"}
	kindPale    = []string{"#d8eff3", "#fbe6cf", "#dcf2e0", "#efe0f5", "#dfe8fb", "#f6eecb", "#f8dfec", "#e4e8ec"}
)

const deniedColour = "#c0271d"

func (n *drawn) colour() string {
	if n.denied {
		return deniedColour
	}
	return kindColours[n.palette%len(kindColours)]
}

func (n *drawn) pale() string {
	if n.denied {
		return "#fee4e2"
	}
	return kindPale[n.palette%len(kindPale)]
}

// Measures of an SVG, in its units.
const (
	svgRow    = 24
	svgColumn = 26 // of a stream, as long as there are few
	svgNarrow = 12 // at least
	svgMargin = 16
	svgRadius = 5
	svgWide   = 900 // what the columns may take before they get narrower
	svgChar   = 6.7 // width of a character of the labels
)

const svgSigns = "dashed: erased, cross: denied, ring: asked for, +n: causes that are not drawn"

// svg is where things are in a picture.
type svg struct {
	*drawing
	w      *bufio.Writer
	column int // width of one
	top    int // of the first row
	left   int // of the first column
}

// drawSVG draws a row for each event, the newest on top, and a column for each stream.
func drawSVG(out io.Writer, d *drawing) error {
	p := &svg{drawing: d, w: bufio.NewWriter(out)}
	p.column = min(max(svgWide/len(d.streams), svgNarrow), svgColumn)
	// Room for what bulges to the left of the first column, and for the legend.
	p.left = svgMargin + 34
	p.top = svgMargin + svgRow*(len(d.kinds)+1) + svgRow
	longest := 0
	for i := range d.events {
		longest = max(longest, len([]rune(svgLabel(&d.events[i]))))
	}
	width := max(p.labels()+int(float64(longest)*svgChar), 7*len(svgSigns)+svgMargin) + svgMargin
	height := p.top + svgRow*len(d.events) + svgMargin
	fmt.Fprintf(p.w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="11">`+"\n",
		width, height, width, height)
	fmt.Fprintf(p.w, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height)
	p.legend()
	p.lanes()
	for i := range d.events {
		for _, c := range d.events[i].causes {
			p.edge(i, c)
		}
	}
	for i := range d.events {
		p.event(i)
	}
	fmt.Fprint(p.w, "</svg>\n")
	return p.w.Flush()
}

func (p *svg) x(i int) int { return p.left + p.column*p.events[i].stream }

func (p *svg) y(i int) int { return p.top + svgRow*i + svgRow/2 }

// labels is where the labels begin.
func (p *svg) labels() int { return p.left + p.column*(len(p.streams)-1) + 24 }

// legend says which kind has which colour, and what the signs are.
func (p *svg) legend() {
	y := svgMargin + svgRow/2
	for i, k := range p.kinds {
		colour := kindColours[i%len(kindColours)]
		if k == causal.KindDenial {
			colour = deniedColour
		}
		fmt.Fprintf(p.w, `<circle cx="%d" cy="%d" r="%d" fill="%s"/><text x="%d" y="%d" fill="#344054">%s</text>`+"\n",
			svgMargin+svgRadius, y, svgRadius, colour, svgMargin+18, y+4, k)
		y += svgRow
	}
	fmt.Fprintf(p.w, `<text x="%d" y="%d" fill="#667085">%s</text>`+"\n", svgMargin, y+4, svgSigns)
}

// lanes draws a faint line along each stream's events.
func (p *svg) lanes() {
	first, last := make([]int, len(p.streams)), make([]int, len(p.streams))
	for i := range p.events {
		last[p.events[i].stream] = i
	}
	for i := len(p.events) - 1; i >= 0; i-- {
		first[p.events[i].stream] = i
	}
	for s := range p.streams {
		fmt.Fprintf(p.w, `<path d="M%d %dV%d" stroke="#e4e7ec" stroke-width="8" stroke-linecap="round"><title>%s</title></path>`+"\n",
			p.x(first[s]), p.y(first[s]), p.y(last[s])+1, html.EscapeString(printable(p.streams[s].String())))
	}
}

// edge draws a line from an effect down to its cause. One within a column that would pass through other events
// bulges around them.
func (p *svg) edge(effect, cause int) {
	x1, y1, x2, y2 := p.x(effect), p.y(effect), p.x(cause), p.y(cause)
	bend := max((y2-y1)/2, svgRow*3/4)
	path := fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x1, y1, x1, y1+bend, x2, y2-bend, x2, y2)
	if x1 == x2 {
		path = fmt.Sprintf("M%d %dV%d", x1, y1, y2)
		for i := effect + 1; i < cause; i++ {
			if p.events[i].stream == p.events[effect].stream {
				bulge := x1 - min(10+2*(cause-effect), 40)
				path = fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x1, y1, bulge, y1+svgRow/2, bulge, y2-svgRow/2, x2, y2)
				break
			}
		}
	}
	fmt.Fprintf(p.w, `<path d="%s" fill="none" stroke="%s" stroke-width="1.4" opacity="0.75"/>`+"\n", path, p.events[cause].colour())
}

// event draws the sign and the label.
func (p *svg) event(i int) {
	n := &p.events[i]
	x, y := p.x(i), p.y(i)
	fmt.Fprintf(p.w, `<g><title>%s</title>`, n.ID)
	switch {
	case n.denied:
		fmt.Fprintf(p.w, `<circle cx="%d" cy="%d" r="%d" fill="#ffffff" stroke="%s" stroke-width="1.5"/><path d="M%d %dl6 6m0 -6l-6 6" stroke="%s" stroke-width="2"/>`,
			x, y, svgRadius+1, deniedColour, x-3, y-3, deniedColour)
	case n.erased:
		fmt.Fprintf(p.w, `<circle cx="%d" cy="%d" r="%d" fill="#ffffff" stroke="%s" stroke-width="1.5" stroke-dasharray="2.5 2"/>`, x, y, svgRadius, n.colour())
	default:
		fmt.Fprintf(p.w, `<circle cx="%d" cy="%d" r="%d" fill="%s"/>`, x, y, svgRadius, n.colour())
	}
	if n.asked {
		fmt.Fprintf(p.w, `<circle cx="%d" cy="%d" r="%d" fill="none" stroke="%s" stroke-width="1.5"/>`, x, y, svgRadius+3, n.colour())
	}
	fill := "#101828"
	switch {
	case n.denied:
		fill = deniedColour
	case n.erased:
		fill = "#667085"
	}
	fmt.Fprintf(p.w, `<text x="%d" y="%d" fill="%s" xml:space="preserve">%s</text></g>`+"\n", p.labels(), y+4, fill, html.EscapeString(svgLabel(n)))
}

// svgLabel is a label that is not too long for a picture.
func svgLabel(n *drawn) string {
	const most = 90
	if text := n.label(); len([]rune(text)) <= most {
		return text
	}
	return cut(n.label(), most-len(n.remarks())) + n.remarks()
}
