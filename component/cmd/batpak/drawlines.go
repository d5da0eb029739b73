package main

import (
	"strings"
)

// kindStyles are the colours of kinds on a terminal. Red is left to denials.
var kindStyles = []style{cyan, yellow, green, "35", "34", "36;1", "33;1", "32;1", "35;1", "34;1"}

// drawLines draws with characters: a column for each line that leads down to a cause. A column is never moved, and
// a free one is used again. Where a line passes under another one it is broken: ─│─.
func (s *screen) drawLines(d *drawing) error {
	var columns []int // the event that a column leads down to, -1 when it is free
	// The column of the event just above, when no line leads down from that: another event there would look
	// like its cause.
	ended := -1
	free := func() int {
		for c := 0; ; c++ {
			if c == len(columns) {
				columns = append(columns, -1)
			}
			if columns[c] < 0 && c != ended {
				return c
			}
		}
	}
	for i := range d.events {
		n := &d.events[i]
		own := -1
		var joining []int // other columns that lead here too
		for c, to := range columns {
			switch {
			case to != i:
			case own < 0:
				own = c
			default:
				joining = append(joining, c)
			}
		}
		if len(joining) > 0 {
			s.line(branch(columns, own, joining, "╯", "╰", "┴"))
			for _, c := range joining {
				columns[c] = -1
			}
		}
		if own < 0 {
			own = free()
		}
		columns[own] = i
		s.line(s.node(columns, own, n))

		columns[own] = -1
		if ended = -1; len(n.causes) == 0 {
			ended = own
		}
		var opened []int
		for k, cause := range n.causes {
			at := own
			if k > 0 {
				at = free()
				opened = append(opened, at)
			}
			columns[at] = cause
		}
		if len(opened) > 0 {
			s.line(branch(columns, own, opened, "╮", "╭", "┬"))
		}
		for len(columns) > 0 && columns[len(columns)-1] < 0 {
			columns = columns[:len(columns)-1]
		}
	}
	return s.w.Flush()
}

func (s *screen) line(text string) { s.w.WriteString(strings.TrimRight(text, " ") + "\n") } // flush returns an error

// node is the line of an event.
func (s *screen) node(columns []int, own int, n *drawn) string {
	var b strings.Builder
	look := kindStyles[n.palette%len(kindStyles)]
	if n.denied {
		look = red
	}
	for c, to := range columns {
		switch {
		case c == own:
			b.WriteString(s.paint(look, n.sign()))
		case to >= 0:
			b.WriteString("│")
		default:
			b.WriteString(" ")
		}
		b.WriteString(" ")
	}
	label := n.label()
	if s.width > 0 {
		label = cut(label, max(s.width-2*len(columns)-1, 20))
	}
	return b.String() + " " + s.paint(look, label)
}

// branch is a line on which columns leave another one, or come to it. Right and left are the corners at its
// ends, and middle is where it goes on behind a column.
func branch(columns []int, own int, others []int, right, left, middle string) string {
	least, most := own, own
	is := make(map[int]bool, len(others))
	for _, c := range others {
		least, most = min(least, c), max(most, c)
		is[c] = true
	}
	var b strings.Builder
	for c, to := range columns {
		switch {
		case c == own && least < own && most > own:
			b.WriteString("┼")
		case c == own && most > own:
			b.WriteString("├")
		case c == own:
			b.WriteString("┤")
		case is[c] && c == most:
			b.WriteString(right)
		case is[c] && c == least:
			b.WriteString(left)
		case is[c]:
			b.WriteString(middle)
		case to >= 0:
			b.WriteString("│")
		case c > least && c < most:
			b.WriteString("─")
		default:
			b.WriteString(" ")
		}
		if c >= least && c < most {
			b.WriteString("─")
		} else {
			b.WriteString(" ")
		}
	}
	return b.String()
}
