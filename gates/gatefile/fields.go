package gatefile

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"batpak/gates"
)

func newDecoder(text []byte) *yaml.Decoder { return yaml.NewDecoder(bytes.NewReader(text)) }

// lineError is an error with a line, not yet with a file.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }
func (e *lineError) Unwrap() error { return e.err }

func bad(node *yaml.Node, format string, args ...any) error {
	return &lineError{node.Line, fmt.Errorf(format, args...)}
}

// at puts an error at a node.
func at(node *yaml.Node, err error) error {
	if err == nil {
		return nil
	}
	return &lineError{node.Line, err}
}

// inYAML is the beginning of the library's own errors.
var inYAML = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// placed makes an error one of the file.
func placed(file string, err error) error {
	var e *lineError
	if errors.As(err, &e) {
		return &Error{File: file, Line: e.line, Err: e.err}
	}
	text := err.Error()
	found := inYAML.FindStringSubmatch(text)
	if found == nil {
		return &Error{File: file, Err: err}
	}
	line, _ := strconv.Atoi(found[1]) // 0 when there is none
	return &Error{File: file, Line: line, Err: errors.New(strings.TrimPrefix(text, found[0]))}
}

// fields are the entries of a map. What was not taken at the end is not known.
type fields struct {
	node  *yaml.Node
	names []string
	parts map[string]*yaml.Node
}

func table(node *yaml.Node) (*fields, error) {
	if node.Kind != yaml.MappingNode {
		return nil, bad(node, "a map is needed here")
	}
	f := &fields{node: node, parts: make(map[string]*yaml.Node)}
	for i := 0; i < len(node.Content); i += 2 {
		key := node.Content[i]
		if _, ok := f.parts[key.Value]; ok {
			return nil, bad(key, "the key %q is there twice", key.Value)
		}
		f.names = append(f.names, key.Value)
		f.parts[key.Value] = node.Content[i+1]
	}
	return f, nil
}

// take returns an entry, nil when it is not there.
func (f *fields) take(name string) *yaml.Node {
	part := f.parts[name]
	if part != nil {
		f.parts[name] = nil
	}
	return part
}

// end returns an error when there is something that nobody took.
func (f *fields) end() error {
	for i, name := range f.names {
		if f.parts[name] != nil {
			return bad(f.node.Content[2*i], "the key %q is not known here", name)
		}
	}
	return nil
}

func (f *fields) list(name string) ([]*yaml.Node, error) {
	part := f.take(name)
	switch {
	case part == nil:
		return nil, nil
	case part.Kind != yaml.SequenceNode:
		return nil, bad(part, "%s is not a list", name)
	}
	return part.Content, nil
}

// need returns an entry that has to be there.
func need[T int | string](f *fields, name string) (v T, err error) {
	if f.parts[name] == nil {
		return v, bad(f.node, "there is no %s", name)
	}
	return may[T](f, name)
}

// may returns an entry, or the zero value when it is not there.
func may[T int | string](f *fields, name string) (v T, err error) {
	part := f.take(name)
	if part == nil {
		return v, nil
	}
	want, what := "!!int", "a number"
	if _, ok := any(v).(string); ok {
		want, what = "!!str", "a text"
	}
	if part.Kind != yaml.ScalarNode || part.ShortTag() != want || part.Decode(&v) != nil {
		return v, bad(part, "%s is not %s", name, what)
	}
	return v, nil
}

func patterns(f *fields, name string) (out []gates.Pattern, err error) {
	err = f.each(name, func(text string) error {
		out = append(out, gates.Pattern(text))
		return nil
	})
	return out, err
}

func ranges(f *fields, name string) (out []gates.KindRange, err error) {
	err = f.each(name, func(text string) error {
		r, err := gates.ParseKinds(text)
		out = append(out, r)
		return err
	})
	return out, err
}

// each calls add with the text of each element of a list. A list that is there and empty would mean
// all, where it looks as if it meant none: it is refused.
func (f *fields) each(name string, add func(text string) error) error {
	part := f.parts[name]
	items, err := f.list(name)
	if err != nil {
		return err
	}
	if part != nil && len(items) == 0 {
		return bad(part, "%s is empty", name)
	}
	for _, item := range items {
		if item.Kind != yaml.ScalarNode || item.ShortTag() == "!!null" || item.Value == "" {
			return bad(item, "%s has something that is not a text", name)
		}
		if err := add(item.Value); err != nil {
			return at(item, err)
		}
	}
	return nil
}
