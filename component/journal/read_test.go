package journal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/keystore"
)

// mixed fills a journal with events that differ in everything that a selection looks at.
func mixed(tb testing.TB, j *journal.Journal, segments int) {
	tb.Helper()
	for i := 0; j.Stats().Segments < segments; i++ {
		b := &journal.Batch{}
		for k := range 1 + i%3 {
			n := i + k
			a := large(fmt.Sprintf("e%d", n%4), 300+n%900)
			a.Scope = fmt.Sprintf("s%d", n%2)
			a.Lane = uint32(n % 3)
			a.Kind = causal.Kind(0x1000 + n%5)
			if n%7 == 0 {
				a.Subject = fmt.Sprintf("p%d", n%2)
			}
			b.Events = append(b.Events, a)
		}
		mustAppend(tb, j, b)
	}
}

// selects is what a selection means, by itself.
func selects(sel codec.Selection, ev *causal.Event) bool {
	return ev.Seq > sel.After && (sel.Until == 0 || ev.Seq <= sel.Until) &&
		(sel.Scope == "" || ev.Scope == sel.Scope) && (sel.Entity == "" || ev.Entity == sel.Entity) &&
		(sel.Lane == nil || ev.Lane == *sel.Lane) && (len(sel.Kinds) == 0 || slices.Contains(sel.Kinds, ev.Kind)) &&
		(sel.Subject == "" || ev.Subject == sel.Subject)
}

func selections(head uint64) map[string]codec.Selection {
	return map[string]codec.Selection{
		"all":              {},
		"after":            {After: head / 2},
		"until":            {Until: head / 3},
		"between":          {After: head / 3, Until: head/3 + 10},
		"past the head":    {After: head + 5},
		"until the head":   {Until: head + 5},
		"nothing between":  {After: 20, Until: 20},
		"scope":            {Scope: "s1"},
		"entity":           {Entity: "e2"},
		"coordinate":       {Scope: "s0", Entity: "e2"},
		"coordinate after": {Scope: "s1", Entity: "e3", After: head / 2, Until: head - 7},
		"no coordinate":    {Scope: "s1", Entity: "e0"},
		"lane":             {Lane: ptr(uint32(2))},
		"lane 0":           {Lane: ptr(uint32(0)), Scope: "s0", Entity: "e0"},
		"kinds":            {Kinds: []causal.Kind{0x1001, 0x1004}},
		"subject":          {Subject: "p1"},
		"subject of one":   {Subject: "p0", Scope: "s0", Entity: "e0"},
		"everything":       {Scope: "s0", Entity: "e2", Lane: ptr(uint32(1)), Kinds: []causal.Kind{0x1000, 0x1001, 0x1002}, Subject: "p0"},
		"nothing":          {Subject: "nobody"},
	}
}

