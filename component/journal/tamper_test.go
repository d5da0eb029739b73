package journal_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/keystore"
)

// Here somebody rewrites the files who knows their format, and makes every checksum right again. Only hashes, chains,
// signatures, and what was kept elsewhere can tell.

// forged is a commit group as it is to be written.
type forged struct {
	envelopes [][]byte
	signature []byte // body of the signature frame; nil for none
}

// takeApart reads the groups of a segment's bytes.
func takeApart(b []byte) (groups []forged) {
	var g forged
	for off := firstFrame; off+16 <= len(b) && b[off+13] != 0; {
		n := int(binary.LittleEndian.Uint32(b[off:]))
		body := bytes.Clone(b[off+16:][:n])
		switch b[off+13] {
		case 1:
			g.envelopes = append(g.envelopes, body)
		case 2:
			groups = append(groups, g)
			g = forged{}
		case 4:
			g.signature = body
		}
		off += (16 + n + 7) &^ 7
	}
	return groups
}

// rawFrame is a frame of which the header is still to be made, and of a commit frame the checksum.
type rawFrame struct {
	typ  byte
	body []byte
}

// framesOf is the frames of groups, between the marks of a journal that was made and closed.
func framesOf(segment []byte, groups []forged) []rawFrame {
	seq := binary.LittleEndian.Uint64(segment[24:])
	frames := []rawFrame{{3, nil}}
	for _, g := range groups {
		for _, e := range g.envelopes {
			frames = append(frames, rawFrame{1, e})
		}
		if g.signature != nil {
			frames = append(frames, rawFrame{4, g.signature})
		}
		c := binary.LittleEndian.AppendUint64(nil, seq)
		c = binary.LittleEndian.AppendUint32(c, uint32(len(g.envelopes)))
		frames = append(frames, rawFrame{2, c})
		seq += uint64(len(g.envelopes))
	}
	return append(frames, rawFrame{3, nil})
}

// putTogether writes groups into a segment with the header of another one.
func putTogether(segment []byte, groups []forged) []byte {
	return writeFrames(segment, framesOf(segment, groups))
}

// writeFrames writes frames into a segment with the header of another one. All checksums are right.
func writeFrames(segment []byte, frames []rawFrame) []byte {
	out := append([]byte(nil), segment[:firstFrame]...)
	salt := segment[48:56]
	group := len(out)
	for _, f := range frames {
		body := f.body
		if f.typ == 2 {
			body = binary.LittleEndian.AppendUint32(slices.Clip(body), crc(out[group:]))
		}
		h := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
		rest := append(binary.LittleEndian.AppendUint32(nil, uint32(group)), 0, f.typ)
		rest = binary.LittleEndian.AppendUint16(rest, uint16(crc(salt, h, rest)))
		h = binary.LittleEndian.AppendUint32(h, crc(salt, h, rest, body))
		out = append(append(append(out, h...), rest...), body...)
		out = append(out, make([]byte, -len(out)&7)...)
		if f.typ == 2 || f.typ == 3 {
			group = len(out)
		}
	}
	return append(out, make([]byte, len(segment)-len(out))...)
}

// envelopeAt is the envelope of an event, by sequence.
func envelopeAt(groups []forged, seq int) *[]byte {
	for i := range groups {
		if n := len(groups[i].envelopes); seq > n {
			seq -= n
		} else {
			return &groups[i].envelopes[seq-1]
		}
	}
	panic("no such event")
}

// change applies a change to the header and the payload of an event, and encodes it again.
func changeEvent(groups []forged, seq int, change func(h *causal.Header, data *[]byte)) {
	e := envelopeAt(groups, seq)
	ev, err := codec.DecodeEnvelope(*e)
	if err != nil {
		panic(err)
	}
	data := bytes.Clone(ev.Data)
	change(&ev.Header, &data)
	*e = codec.AppendEnvelope(nil, &ev.Header, data)
}

// renumber gives all events the sequences that their places have.
func renumber(groups []forged) {
	seq := 0
	for _, g := range groups {
		for range g.envelopes {
			seq++
			changeEvent(groups, seq, func(h *causal.Header, _ *[]byte) { h.Seq = uint64(seq) })
		}
	}
}

