package gatefile

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"go.yaml.in/yaml/v3"

	"batpak/gates"
	"batpak/gates/cel"
)

// MaxBytes is the largest file that is read.
const MaxBytes = 1 << 20

// Error says what is wrong in a file, and where.
type Error struct {
	File string
	Line int // from 1; 0 when the place is not known
	Err  error
}

// Error returns "FILE:LINE: what".
func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Read reads the gates of a file; its name is for errors alone. The error joins an *Error for each gate
// that is wrong, or is of the reader.
func Read(file string, r io.Reader) (*gates.Chain, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	nodes, err := parse(text)
	if err != nil {
		return nil, placed(file, err)
	}
	var chain []gates.Gate
	var lines []int
	var wrong []error
	for _, node := range nodes {
		g, err := read(node)
		if err == nil {
			// A chain of one finds what is wrong with this one, and so the line.
			_, err = gates.NewChain(g)
			err = at(node, err)
		}
		if err != nil {
			wrong = append(wrong, placed(file, err))
			continue
		}
		for i, other := range chain {
			if other.Name() == g.Name() {
				wrong = append(wrong, placed(file, bad(node, "the name %q is that of the gate in line %d", g.Name(), lines[i])))
			}
		}
		chain, lines = append(chain, g), append(lines, node.Line)
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	c, err := gates.NewChain(chain...)
	if err != nil {
		return nil, &Error{File: file, Err: err}
	}
	return c, nil
}

// parse returns the nodes of the gates.
func parse(text []byte) ([]*yaml.Node, error) {
	if len(text) > MaxBytes {
		return nil, fmt.Errorf("the file has more than %d bytes", MaxBytes)
	}
	var document yaml.Node
	d := newDecoder(text)
	if err := d.Decode(&document); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the file is empty")
		}
		return nil, err
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("the file has something behind its document")
	}
	top, err := table(document.Content[0])
	if err != nil {
		return nil, err
	}
	list, err := top.list("gates")
	if err == nil {
		err = top.end()
	}
	if err == nil && len(list) == 0 {
		err = bad(document.Content[0], "there are no gates")
	}
	return list, err
}

// rules reads the part of a gate that says what it does.
var rules = []struct {
	key  string
	read func(name string, node *yaml.Node) (gates.Gate, error)
}{{"size", size}, {"kinds", kinds}, {"causes", causes}, {"rate", rate}, {"cel", expression}}

func read(node *yaml.Node) (gates.Gate, error) {
	f, err := table(node)
	if err != nil {
		return nil, err
	}
	name, err := need[string](f, "name")
	if err != nil {
		return nil, err
	}
	var g gates.Gate
	for _, rule := range rules {
		part := f.take(rule.key)
		if part == nil {
			continue
		}
		if g != nil {
			return nil, bad(part, "gate %s has more than one rule", name)
		}
		if g, err = rule.read(name, part); err != nil {
			return nil, err
		}
	}
	when := f.take("when")
	if err := f.end(); err != nil {
		return nil, err
	}
	if g == nil {
		return nil, bad(node, "gate %s has none of size, kinds, causes, rate and cel", name)
	}
	if when == nil {
		return g, nil
	}
	m, err := match(when)
	return gates.When(m, g), err
}

func match(node *yaml.Node) (m gates.Match, err error) {
	f, err := table(node)
	if err != nil {
		return m, err
	}
	if m.Scopes, err = patterns(f, "scopes"); err != nil {
		return m, err
	}
	if m.Entities, err = patterns(f, "entities"); err != nil {
		return m, err
	}
	if m.Kinds, err = ranges(f, "kinds"); err != nil {
		return m, err
	}
	return m, f.end()
}

func size(name string, node *yaml.Node) (gates.Gate, error) {
	f, err := table(node)
	if err != nil {
		return nil, err
	}
	limit, err := need[int](f, "max_bytes")
	if err != nil {
		return nil, err
	}
	return gates.MaxSize(name, limit), f.end()
}

func kinds(name string, node *yaml.Node) (gates.Gate, error) {
	if node.Kind != yaml.SequenceNode {
		return nil, bad(node, "kinds is not a list")
	}
	var list []gates.KindRule
	for _, item := range node.Content {
		f, err := table(item)
		if err != nil {
			return nil, err
		}
		scope, err := need[string](f, "scope")
		if err != nil {
			return nil, err
		}
		if f.parts["allow"] == nil {
			return nil, bad(item, "there is no allow")
		}
		allow, err := ranges(f, "allow")
		if err == nil {
			err = f.end()
		}
		if err != nil {
			return nil, err
		}
		list = append(list, gates.KindRule{Scope: gates.Pattern(scope), Kinds: allow})
	}
	return gates.AllowKinds(name, list...), nil
}

func causes(name string, node *yaml.Node) (gates.Gate, error) {
	f, err := table(node)
	if err != nil {
		return nil, err
	}
	least, err := need[int](f, "at_least")
	if err != nil {
		return nil, err
	}
	kinds, err := ranges(f, "kinds")
	if err != nil {
		return nil, err
	}
	return gates.RequireCauses(name, least, kinds...), f.end()
}

func rate(name string, node *yaml.Node) (gates.Gate, error) {
	f, err := table(node)
	if err != nil {
		return nil, err
	}
	var r gates.Rate
	if r.Events, err = need[int](f, "events"); err != nil {
		return nil, err
	}
	per, err := need[string](f, "per")
	if err != nil {
		return nil, err
	}
	if r.Per, err = time.ParseDuration(per); err != nil {
		return nil, bad(node, "per: %q is not a duration such as 1s or 5m", per)
	}
	if r.Burst, err = may[int](f, "burst"); err != nil {
		return nil, err
	}
	by, err := may[string](f, "by")
	switch {
	case err != nil:
		return nil, err
	case by == "entity":
		r.Entity = true
	case by != "" && by != "scope":
		return nil, bad(node, "by: %q is neither scope nor entity", by)
	}
	return gates.MaxRate(name, r), f.end()
}

func expression(name string, node *yaml.Node) (gates.Gate, error) {
	f, err := table(node)
	if err != nil {
		return nil, err
	}
	expr, err := need[string](f, "expr")
	if err != nil {
		return nil, err
	}
	var o cel.Options
	if o.Message, err = may[string](f, "message"); err != nil {
		return nil, err
	}
	if o.Code, err = may[string](f, "code"); err != nil {
		return nil, err
	}
	cost, err := may[int](f, "cost")
	if err != nil {
		return nil, err
	}
	if cost < 0 {
		cost = math.MaxInt // New refuses it
	}
	o.Cost = uint64(cost)
	if err := f.end(); err != nil {
		return nil, err
	}
	g, err := cel.New(name, expr, o)
	return g, at(node, err)
}