// checkReads compares every way of reading with what the log holds.
func checkReads(t *testing.T, j *journal.Journal, events []causal.Event) {
	t.Helper()
	ctx := context.Background()
	head := uint64(len(events))
	for what, sel := range selections(head) {
		var want []uint64
		for i := range events {
			if selects(sel, &events[i]) {
				want = append(want, events[i].Seq)
			}
		}
		var got []uint64
		for ev, err := range j.Events(ctx, sel) {
			if err != nil {
				t.Fatalf("%s: events: %v", what, err)
			}
			if !bytes.Equal(ev.Envelope, events[ev.Seq-1].Envelope) {
				t.Fatalf("%s: event %d is another one", what, ev.Seq)
			}
			got = append(got, ev.Seq)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: events gave %v, want %v", what, got, want)
		}
		for _, page := range []struct {
			limit uint64
			bytes int
		}{{1, 1 << 20}, {7, 1 << 20}, {0, 1 << 20}, {1000, 3000}, {1000, 1}, {5000, 1 << 30}} {
			sel := sel
			sel.Limit = page.limit
			got = got[:0]
			for more := true; more; {
				p, err := j.Read(ctx, sel, page.bytes)
				if err != nil {
					t.Fatalf("%s: read: %v", what, err)
				}
				size := 0
				for _, b := range p.Envelopes {
					ev, err := codec.DecodeEnvelope(b)
					if err != nil {
						t.Fatal(err)
					}
					size += len(b)
					got = append(got, ev.Seq)
				}
				last := sel.After
				if len(got) > 0 {
					last = max(last, got[len(got)-1])
				}
				switch {
				case len(p.Envelopes) > sel.Max():
					t.Errorf("%s: a page of %d", what, len(p.Envelopes))
				case size > page.bytes && len(p.Envelopes) > 1:
					t.Errorf("%s: a page of %d bytes", what, size)
				case p.Head != head, p.Next < last:
					t.Errorf("%s: next %d, head %d after %d", what, p.Next, p.Head, last)
				case p.More && p.Next == sel.After && len(p.Envelopes) == 0:
					t.Fatalf("%s: an empty page that leads nowhere", what)
				case !p.More && sel.Until == 0 && sel.After <= head && p.Next != head:
					t.Errorf("%s: the last page ends at %d of %d", what, p.Next, head)
				}
				sel.After, more = p.Next, p.More
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, limit %d, %d bytes: pages gave %v, want %v", what, page.limit, page.bytes, got, want)
			}
		}
	}
	byStream := map[causal.Stream][]uint64{}
	for i := range events {
		byStream[events[i].Stream()] = append(byStream[events[i].Stream()], events[i].Seq)
	}
	byStream[causal.Stream{Coordinate: causal.Coordinate{Scope: "no", Entity: "events"}}] = nil
	for s, list := range byStream {
		for _, after := range []int{0, 1, len(list) / 2, len(list) - 1, len(list), len(list) + 3} {
			var got []uint64
			for ev, err := range j.StreamEvents(s, uint64(max(after, 0))) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, ev.Seq)
			}
			if want := list[min(max(after, 0), len(list)):]; !slices.Equal(got, want) {
				t.Errorf("stream %s after %d gave %v, want %v", s, after, got, want)
			}
		}
	}
	for _, from := range []uint64{1, 2, head / 2, head, head + 1} {
		v, err := j.Verify(ctx, from, 0)
		if want := head + 1 - min(from, head+1); err != nil || v.Checked != want || v.Head != head || v.Hash != events[head-1].Hash {
			t.Errorf("verify from %d: %+v, %v, want %d", from, v, err, want)
		}
	}
	if v, err := j.Verify(ctx, 5, 9); err != nil || v.Checked != 5 {
		t.Errorf("verify 5 to 9: %+v, %v", v, err)
	}
}

// Whatever state the index is in, reads give the same: in memory, on disk, missing, damaged.
func TestReadsAreTheSameWhateverTheIndex(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	o := journal.Options{Name: "read", Seal: keystore.Kind, SegmentBytes: small}
	j := openFS(t, d, o)
	mixed(t, j, 4)
	events, err := audit(j)
	if err != nil {
		t.Fatal(err)
	}
	checkReads(t, j, events)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	closed := files(t, d.dir)
	states := map[string]map[string][]byte{"on disk": closed}
	gone, garbled, empty := maps.Clone(closed), maps.Clone(closed), maps.Clone(closed)
	for name, b := range closed {
		if strings.HasSuffix(name, ".idx") {
			delete(gone, name)
			garbled[name] = edit(b, func(b []byte) {
				for i := 80; i < len(b); i += 7 {
					b[i] ^= 0x5a
				}
			})
			empty[name] = nil
		}
	}
	states["deleted"], states["garbled"], states["empty"] = gone, garbled, empty
	for what, m := range states {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := tempDir(t)
			place(t, dir, m)
			checkReads(t, openDir(t, dir, o), events)
		})
	}
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{Name: "read", SegmentBytes: small})
	var ids causal.IDs
	for range 2 {
		for _, seq := range []uint64{0, j.Visible() + 1, 1 << 63, ^uint64(0)} {
			if _, err := j.GetSeq(seq); !errors.Is(err, journal.ErrNotFound) {
				t.Errorf("sequence %d: %v", seq, err)
			}
		}
		for _, id := range []causal.EventID{{}, ids.Next(1), ids.Next(1 << 47)} {
			if _, err := j.Get(id); !errors.Is(err, journal.ErrNotFound) {
				t.Errorf("id %s: %v", id, err)
			}
		}
		if v, err := j.Verify(t.Context(), 0, 0); err != nil || v.Checked != j.Visible() {
			t.Errorf("verify: %+v, %v", v, err)
		}
		fill(t, j, 2)
	}
}
