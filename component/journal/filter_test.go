package journal_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/faultfs"
)

// varied appends n small events with little in common, in runs, so that what a filter selects lies here close together
// and there far apart.
func varied(tb testing.TB, j *journal.Journal, r *rand.Rand, n int) {
	tb.Helper()
	for n > 0 {
		b := &journal.Batch{}
		scope, rare := fmt.Sprintf("s%d", r.IntN(3)), r.IntN(2) == 0
		for range min(n, 1+r.IntN(100)) {
			a := large(fmt.Sprintf("e%d", r.IntN(3)), 3+r.IntN(60))
			a.Scope = scope
			a.Kind = causal.Kind(0x1000 + r.IntN(3))
			if rare && r.IntN(20) == 0 {
				a.Kind = 0x1fff
			}
			if a.Lane = uint32(r.IntN(2)); r.IntN(30) == 0 {
				a.Lane = 1 << 20
			}
			if r.IntN(8) == 0 {
				a.Subject = fmt.Sprintf("p%d", r.IntN(3)*r.IntN(2))
			}
			b.Events = append(b.Events, a)
		}
		n -= len(b.Events)
		mustAppend(tb, j, b)
	}
}

// combinations are selections by everything that there is to select by, alone and together.
func combinations() (sels []codec.Selection) {
	for _, scope := range []string{"", "s0", "s2", "e1"} {
		for _, entity := range []string{"", "e0", "e2", "s1"} {
			for _, subject := range []string{"", "p0", "p2", "s1"} {
				for _, lane := range []*uint32{nil, ptr(uint32(0)), ptr(uint32(1)), ptr(uint32(1 << 20)), ptr(uint32(7))} {
					for _, kinds := range [][]causal.Kind{nil, {0x1001}, {0x1fff}, {0x1002, 0x1fff, 0x1002, 0x1abc}, {0x1000, 0x1001, 0x1002}, {0x1abc}} {
						sels = append(sels, codec.Selection{Scope: scope, Entity: entity, Subject: subject, Lane: lane, Kinds: kinds})
					}
				}
			}
		}
	}
	return sels
}

// readsAsScanned compares Events and the pages of Read, over some range, with what each selection means.
func readsAsScanned(t *testing.T, j *journal.Journal, events []causal.Event, r *rand.Rand) {
	t.Helper()
	head := uint64(len(events))
	for _, sel := range combinations() {
		if r.IntN(3) > 0 {
			sel.After, sel.Until = r.Uint64N(head), 1+r.Uint64N(head)
		}
		what := fmt.Sprintf("%+v", sel)
		if sel.Lane != nil {
			what += fmt.Sprintf(", lane %d", *sel.Lane)
		}
		var want [][]byte
		for i := range events {
			if selects(sel, &events[i]) {
				want = append(want, events[i].Envelope)
			}
		}
		var got [][]byte
		for ev, err := range j.Events(t.Context(), sel) {
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			got = append(got, ev.Envelope)
		}
		if !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("%s: %d events, want %d", what, len(got), len(want))
		}
		got = nil
		for more := true; more; {
			sel.Limit = 1 + r.Uint64N(400)
			p, err := j.Read(t.Context(), sel, 1+r.IntN(50_000))
			if err != nil || p.More && p.Next <= sel.After {
				t.Fatalf("%s: next %d after %d: %v", what, p.Next, sel.After, err)
			}
			got = append(got, p.Envelopes...)
			sel.After, more = p.Next, p.More
		}
		if !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("%s: pages of %d events, want %d", what, len(got), len(want))
		}
	}
}

// Whatever a read selects by, it gives what a scan would, be the index in memory, on disk, missing, damaged or of the
// format before.
func TestAFilteredReadIsAFilteredScan(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	d := newDisk(t)
	o := journal.Options{Name: "filter", SegmentBytes: 2 * small}
	j := openFS(t, d, o)
	varied(t, j, r, 3000)
	events, err := audit(j)
	if err != nil {
		t.Fatal(err)
	}
	if n := j.Stats().Segments; n < 4 {
		t.Fatalf("%d segments", n)
	}
	readsAsScanned(t, j, events, r)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	closed := files(t, d.dir)
	gone, damaged, old := maps.Clone(closed), maps.Clone(closed), maps.Clone(closed)
	for name, b := range closed {
		if !strings.HasSuffix(name, ".idx") {
			continue
		}
		delete(gone, name)
		damaged[name] = edit(b, func(b []byte) { b[80+r.IntN(len(b)-80)]++ })
		old[name] = edit(b, func(b []byte) {
			b[8]--
			binary.LittleEndian.PutUint32(b[68:], crc(b[24:32], make([]byte, 8), b[:68]))
		})
	}
	for what, m := range map[string]map[string][]byte{"on disk": closed, "missing": gone, "damaged": damaged, "of the format before": old} {
		r := rand.New(rand.NewPCG(seed, 2))
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := tempDir(t)
			place(t, dir, m)
			readsAsScanned(t, openDir(t, dir, o), events, r)
			for name := range closed {
				if b := files(t, dir)[name]; strings.HasSuffix(name, ".idx") && b[8] != 4 {
					t.Errorf("%s is of format %d", name, b[8])
				}
			}
		})
	}
}

