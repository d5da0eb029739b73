package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/codec"
)

var update = flag.Bool("update", false, "write the pictures in testdata anew")

// picture is a graph with all that is to be drawn: branches merged crosswise, an octopus, several streams and
// lanes, an erased event, a denied one, causes that are not there, and names that are markup elsewhere.
func picture(t testing.TB) *drawing {
	t.Helper()
	id := func(n int) causal.EventID { return causal.EventID{6: 0x70, 8: 0x80, 15: byte(n)} }
	var events []causal.Event
	add := func(entity string, lane uint32, kind causal.Kind, causes ...int) *causal.Header {
		n := len(events) + 1
		h := causal.Header{ID: id(n), Seq: uint64(n), Coordinate: causal.Coordinate{Scope: "shop", Entity: entity}, Lane: lane, Version: 1, Kind: kind}
		for _, c := range causes {
			h.Causes = append(h.Causes, causal.Cause{ID: id(c)})
		}
		for i := range events {
			if events[i].Stream() == h.Stream() {
				h.Version++
			}
		}
		events = append(events, causal.Event{Header: h})
		return &events[n-1].Header
	}
	gone := causal.KeyID{1}
	add("order", 0, 0x1001, 200, 200)
	add("order", 0, 0x1002, 1)
	add("order", 7, 0x1002, 1)
	add("order", 0, 0x1002, 2, 3)
	add("order", 7, 0x1002, 3, 2)
	add(`st<o>ck "9" & #1`, 0, 0x2001, 4).Enc = &causal.Enc{Key: gone}
	add("erasures", 0, causal.KindDenial, 5).Scope = causal.SystemScope
	add("bill", 0, 0x3001, 4, 5)
	add("order", 0, 0x1003, 4, 6, 7, 8)
	add("order", 0, 0x1003, 9, 1)
	d, err := newDrawing(events, edgesOf(events), id(4), map[causal.KeyID]bool{gone: true})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// drawnAs is a drawing in a format; text is that of a terminal.
func drawnAs(t testing.TB, d *drawing, format string, colour bool) string {
	t.Helper()
	var b bytes.Buffer
	var err error
	if draw := formats[format]; draw != nil {
		err = draw(&b, d)
	} else {
		a := app{streams: streams{out: &b}}
		s := a.newScreen()
		s.color = colour
		err = s.drawLines(d)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestAGraphIsDrawnAsItWasBefore(t *testing.T) {
	t.Parallel()
	d := picture(t)
	for format, name := range map[string]string{"text": "graph.txt", "colour": "graph.ansi", "svg": "graph.svg", "dot": "graph.dot", "mermaid": "graph.mmd"} {
		got := drawnAs(t, d, format, format == "colour")
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s is\n%s\nand was\n%s", name, got, want)
		}
	}
}

// edgesOf is every edge between two of the events, of one journal.
func edgesOf(events []causal.Event) (edges []codec.Edge) {
	there := make(map[causal.EventID]bool)
	for i := range events {
		there[events[i].ID] = true
	}
	for i := range events {
		for _, c := range events[i].Vertex().Causes {
			if there[c] {
				edges = append(edges, codec.Edge{Cause: c, Effect: events[i].ID})
			}
		}
	}
	return edges
}

// webOf is a drawing of n events at random.
func webOf(t testing.TB, r *rand.Rand, n int) *drawing {
	t.Helper()
	var ids causal.IDs
	var events []causal.Event
	for i := range n {
		h := causal.Header{ID: ids.Next(1000), Seq: uint64(i + 1), Coordinate: causal.Coordinate{Scope: "s", Entity: fmt.Sprint("e", r.IntN(4))},
			Version: uint64(i + 1), Kind: causal.Kind(0x1001 + r.IntN(3))}
		for range r.IntN(4) {
			if i > 0 {
				h.Causes = append(h.Causes, causal.Cause{ID: events[max(0, i-1-r.IntN(8))].ID})
			}
		}
		events = append(events, causal.Event{Header: h})
	}
	d, err := newDrawing(events, edgesOf(events), events[n/2].ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Whoever follows the lines of a drawing from an event down comes to its causes, all of them and no other.
func TestTheLinesOfADrawingLeadToTheCauses(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		d := webOf(t, rand.New(rand.NewPCG(seed, 1)), 1+int(seed)%40)
		text := drawnAs(t, d, "text", false)
		got, err := follow(text)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		for i := range d.events {
			want := map[int]bool{}
			for _, c := range d.events[i].causes {
				want[c] = true
			}
			if fmt.Sprint(got[i]) != fmt.Sprint(want) {
				t.Errorf("seed %d: event %d leads to %v, not %v\n%s", seed, i, got[i], want, text)
			}
		}
	}
}

// follow reads a drawing: which events each event's lines lead to, by their rows. Each column carries the
// events that its line comes from.
func follow(text string) ([]map[int]bool, error) {
	var causes []map[int]bool
	columns := map[int]map[int]bool{}
	join := func(at int, from map[int]bool) {
		if columns[at] == nil {
			columns[at] = map[int]bool{}
		}
		for e := range from {
			columns[at][e] = true
		}
	}
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		cells := []rune(strings.TrimRight(line, "\n"))
		if at := strings.IndexAny(string(cells), "●◉○✗"); at >= 0 {
			own := len([]rune(string(cells)[:at]))
			event := len(causes)
			causes = append(causes, map[int]bool{})
			for e := range columns[own] {
				causes[e][event] = true
			}
			columns[own] = map[int]bool{event: true}
			for c := range columns {
				if c != own && (c >= len(cells) || cells[c] != '│') {
					delete(columns, c)
				}
			}
			continue
		}
		own := strings.IndexAny(string(cells), "├┤┼")
		if own < 0 {
			return nil, errors.New("a line that neither leaves nor joins: " + string(cells))
		}
		own = len([]rune(string(cells)[:own]))
		for c := range columns { // a line that is not there any more has ended
			if c >= len(cells) || cells[c] == ' ' || cells[c] == '─' {
				delete(columns, c)
			}
		}
		for c, r := range cells {
			switch {
			case strings.ContainsRune("╮╭┬", r):
				if len(columns[c]) > 0 {
					return nil, fmt.Errorf("column %d is taken: %s", c, string(cells))
				}
				columns[c] = map[int]bool{}
				join(c, columns[own])
			case strings.ContainsRune("╯╰┴", r):
				join(own, columns[c])
				delete(columns, c)
			}
		}
	}
	return causes, nil
}

func TestAnSVGIsWellFormedAndLegibleAt200Events(t *testing.T) {
	t.Parallel()
	d := webOf(t, rand.New(rand.NewPCG(9, 9)), 200)
	for _, picture := range []*drawing{picture(t), d} {
		text := drawnAs(t, picture, "svg", false)
		dec := xml.NewDecoder(strings.NewReader(text))
		labels, last := 0, ""
		for {
			token, err := dec.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			e, ok := token.(xml.StartElement)
			if !ok || e.Name.Local != "text" {
				continue
			}
			for _, a := range e.Attr {
				if a.Name.Local == "y" {
					if a.Value == last {
						t.Errorf("two labels at height %s", a.Value)
					}
					labels, last = labels+1, a.Value
				}
			}
		}
		if want := len(picture.events) + len(picture.kinds) + 1; labels != want {
			t.Errorf("%d labels, want %d", labels, want)
		}
	}
	t.Logf("%d bytes for %d events", len(drawnAs(t, d, "svg", false)), len(d.events))
}

// Graphviz, where it is installed, takes what is written for it.
func TestGraphvizTakesTheDOT(t *testing.T) {
	t.Parallel()
	dot, err := exec.LookPath("dot")
	if err != nil {
		t.Skip("Graphviz is not installed")
	}
	cmd := exec.Command(dot, "-Tsvg")
	cmd.Stdin = strings.NewReader(drawnAs(t, picture(t), "dot", false))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
