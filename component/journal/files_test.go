package journal_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/component/journal"
	"batpak/faultfs"
)

const firstFrame = 4096

// span is a group in a segment's file, or a mark.
type span struct {
	start, end int
	first      uint64 // sequence of its first event
	events     int
	ends       []int // of its frames
}

// spans walks the frames of a segment's bytes, as the package doc describes them.
func spans(b []byte) (groups []span, end int) {
	seq := binary.LittleEndian.Uint64(b[24:])
	g := span{start: firstFrame, first: seq}
	off := firstFrame
	for off+16 <= len(b) {
		n, typ := int(binary.LittleEndian.Uint32(b[off:])), b[off+13]
		if typ == 0 {
			break
		}
		off += (16 + n + 7) &^ 7
		g.ends = append(g.ends, off)
		switch typ {
		case 1:
			g.events++
			seq++
		case 2, 3:
			g.end = off
			groups = append(groups, g)
			g = span{start: off, first: seq}
		}
	}
	return groups, off
}

// files reads a directory.
func files(tb testing.TB, dir string) map[string][]byte {
	tb.Helper()
	m := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		m[filepath.ToSlash(name)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// place puts files into an empty directory, or one that had others before.
func place(tb testing.TB, dir string, m map[string][]byte) {
	tb.Helper()
	for _, sub := range []string{"segments", "keys"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			tb.Fatal(err)
		}
	}
	for _, sub := range []string{".", "segments", "keys"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil {
			tb.Fatal(err)
		}
		for _, e := range entries {
			name := path.Join(sub, e.Name())
			if _, ok := m[name]; !ok && !e.IsDir() {
				if err := os.Remove(filepath.Join(dir, name)); err != nil {
					tb.Fatal(err)
				}
			}
		}
	}
	for name, b := range m {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
}

// look opens what is in a directory, reads everything and closes it.
func look(tb testing.TB, dir string, o journal.Options) (events []causal.Event, err error) {
	tb.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		tb.Fatal(err)
	}
	defer root.Close()
	j, err := journal.Open(context.Background(), noSync{faultfs.Dir(root)}, o)
	if err != nil {
		return nil, err
	}
	events, err = audit(j)
	for i := range events {
		if _, _, perr := j.Payload(&events[i]); perr != nil {
			err = errors.Join(err, perr)
		}
	}
	return events, errors.Join(err, j.Close())
}

// sameEvents says how two logs differ; the second may be shorter by the events after upTo.
func sameEvents(got, want []causal.Event) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d events, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i].Hash != want[i].Hash || !bytes.Equal(got[i].Envelope, want[i].Envelope) {
			return fmt.Errorf("event %d is another one", i+1)
		}
	}
	return nil
}

// journalFiles makes a journal of some segments, and returns its files as a killed process leaves
// them, and as Close leaves them, and its events.
func journalFiles(tb testing.TB, o journal.Options, segments int) (killed, closed map[string][]byte, events []causal.Event) {
	tb.Helper()
	d := newDisk(tb)
	j := openFS(tb, d, o)
	mustAppend(tb, j, keyed("first", event("e", 1), event("f", 2)))
	fill(tb, j, segments)
	for i := range uint64(4) {
		mustAppend(tb, j, one(event("e", i)))
	}
	mustAppend(tb, j, keyed("last", event("e", 5), large("f", 301), event("g", 6)))
	events, err := audit(j)
	if err != nil {
		tb.Fatal(err)
	}
	d.waitFor(func() bool {
		n := 0
		for name := range d.now {
			if strings.HasSuffix(name, ".idx") {
				n++
			}
		}
		return n == segments-1 && d.now["segments/next.tmp"] == nil
	})
	killed = files(tb, d.dir)
	if err := j.Close(); err != nil {
		tb.Fatal(err)
	}
	return killed, files(tb, d.dir), events
}

// lastSegment is the name of the open segment.
func lastSegment(m map[string][]byte) string {
	return slices.Max(slices.Collect(func(yield func(string) bool) {
		for name := range m {
			if strings.HasSuffix(name, ".seg") && !yield(name) {
				return
			}
		}
	}))
}

func with(m map[string][]byte, name string, b []byte) map[string][]byte {
	m = maps.Clone(m)
	if m[name] = b; b == nil {
		delete(m, name)
	}
	return m
}

// edit returns a copy of b with f applied.
func edit(b []byte, f func(b []byte)) []byte {
	b = bytes.Clone(b)
	f(b)
	return b
}
