package main

import (
	"strings"
	"unicode/utf8"
)

// column is one column of a table.
type column struct {
	name  string
	style style
	right bool // aligned to the right
}

// table writes rows. For a terminal it keeps them until flush, to know how wide the columns are;
// a column never gets narrower again, so that tables which come bit by bit stay aligned. The last
// column is cut at the terminal's edge. For a pipe it writes them at once, without a heading.
type table struct {
	*screen
	columns []column
	widths  []int
	rows    [][]string
	headed  bool
}

func (s *screen) table(columns ...column) *table {
	t := &table{screen: s, columns: columns, widths: make([]int, len(columns))}
	for i, c := range columns {
		t.widths[i] = len(c.name)
	}
	return t
}

// row writes one row, with one cell per column.
func (t *table) row(cells ...string) error {
	if t.form != forTerminal {
		_, err := t.w.WriteString(strings.Join(cells, "\t") + "\n")
		return err
	}
	for i := range cells {
		cells[i] = printable(cells[i])
	}
	t.rows = append(t.rows, cells)
	return nil
}

// flush brings what was written to the screen.
func (t *table) flush() error {
	for _, cells := range t.rows {
		for i, cell := range cells {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
		}
	}
	if !t.headed && len(t.rows) > 0 {
		t.headed = true
		head := make([]string, len(t.columns))
		for i, c := range t.columns {
			head[i] = c.name
		}
		t.line(head, func(column) style { return dim })
	}
	for _, cells := range t.rows {
		t.line(cells, func(c column) style { return c.style })
	}
	t.rows = t.rows[:0]
	return t.w.Flush()
}

func (t *table) line(cells []string, look func(column) style) {
	var b strings.Builder
	at := 0
	for i, cell := range cells {
		last := i == len(cells)-1
		if last && t.width > 0 {
			cell = cut(cell, max(t.width-at, 20))
		}
		pad := strings.Repeat(" ", max(t.widths[i]-utf8.RuneCountInString(cell), 0))
		painted := t.paint(look(t.columns[i]), cell)
		switch {
		case t.columns[i].right:
			b.WriteString(pad + painted)
		case last:
			b.WriteString(painted)
		default:
			b.WriteString(painted + pad)
		}
		if !last {
			b.WriteString("  ")
		}
		at += t.widths[i] + 2
	}
	t.w.WriteString(b.String() + "\n") // an error stays in the writer, and flush returns it
}

// cut shortens text to n characters.
func cut(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:n-1]) + "…"
}

// pair is one line of a result that is a list of properties.
type pair struct {
	name, value string
	style       style
}

// pairs writes properties: a line each.
func (s *screen) pairs(list ...pair) error {
	width := 0
	for _, p := range list {
		width = max(width, len(p.name))
	}
	for _, p := range list {
		line := p.name + "\t" + p.value
		if s.form == forTerminal {
			line = s.paint(dim, p.name) + strings.Repeat(" ", width-len(p.name)+2) + s.paint(p.style, printable(p.value))
		}
		if _, err := s.w.WriteString(line + "\n"); err != nil {
			return err
		}
	}
	return nil
}