// rechain gives all events the sequences, versions and previous hashes that make the whole log right in itself.
func rechain(groups []forged) {
	renumber(groups)
	heads := map[causal.Stream]causal.Head{}
	seq := 0
	for _, g := range groups {
		for range g.envelopes {
			seq++
			changeEvent(groups, seq, func(h *causal.Header, _ *[]byte) {
				head := heads[h.Stream()]
				h.Version, h.Prev = head.Version+1, head.Hash
			})
			ev, err := codec.DecodeEnvelope(*envelopeAt(groups, seq))
			if err != nil {
				panic(err)
			}
			heads[ev.Stream()] = heads[ev.Stream()].Next(&ev.Header, ev.Hash)
		}
	}
}

// keptHead is what somebody keeps of a journal elsewhere: the commitment to its history up to each event.
type keptHead []causal.Hash

func commitments(events []causal.Event) (k keptHead) {
	var h causal.History
	for i := range events {
		h.Add(&events[i].Hash)
		k = append(k, h.Root())
	}
	return k
}

// hashed is the events of a log, as far as a kept head looks at them.
func hashed(groups []forged) (events []causal.Event) {
	for _, g := range groups {
		for _, e := range g.envelopes {
			events = append(events, causal.Event{Hash: causal.HashEnvelope(e)})
		}
	}
	return events
}

// differs is the first sequence at which a history is not the one that was kept; 0 when it goes on from that.
func (k keptHead) differs(events []causal.Event) uint64 {
	now := commitments(events)
	for i := range k {
		if i >= len(now) || now[i] != k[i] {
			return uint64(i + 1)
		}
	}
	return 0
}

// victim is a journal of eight events, of which each test changes the third:
//
//	1 a   2 b   [3 a  4 b]   5 a   6 b   7 a   8 b
type victim struct {
	o      journal.Options
	files  map[string][]byte
	older  map[string][]byte // after event 4
	events []causal.Event
	kept   keptHead
}

func newVictim(t *testing.T, o journal.Options) *victim {
	t.Helper()
	o.Name, o.Seal, o.SegmentBytes = "victim", keystore.Entity, small
	v := &victim{o: o}
	d := newDisk(t)
	o.Clock = fixedClock(1_790_000_000_000) // so that ticks count
	j := openFS(t, d, o)
	first := mustAppend(t, j, one(event("a", 1)))
	mustAppend(t, j, one(event("b", 2)))
	full := event("a", 3)
	full.Schema, full.Subject, full.Meta = 2, "person", map[string]string{"k": "v"}
	full.Causes, full.Correlation = []causal.Cause{{ID: first[0].ID}}, first[0].ID
	mustAppend(t, j, keyed("key", full, event("b", 4)))
	v.older = files(t, d.dir)
	for i, entity := range []string{"a", "b", "a", "b"} {
		mustAppend(t, j, one(event(entity, uint64(5+i))))
	}
	var err error
	if v.events, err = audit(j); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	v.files, v.kept = files(t, d.dir), commitments(v.events)
	return v
}

// named is the first event that an error names.
func named(err error) uint64 {
	var d *journal.DamageError
	var v *journal.VerifyError
	switch {
	case errors.As(err, &v) && v.Before > 0:
		return v.Before
	case errors.As(err, &v):
		return v.Seq
	case errors.As(err, &d):
		return d.Seq
	}
	return 0
}

// opened opens a directory with these files and no caches, and gives the events, or what Open or Verify says.
func (v *victim) opened(t *testing.T, m map[string][]byte) ([]causal.Event, journal.Verification, error) {
	t.Helper()
	m = maps.Clone(m)
	maps.DeleteFunc(m, func(name string, _ []byte) bool { return isCache(name) })
	dir := tempDir(t)
	place(t, dir, m)
	j, err := journal.Open(context.Background(), realDir(t, dir), v.o)
	if err != nil {
		return nil, journal.Verification{}, err
	}
	defer j.Close()
	found, err := j.Verify(context.Background(), 0, 0)
	if err != nil {
		return nil, found, err
	}
	var events []causal.Event
	for ev, err := range j.Events(context.Background(), codec.Selection{}) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, ev)
	}
	return events, found, nil
}

