package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"batpak/codec"

	"golang.org/x/term"
)

// form is how results are written.
type form uint8

const (
	forPipe     form = iota // fields with a tab between them
	forTerminal             // tables
	forMachine              // JSON
)

// screen writes results to standard output.
type screen struct {
	form  form
	color bool
	width int // of the terminal, in characters; 0 when it is not one
	w     *bufio.Writer
}

func (a *app) newScreen() *screen {
	s := a.newScreenOn(a.out)
	if a.json {
		s.form = forMachine
	}
	return s
}

// newScreenOn is a screen on another stream than standard output, for people.
func (a *app) newScreenOn(w io.Writer) *screen {
	s := &screen{w: bufio.NewWriterSize(w, 64<<10)}
	if fd, ok := terminal(w); ok {
		s.form, s.width = forTerminal, 100
		if width, _, err := term.GetSize(fd); err == nil && width > 0 {
			s.width = width
		}
		s.color = a.colourful()
	}
	return s
}

func (a *app) colourful() bool {
	return !a.noColor && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// terminal says whether a stream is one, and gives its descriptor.
func terminal(stream any) (fd int, ok bool) {
	f, ok := stream.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	return int(f.Fd()), true
}

func (s *screen) close() error { return s.w.Flush() }

// json writes one object on a line of its own.
func (s *screen) json(object []byte) error {
	if _, err := s.w.Write(object); err != nil {
		return err
	}
	return s.w.WriteByte('\n')
}

// style is a colour or an emphasis.
type style string

const (
	plain  style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	cyan   style = "36"
)

// paint puts text into a style, when there is colour.
func (s *screen) paint(st style, text string) string {
	if !s.color || st == plain || text == "" {
		return text
	}
	return "\x1b[" + string(st) + "m" + text + "\x1b[0m"
}

// printable makes text harmless for a terminal and for a picture: what would move the cursor, or have other text be seen
// than there is, becomes the replacement character.
func printable(text string) string {
	if strings.IndexFunc(text, misleads) < 0 && utf8.ValidString(text) {
		return text
	}
	return strings.Map(func(r rune) rune {
		if misleads(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(text, string(unicode.ReplacementChar)))
}

// misleads says whether a character controls a terminal, turns the direction of text, breaks its line, or is not seen.
func misleads(r rune) bool {
	switch {
	case unicode.IsControl(r):
		return true
	case r < 0x061c:
		return false
	}
	return r == 0x061c || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0xfeff
}

// object writes names and values as one JSON object.
func (s *screen) object(namesAndValues ...any) error {
	line := []byte{'{'}
	for i, v := range namesAndValues {
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		switch {
		case i%2 == 1:
			line = append(line, ':')
		case i > 0:
			line = append(line, ',')
		}
		line = append(line, text...)
	}
	return s.json(append(line, '}'))
}

// body writes a body of the protocol as one JSON object, with more properties in front of its own:
// names and values that are JSON already.
func (s *screen) body(body codec.Body, more ...string) error {
	object, err := codec.Marshal(nil, codec.JSON, body)
	if err != nil {
		return err
	}
	return s.json(append([]byte(front(more)), object[1:]...))
}

// front is the beginning of a JSON object with these names and values, which goes on.
func front(more []string) string {
	text := "{"
	for i := 0; i < len(more); i += 2 {
		text += `"` + more[i] + `":` + more[i+1] + ","
	}
	return text
}
