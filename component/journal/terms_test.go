package journal_test

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"io"
	"slices"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/component/journal"
)

// posting is an entry of the list of terms in an index file.
type posting struct {
	term uint64
	pos  uint32
}

// postingsOf is the list of terms of a segment with these events, by the package doc.
func postingsOf(events []causal.Event) []posting {
	var list []posting
	for i := range events {
		ev := &events[i]
		terms := []string{
			"\x01" + ev.Scope + "\x00" + ev.Entity,
			"\x03" + ev.Scope,
			"\x04" + ev.Entity,
			"\x05" + string(binary.LittleEndian.AppendUint16(nil, uint16(ev.Kind))),
		}
		for _, c := range ev.Causes {
			if c.Lineage.IsZero() || c.Lineage == ev.Lineage {
				terms = append(terms, "\x02"+string(c.ID[:]))
			}
		}
		if ev.Subject != "" {
			terms = append(terms, "\x06"+ev.Subject)
		}
		if ev.Lane != 0 {
			terms = append(terms, "\x07"+string(binary.LittleEndian.AppendUint32(nil, ev.Lane)))
		}
		for _, term := range terms {
			h := fnv.New64a()
			io.WriteString(h, term)
			list = append(list, posting{h.Sum64(), uint32(i)})
		}
	}
	slices.SortFunc(list, func(a, b posting) int {
		return cmp.Or(cmp.Compare(a.term, b.term), cmp.Compare(a.pos, b.pos))
	})
	return slices.Compact(list)
}

// The list of terms in an index file is to the byte what the package doc says. See also
// TestTheFilesAreAsDocumented, which has other terms and reads the whole file.
func TestTheListOfTermsIsAsDocumented(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	o := journal.Options{Name: "graph", SegmentBytes: small}
	j := openDir(t, dir, o)
	events := web(t, j, 120)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	openDir(t, dir, o).Close()
	b := files(t, dir)[strings.Replace(firstSegment, ".seg", ".idx", 1)]
	n := int(binary.LittleEndian.Uint32(b[12:]))
	m := int(binary.LittleEndian.Uint32(b[64:]))
	var got []posting
	list := b[len(b)-4-12*m : len(b)-4] // it is one block
	for ; len(list) > 0; list = list[12:] {
		got = append(got, posting{binary.LittleEndian.Uint64(list), binary.LittleEndian.Uint32(list[8:])})
	}
	if want := postingsOf(events[:n]); m == 0 || m > 341 || !slices.Equal(got, want) {
		t.Errorf("%d entries: %v\nwant %v", m, got, want)
	}
	salt, at := b[24:32], len(b)-4-12*m
	if sum := crc(salt, binary.LittleEndian.AppendUint64(nil, uint64(at)), b[at:len(b)-4]); sum != binary.LittleEndian.Uint32(b[len(b)-4:]) {
		t.Error("checksum")
	}
}