// A page of matches reads the matches, and of the index of each segment what it takes to find them: not the log.
func TestAFilteredPageReadsItsMatches(t *testing.T) {
	t.Parallel()
	o := journal.Options{Name: "filter", SegmentBytes: 1 << 20}
	mount := faultfs.NewDisk(faultfs.POSIX).Mount()
	j := openFS(t, mount, o)
	const n, rare = 20_000, 250 // each so many is a rare one
	for i := 0; i < n; {
		b := &journal.Batch{}
		for range 500 {
			a := large(fmt.Sprintf("e%d", i%100), 200)
			a.Kind, a.Subject = causal.Kind(0x1000+i%2), "common"
			switch i % rare {
			case 1:
				a.Kind = 0x1ffe
			case 0:
				a.Kind, a.Lane, a.Subject, a.Scope, a.Entity = 0x1fff, 9, "p", "rare", "one"
			}
			b.Events = append(b.Events, a)
			i++
		}
		mustAppend(t, j, b)
	}
	segments := j.Stats().Segments
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	in := faultfs.Inject(mount.Kill().Mount())
	j = openFS(t, in, o)
	for what, sel := range map[string]codec.Selection{
		"scope":                       {Scope: "rare"},
		"entity":                      {Entity: "one"},
		"coordinate":                  {Scope: "rare", Entity: "one"},
		"lane":                        {Lane: ptr(uint32(9))},
		"kind":                        {Kinds: []causal.Kind{0x1fff}},
		"kinds":                       {Kinds: []causal.Kind{0x1ffd, 0x1fff}},
		"subject":                     {Subject: "p"},
		"lane 0 of a scope":           {Scope: "rare", Lane: ptr(uint32(0))},
		"common kinds of a rare lane": {Kinds: []causal.Kind{0x1000, 0x1001, 0x1fff}, Lane: ptr(uint32(9))},
		"a rare kind, common subject": {Kinds: []causal.Kind{0x1ffe}, Subject: "common"},
		"a rare kind of a scope":      {Scope: "s", Kinds: []causal.Kind{0x1fff}},
		"nothing":                     {Scope: "s", Kinds: []causal.Kind{0x1abc}},
	} {
		candidates := n / rare
		if what == "nothing" {
			candidates = 0
		}
		before := len(in.Trace())
		p, err := j.Read(t.Context(), sel, 1<<20)
		if want := candidates; err != nil || p.More || !strings.Contains(what, " of a scope") && len(p.Envelopes) != want {
			t.Fatalf("%s: %d events, want %d, more %v: %v", what, len(p.Envelopes), want, p.More, err)
		}
		log, index := int64(0), int64(0)
		for _, c := range in.Trace()[before:] {
			switch {
			case c.Op != faultfs.OpReadAt:
			case strings.HasSuffix(c.Name, ".seg"):
				log += c.Len
			default:
				index += c.Len
			}
		}
		// A block is 4 KiB. A term is found by the logarithm of the list's blocks, which are fewer than 256.
		terms := 3 + len(sel.Kinds)
		if most := int64(segments*terms*10+candidates) * 4096; index > most {
			t.Errorf("%s: %d bytes of indexes, at most %d", what, index, most)
		}
		if most := int64(candidates) * 2048; log > most {
			t.Errorf("%s: %d bytes of log, at most %d", what, log, most)
		}
	}
}

// A read that selects much reads it in one go, and a page of it no more than it returns and what lies between.
func TestAPageOfManyMatchesScans(t *testing.T) {
	t.Parallel()
	o := journal.Options{Name: "filter", SegmentBytes: 1 << 20}
	mount := faultfs.NewDisk(faultfs.POSIX).Mount()
	j := openFS(t, mount, o)
	for range 10 {
		b := &journal.Batch{}
		for i := range 500 {
			a := large("e", 200)
			a.Kind = causal.Kind(0x1000 + i%2)
			b.Events = append(b.Events, a)
		}
		mustAppend(t, j, b)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	in := faultfs.Inject(mount.Kill().Mount())
	j = openFS(t, in, o)
	before := len(in.Trace())
	p, err := j.Read(t.Context(), codec.Selection{Kinds: []causal.Kind{0x1001}, After: 100, Limit: 200}, 1<<20)
	if err != nil || len(p.Envelopes) != 200 || !p.More {
		t.Fatalf("%d events, more %v: %v", len(p.Envelopes), p.More, err)
	}
	reads, log := 0, int64(0)
	for _, c := range in.Trace()[before:] {
		if reads++; strings.HasSuffix(c.Name, ".seg") {
			log += c.Len
		}
	}
	if reads > 40 || log > 512<<10 {
		t.Errorf("%d reads, %d bytes of log", reads, log)
	}
}