// served opens the journal, has the segment rewritten while it is open, and gives what Verify says.
func (v *victim) served(t *testing.T, segment []byte) (journal.Verification, error) {
	t.Helper()
	dir := tempDir(t)
	place(t, dir, v.files)
	j, err := journal.Open(context.Background(), realDir(t, dir), v.o)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	f, err := os.OpenFile(filepath.Join(dir, firstSegment), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(segment, 0); err != nil {
		t.Fatal(err)
	}
	return j.Verify(context.Background(), 0, 0)
}

// tampering is one way to rewrite a log.
type tampering struct {
	what   string
	do     func(groups []forged) []forged
	event  uint64 // the first one that is another one than it was, or is missing: what a kept head names
	finds  uint64 // the first one that Open and Verify name; 0 when the log is right in itself
	joined uint64 // when a chain is broken between two: the later one, and finds is the earlier
}

// tamperings is the table. A field is changed in the third event; the fifth follows it in its stream.
func tamperings() (all []tampering) {
	inPlace := func(what string, finds, joined uint64, change func(h *causal.Header, data *[]byte)) {
		all = append(all, tampering{what, func(g []forged) []forged { changeEvent(g, 3, change); return g }, 3, finds, joined})
	}
	header := func(field string, finds, joined uint64, change func(h *causal.Header)) {
		inPlace(field, finds, joined, func(h *causal.Header, _ *[]byte) { change(h) })
	}
	all = append(all, tampering{"v", func(g []forged) []forged {
		e := envelopeAt(g, 3)
		*e = bytes.Replace(*e, []byte("\xa1v\x01"), []byte("\xa1v\x02"), 1)
		return g
	}, 3, 3, 0})
	header("lineage", 3, 0, func(h *causal.Header) { h.Lineage[0]++ })
	header("id", 3, 5, func(h *causal.Header) { h.ID[15]++ })
	header("seq", 3, 0, func(h *causal.Header) { h.Seq++ })
	header("scope", 3, 0, func(h *causal.Header) { h.Scope = "other" })
	header("entity", 3, 0, func(h *causal.Header) { h.Entity = "other" })
	header("lane", 3, 0, func(h *causal.Header) { h.Lane++ })
	header("version", 1, 3, func(h *causal.Header) { h.Version += 2 })
	header("kind", 3, 5, func(h *causal.Header) { h.Kind++ })
	header("schema", 3, 5, func(h *causal.Header) { h.Schema++ })
	header("time", 3, 5, func(h *causal.Header) { h.Time.Millis++ })
	header("tick", 3, 5, func(h *causal.Header) { h.Time.Tick++ })
	header("causes", 3, 5, func(h *causal.Header) { h.Causes = nil })
	header("corr", 3, 5, func(h *causal.Header) { h.Correlation[0]++ })
	header("subject", 3, 5, func(h *causal.Header) { h.Subject = "nobody" })
	header("key", 3, 5, func(h *causal.Header) { h.Key = "another" })
	header("meta", 3, 5, func(h *causal.Header) { h.Meta = map[string]string{"k": "w"} })
	header("gates", 3, 5, func(h *causal.Header) { h.Gates = []string{"approved"} })
	header("batch", 3, 5, func(h *causal.Header) { h.Batch.Count++ })
	header("prev", 1, 3, func(h *causal.Header) { h.Prev[0]++ })
	header("enc", 3, 5, func(h *causal.Header) { e := *h.Enc; e.Nonce[0]++; h.Enc = &e })
	inPlace("data", 3, 5, func(_ *causal.Header, data *[]byte) { (*data)[0]++ })

	swap := func(g []forged, a, b int) {
		x, y := envelopeAt(g, a), envelopeAt(g, b)
		*x, *y = *y, *x
	}
	take := func(g []forged, from, to int) []forged { // groups
		return slices.Delete(g, from, to)
	}
	return append(all,
		tampering{"two events of a stream swapped", func(g []forged) []forged { swap(g, 3, 5); return g }, 3, 3, 0},
		tampering{"two events of a stream swapped, and renumbered", func(g []forged) []forged { swap(g, 3, 5); renumber(g); return g }, 3, 1, 3},
		tampering{"two events of two streams swapped", func(g []forged) []forged { swap(g, 3, 4); return g }, 3, 3, 0},
		tampering{"two events of two streams swapped, and renumbered", func(g []forged) []forged { swap(g, 3, 4); renumber(g); return g }, 3, 4, 5},
		tampering{"a middle event removed", func(g []forged) []forged { return take(g, 3, 4) }, 5, 5, 0},
		tampering{"a middle event removed, and renumbered", func(g []forged) []forged { g = take(g, 3, 4); renumber(g); return g }, 5, 3, 6},
		tampering{"half of a batch removed", func(g []forged) []forged { g[2].envelopes = g[2].envelopes[:1]; return g }, 4, 4, 0},
		tampering{"an event inserted, and renumbered", func(g []forged) []forged {
			g = slices.Insert(g, 1, forged{envelopes: [][]byte{bytes.Clone(*envelopeAt(g, 1))}})
			renumber(g)
			return g
		}, 2, 1, 2},

		// What the log by itself cannot tell.
		tampering{"the last events removed", func(g []forged) []forged { return take(g, 5, 7) }, 7, 0, 0},
		tampering{"a stream's last event rewritten", func(g []forged) []forged {
			changeEvent(g, 7, func(h *causal.Header, _ *[]byte) { h.Kind++ })
			return g
		}, 7, 0, 0},
		tampering{"the log's last event rewritten", func(g []forged) []forged {
			changeEvent(g, 8, func(h *causal.Header, data *[]byte) { (*data)[0]++ })
			return g
		}, 8, 0, 0},
		tampering{"an event rewritten, and all chains made anew", func(g []forged) []forged {
			changeEvent(g, 3, func(h *causal.Header, _ *[]byte) { h.Kind++ })
			rechain(g)
			return g
		}, 3, 0, 0},
		tampering{"a middle event removed, and all chains made anew", func(g []forged) []forged { g = take(g, 3, 4); rechain(g); return g }, 5, 0, 0},
		tampering{"two events swapped, and all chains made anew", func(g []forged) []forged { swap(g, 3, 5); rechain(g); return g }, 3, 0, 0},
	)
}

// Without signatures: the chains tell, or what was kept does.
func TestTamperingIsFoundByTheChainOrAKeptHead(t *testing.T) {
	t.Parallel()
	v := newVictim(t, journal.Options{})
	if same := putTogether(v.files[firstSegment], takeApart(v.files[firstSegment])); !bytes.Equal(same, v.files[firstSegment]) {
		t.Fatal("the same log, taken apart and put together, is another one")
	}
	if events, _, err := v.opened(t, v.files); err != nil || v.kept.differs(events) != 0 {
		t.Fatalf("untouched: %v", err)
	}
	for _, c := range tamperings() {
		groups := c.do(takeApart(v.files[firstSegment]))
		if got := v.kept.differs(hashed(groups)); got != c.event {
			t.Errorf("%s: the kept head differs at event %d, want %d", c.what, got, c.event)
		}
		segment := putTogether(v.files[firstSegment], groups)
		events, _, err := v.opened(t, with(v.files, firstSegment, segment))
		switch {
		case c.finds == 0 && (err != nil || v.kept.differs(events) != c.event):
			t.Errorf("%s: %v, and it should be right in itself", c.what, err)
		case c.finds == 0:
		case !typed(err) || !namesIn(err, c):
			t.Errorf("%s: Open says %v, want event %d", c.what, err, c.finds)
		}
		// Of a journal that is open it is known where it ends.
		if c.finds == 0 && len(events) < len(v.events) {
			c.finds = uint64(len(events)) + 1
		}
		found, err := v.served(t, segment)
		var wrong *journal.VerifyError
		switch {
		case c.finds == 0 && err == nil:
		case !errors.As(err, &wrong):
			t.Errorf("%s: Verify says %v", c.what, err)
		case named(err) != c.finds || c.joined > 0 && (wrong.Before != c.finds || wrong.Seq != c.joined) || found.Checked != wrong.Seq-1:
			t.Errorf("%s: Verify names event %d (%+v, %d checked), want %d, %d", c.what, named(err), wrong, found.Checked, c.finds, c.joined)
		}
	}
}

// namesIn says whether an error of Open names the event that it should: a broken chain has the later of the two as its
// own, and the earlier in its text.
func namesIn(err error, c tampering) bool {
	var d *journal.DamageError
	if !errors.As(err, &d) {
		return named(err) == c.finds
	}
	if c.joined == 0 || d.Seq != c.joined {
		return d.Seq == c.finds || d.Seq == c.event
	}
	return c.finds != c.event || strings.Contains(d.Reason, fmt.Sprintf("event %d ", c.finds))
}

// With signatures whatever is rewritten in a group is named by its group at the latest, also what the chains cannot tell.
func TestTamperingIsFoundByTheSignature(t *testing.T) {
	t.Parallel()
	pair, public := signer(t, 1)
	v := newVictim(t, journal.Options{Signer: pair})
	_, found, err := v.opened(t, v.files)
	if err != nil || found.Signed != 8 || found.Checked != 8 || found.Groups != 7 || !slices.Equal(found.Signers, []string{public}) {
		t.Fatalf("untouched: %+v, %v", found, err)
	}
	groupOf := func(seq uint64) uint64 {
		if seq == 4 {
			return 3
		}
		return seq
	}
	for _, c := range tamperings() {
		segment := putTogether(v.files[firstSegment], c.do(takeApart(v.files[firstSegment])))
		events, found, err := v.opened(t, with(v.files, firstSegment, segment))
		if c.what == "the last events removed" { // the groups that are left are whole
			if err != nil || found.Signed != 6 || v.kept.differs(events) != 7 {
				t.Errorf("%s: %+v, %v, the kept head differs at %d", c.what, found, err, v.kept.differs(events))
			}
			continue
		}
		if c.finds == 0 {
			var wrong *journal.VerifyError
			if !errors.As(err, &wrong) || wrong.Seq != groupOf(c.event) || found.Checked != wrong.Seq-1 || found.Signed != found.Checked {
				t.Errorf("%s: %v with %+v, want the group of event %d", c.what, err, found, groupOf(c.event))
			}
		} else if err == nil {
			t.Errorf("%s: nothing found", c.what)
		}
		// Of a journal that is open, the chain of the fifth event is not needed to find what was done to the third.
		_, err = v.served(t, segment)
		if n := named(err); n == 0 || n > c.event {
			t.Errorf("%s: Verify says %v, want event %d or before", c.what, err, c.event)
		}
	}

	// Signatures that are gone, or somebody else's, are as good as the log; the numbers tell.
	stripped := takeApart(v.files[firstSegment])
	for i := range stripped {
		stripped[i].signature = nil
	}
	if _, found, err := v.opened(t, with(v.files, firstSegment, putTogether(v.files[firstSegment], stripped))); err != nil || found.Signed != 0 || found.Checked != 8 {
		t.Errorf("without signatures: %+v, %v", found, err)
	}
	other, otherPublic := signer(t, 2)
	mine := takeApart(v.files[firstSegment])
	message := causal.AppendRootMessage(nil, v.events[0].Lineage, 8, 8, causal.NewTree([]causal.Hash{v.events[7].Hash}).Root())
	sig, err := other.Sign(message)
	if err != nil {
		t.Fatal(err)
	}
	mine[6].signature = append([]byte(otherPublic), sig...)
	if _, found, err := v.opened(t, with(v.files, firstSegment, putTogether(v.files[firstSegment], mine))); err != nil || !slices.Equal(found.Signers, []string{public, otherPublic}) {
		t.Errorf("another's signature: %+v, %v", found, err)
	}
	mine[6].signature = append([]byte(public), sig...)
	var wrong *journal.VerifyError
	if _, _, err := v.opened(t, with(v.files, firstSegment, putTogether(v.files[firstSegment], mine))); !errors.As(err, &wrong) || wrong.Seq != 8 {
		t.Errorf("another's signature under the name of the first: %v", err)
	}
	mine[6].signature = bytes.Repeat([]byte{0xff}, 120)
	if _, _, err := v.opened(t, with(v.files, firstSegment, putTogether(v.files[firstSegment], mine))); !errors.As(err, &wrong) || wrong.Seq != 8 {
		t.Errorf("a signature of nobody: %v", err)
	}
}

// A part of the log is checked with the whole groups at its ends, and counts its own events alone.
func TestVerifyOfAPartChecksTheGroupsAtItsEnds(t *testing.T) {
	t.Parallel()
	pair, _ := signer(t, 1)
	v := newVictim(t, journal.Options{Signer: pair})
	dir := tempDir(t)
	place(t, dir, v.files)
	j := openDir(t, dir, v.o)
	for from := uint64(1); from <= 8; from++ {
		for to := from; to <= 8; to++ {
			groups := to - from + 1
			if from <= 3 && to >= 4 {
				groups--
			} else if to == 3 {
				groups-- // it ends behind the range
			}
			got, err := j.Verify(context.Background(), from, to)
			if err != nil || got.Checked != to-from+1 || got.Signed != got.Checked || got.Groups != groups {
				t.Errorf("%d to %d: %+v, %v; want %d groups", from, to, got, err, groups)
			}
		}
	}
	segment := takeApart(v.files[firstSegment])
	changeEvent(segment, 3, func(h *causal.Header, _ *[]byte) { h.Kind++ })
	f, err := os.OpenFile(filepath.Join(dir, firstSegment), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(putTogether(v.files[firstSegment], segment), 0); err != nil {
		t.Fatal(err)
	}
	for _, r := range [][3]uint64{{4, 4, 3}, {3, 3, 3}, {1, 2, 0}, {6, 6, 0}, {4, 8, 3}} {
		_, err := j.Verify(context.Background(), r[0], r[1])
		var wrong *journal.VerifyError
		if r[2] == 0 && err != nil || r[2] > 0 && (!errors.As(err, &wrong) || wrong.Seq != r[2]) {
			t.Errorf("%d to %d: %v, want event %d", r[0], r[1], err, r[2])
		}
	}
}

// An old file in the place of a newer one, and one of another journal.
func TestAFileInThePlaceOfAnotherIsFound(t *testing.T) {
	t.Parallel()
	v := newVictim(t, journal.Options{})
	replayed := with(v.files, firstSegment, v.older[firstSegment])
	events, _, err := v.opened(t, replayed)
	if err != nil || v.kept.differs(events) != 5 { // it is a log that once was
		t.Errorf("an old file: %v, the kept head differs at %d", err, v.kept.differs(events))
	}
	var d *journal.DamageError
	if _, err := look(t, placed(t, replayed), v.o); !errors.As(err, &d) || d.Seq != 5 { // the checkpoint knows
		t.Errorf("an old file, with the checkpoint: %v", err)
	}

	other := newVictim(t, journal.Options{})
	foreign := with(v.files, firstSegment, other.files[firstSegment])
	if _, _, err := v.opened(t, foreign); !errors.As(err, &d) || d.Seq != 1 || d.File != firstSegment {
		t.Errorf("another journal's file: %v", err)
	}
	if found, err := v.served(t, other.files[firstSegment]); named(err) != 1 || found.Checked != 0 {
		t.Errorf("another journal's file, while open: %v", err)
	}
	// Its header says now that it is this journal's.
	renamed := edit(v.files[firstSegment], func(b []byte) { copy(b, putTogether(b, takeApart(other.files[firstSegment]))) })
	if _, _, err := v.opened(t, with(v.files, firstSegment, renamed)); !errors.As(err, &d) || d.Seq != 1 {
		t.Errorf("another journal's events: %v", err)
	}
	var wrong *journal.VerifyError
	if _, err := v.served(t, renamed); !errors.As(err, &wrong) || wrong.Seq != 1 {
		t.Errorf("another journal's events, while open: %v", err)
	}
}

// Frames that are good by themselves and are not where they belong, and bytes that only the group's checksum covers.
func TestVerifyNamesTheFrameThatIsOutOfPlace(t *testing.T) {
	t.Parallel()
	pair, _ := signer(t, 1)
	v := newVictim(t, journal.Options{Signer: pair})
	segment := v.files[firstSegment]
	// Of the frames, 0 is a mark, and 1 to 3 and 4 to 6 are the first two groups: event, signature, commit. Then come event 3,
	// event 4, signature and commit.
	const third, fourth, signature, commit = 7, 8, 9, 10
	frames := func(change func(f []rawFrame) []rawFrame) []byte {
		return writeFrames(segment, change(framesOf(segment, takeApart(segment))))
	}
	claim := func(first uint64, n uint32) []byte {
		return frames(func(f []rawFrame) []rawFrame {
			f[commit].body = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint64(nil, first), n)
			return f
		})
	}
	groups, _ := spans(segment)
	padded := 0 // the end of an event's frame that has padding
	for _, g := range groups[3:4] {
		padded = g.ends[0]
	}
	flip := func(off int) []byte { return edit(segment, func(b []byte) { b[off] ^= 1 }) }
	for what, c := range map[string]struct {
		segment []byte
		want    uint64
	}{
		"nothing":                       {frames(func(f []rawFrame) []rawFrame { return f }), 0},
		"commit of another event":       {claim(2, 2), 3},
		"commit of more events":         {claim(3, 3), 3},
		"commit of fewer events":        {claim(3, 1), 3},
		"mark within a group":           {frames(func(f []rawFrame) []rawFrame { return slices.Insert(f, fourth, rawFrame{3, nil}) }), 3},
		"signature of nothing":          {frames(func(f []rawFrame) []rawFrame { return slices.Insert(f, third, f[signature]) }), 3},
		"two signatures":                {frames(func(f []rawFrame) []rawFrame { return slices.Insert(f, commit, f[signature]) }), 3},
		"event behind the signature":    {frames(func(f []rawFrame) []rawFrame { f[fourth], f[signature] = f[signature], f[fourth]; return f }), 3},
		"commit of nothing":             {frames(func(f []rawFrame) []rawFrame { return slices.Insert(f, third, f[commit]) }), 3},
		"no commit":                     {frames(func(f []rawFrame) []rawFrame { return slices.Delete(f, commit, commit+1) }), 3},
		"byte of the second of a group": {flip(groups[3].ends[1] - 12), 4},
		"byte of a mark":                {flip(firstFrame + 4), 1},
		"padding":                       {flip(padded - 1), 3},
	} {
		found, err := v.served(t, c.segment)
		var wrong *journal.VerifyError
		if c.want == 0 && err != nil || c.want > 0 && (!errors.As(err, &wrong) || wrong.Seq != c.want || found.Checked != c.want-1) {
			t.Errorf("%s: %v with %+v, want event %d", what, err, found, c.want)
		}
	}
	if b := segment[padded-8 : padded]; b[7] != 0 || (binary.LittleEndian.Uint32(segment[groups[3].start:])+16)%8 == 0 {
		t.Error("no padding")
	}
}

// A segment whose last group goes on with the events of the next one does not take their place.
func TestVerifyLetsNoGroupReachIntoTheNextSegment(t *testing.T) {
	t.Parallel()
	o := journal.Options{Name: "reach", SegmentBytes: small}
	_, closed, _ := journalFiles(t, o, 2)
	next := binary.LittleEndian.Uint64(closed[lastSegment(closed)][24:])
	groups := takeApart(closed[firstSegment])
	last := &groups[len(groups)-1]
	other := takeApart(closed[lastSegment(closed)])
	changeEvent(other, 1, func(_ *causal.Header, data *[]byte) { *data = number(1) }) // so that there is room
	last.envelopes = append(last.envelopes, *envelopeAt(other, 1))
	segment := writeFrames(append(bytes.Clone(closed[firstSegment]), make([]byte, small)...), framesOf(closed[firstSegment], groups))
	v := victim{o: o, files: closed}
	if end := len(bytes.TrimRight(segment, "\x00")); end > small {
		t.Fatalf("%d bytes do not fit", end)
	}
	found, err := v.served(t, segment[:small])
	var wrong *journal.VerifyError
	if !errors.As(err, &wrong) || wrong.Seq != next || found.Checked != next-1 {
		t.Errorf("%v with %+v, want event %d", err, found, next)
	}
}

// placed puts files into a new directory.
func placed(t *testing.T, m map[string][]byte) string {
	t.Helper()
	dir := tempDir(t)
	place(t, dir, m)
	return dir
}
