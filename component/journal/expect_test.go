package journal_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/faultfs"
)

func conflict(t *testing.T, err error) *journal.ConflictError {
	t.Helper()
	var c *journal.ConflictError
	if !errors.As(err, &c) || !errors.Is(err, journal.ErrConflict) {
		t.Fatalf("got %v, want a ConflictError", err)
	}
	return c
}

// seqs are the sequences of the envelopes that a conflict carries.
func seqs(t *testing.T, c *journal.ConflictError) (list []uint64) {
	t.Helper()
	for _, b := range c.Events {
		ev, err := codec.DecodeEnvelope(b)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, ev.Seq)
	}
	return list
}

func expecting(a journal.Append, version uint64) *journal.Batch {
	a.Expect = &version
	return one(a)
}

func TestAnExpectedVersionMustHold(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{Name: "expect", SegmentBytes: small})
	mustAppend(t, j, expecting(event("e", 1), 0))
	mustAppend(t, j, one(event("other", 1)))
	mustAppend(t, j, expecting(event("e", 2), 1))
	mustAppend(t, j, one(event("e", 3)))

	c := conflict(t, appendErr(j, expecting(event("e", 9), 1)))
	if c.Reason != journal.ConflictExpect || c.Version != 3 || c.Seq != 4 || fmt.Sprint(seqs(t, c)) != "[3 4]" {
		t.Errorf("got %+v with events %v", c, seqs(t, c))
	}
	c = conflict(t, appendErr(j, expecting(event("e", 9), 0)))
	if fmt.Sprint(seqs(t, c)) != "[1 3 4]" {
		t.Errorf("events %v", seqs(t, c))
	}
	c = conflict(t, appendErr(j, expecting(event("e", 9), 7)))
	if c.Version != 3 || len(c.Events) != 0 {
		t.Errorf("got %+v", c)
	}
	c = conflict(t, appendErr(j, expecting(event("new", 9), 1)))
	if c.Version != 0 || c.Seq != 0 || len(c.Events) != 0 {
		t.Errorf("got %+v", c)
	}
	// A lane is a stream of its own.
	a := event("e", 4)
	a.Lane = 2
	mustAppend(t, j, expecting(a, 0))
	mustAppend(t, j, expecting(event("e", 4), 3))
	if j.Visible() != 6 {
		t.Errorf("visible %d", j.Visible())
	}
}

// Of a hundred appends that expect the same version one succeeds, also when they are staged in
// one group; the others are told of it.
func TestOneOfManyExpectationsWins(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{Name: "expect", SegmentBytes: small})
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for i := range uint64(100) {
		wg.Go(func() {
			err := appendErr(j, expecting(event("e", i), 0))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
				return
			}
			var c *journal.ConflictError
			if !errors.As(err, &c) || c.Version != 1 || c.Seq != 1 || len(c.Events) != 1 {
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
	if won != 1 || j.Visible() != 1 {
		t.Errorf("%d won, %d events", won, j.Visible())
	}
}

// The conditions of a batch hold against the journal before the batch.
func TestABatchExpectsTheJournalBeforeItself(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{Name: "expect", SegmentBytes: small})
	first, second := event("e", 1), event("e", 2)
	first.Expect, second.Expect = ptr(uint64(0)), ptr(uint64(0))
	second.Unless = &codec.Selection{Scope: "s", Entity: "e"}
	second.ExpectSeq = ptr(uint64(0))
	mustAppend(t, j, &journal.Batch{Events: []journal.Append{first, second}})
	second.Expect = ptr(uint64(3))
	first.Expect = ptr(uint64(2))
	second.Unless, second.ExpectSeq = nil, nil
	c := conflict(t, appendErr(j, &journal.Batch{Events: []journal.Append{first, second}}))
	if c.Version != 2 || j.Visible() != 2 {
		t.Errorf("got %+v, visible %d", c, j.Visible())
	}
}

func TestAnExpectedSequenceIsThatOfTheCoordinateInWhateverLane(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	o := journal.Options{Name: "expect", SegmentBytes: small}
	j := openFS(t, d, o)
	with := func(lane uint32, seq uint64) *journal.Batch {
		a := event("e", seq)
		a.Lane, a.ExpectSeq = lane, &seq
		return one(a)
	}
	mustAppend(t, j, with(0, 0))             // 1
	mustAppend(t, j, with(7, 1))             // 2
	mustAppend(t, j, one(event("other", 1))) // 3
	mustAppend(t, j, with(0, 2))             // 4
	c := conflict(t, appendErr(j, with(9, 2)))
	if c.Reason != journal.ConflictExpect || c.Seq != 4 || c.Version != 0 || fmt.Sprint(seqs(t, c)) != "[4]" {
		t.Errorf("got %+v, events %v", c, seqs(t, c))
	}
	conflict(t, appendErr(j, with(0, 0)))
	mustAppend(t, j, with(9, 4)) // 5
	for _, how := range []string{"from the checkpoint", "from the log"} {
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if how == "from the log" {
			if err := d.Remove("checkpoint"); err != nil {
				t.Fatal(err)
			}
		}
		j = openFS(t, d, o)
		last := j.Visible()
		if c := conflict(t, appendErr(j, with(0, 4))); c.Seq != last {
			t.Errorf("%s: got %+v", how, c)
		}
		mustAppend(t, j, with(11, last))
	}
}

func TestUnlessRefusesWhatMatches(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	in := faultfs.Inject(d)
	j := openFS(t, in, journal.Options{Name: "unless", SegmentBytes: small})
	unless := func(s codec.Selection) *journal.Batch {
		a := event("new", 1)
		a.Unless = &s
		return one(a)
	}
	for i := range uint64(6) { // 1 to 6
		a := event(fmt.Sprintf("e%d", i%2), i)
		a.Kind = causal.Kind(0x1000 + i%3)
		if i == 4 {
			a.Scope = "elsewhere"
		}
		if i == 5 {
			a.Subject = "person"
		}
		mustAppend(t, j, one(a))
	}
	for what, tc := range map[string]struct {
		sel  codec.Selection
		want string
	}{
		"the whole journal":        {codec.Selection{}, "[1 2 3 4 5 6]"},
		"a scope":                  {codec.Selection{Scope: "s"}, "[1 2 3 4 6]"},
		"after":                    {codec.Selection{Scope: "s", After: 3}, "[4 6]"},
		"until":                    {codec.Selection{After: 1, Until: 3}, "[2 3]"},
		"an entity":                {codec.Selection{Scope: "s", Entity: "e0"}, "[1 3]"},
		"an entity in any scope":   {codec.Selection{Entity: "e0"}, "[1 3 5]"},
		"a kind":                   {codec.Selection{Kinds: []causal.Kind{0x1002, 0x1001}}, "[2 3 5 6]"},
		"a subject":                {codec.Selection{Subject: "person"}, "[6]"},
		"a lane":                   {codec.Selection{Lane: ptr(uint32(0)), After: 4}, "[5 6]"},
		"a limit, which is naught": {codec.Selection{Limit: 1}, "[1 2 3 4 5 6]"},
	} {
		c := conflict(t, appendErr(j, unless(tc.sel)))
		if got := fmt.Sprint(seqs(t, c)); got != tc.want || c.Reason != journal.ConflictUnless {
			t.Errorf("%s: %+v with events %s, want %s", what, c.Reason, got, tc.want)
		}
		if last := seqs(t, c); c.Seq != last[len(last)-1] {
			t.Errorf("%s: says %d", what, c.Seq)
		}
	}
	for _, sel := range []codec.Selection{
		{After: 6}, {Scope: "nowhere"}, {Lane: ptr(uint32(1))}, {Kinds: []causal.Kind{0x1fff}},
		{Scope: "s", Entity: "e2"}, {Subject: "nobody"}, {Scope: "elsewhere", After: 5}, {After: 1 << 60},
	} {
		mustAppend(t, j, unless(codec.Selection{Scope: sel.Scope, Entity: sel.Entity, Lane: sel.Lane, Kinds: sel.Kinds,
			Subject: sel.Subject, After: max(sel.After, j.Visible())}))
	}

	// Staged events count, before they are visible.
	arrived, release := hold(in, faultfs.OpSyncData, firstSegment)
	results := make(chan error, 2)
	done := func(_ []codec.Receipt, err error) { results <- err }
	if err := j.Submit(one(event("slot", 1)), done); err != nil {
		t.Fatal(err)
	}
	arrived()
	head := j.Visible()
	if err := j.Submit(unless(codec.Selection{Scope: "s", Entity: "slot"}), done); err != nil {
		t.Fatal(err)
	}
	release()
	if err := <-results; err != nil {
		t.Fatal(err)
	}
	if c := conflict(t, <-results); c.Seq != head+1 || fmt.Sprint(seqs(t, c)) != fmt.Sprint([]uint64{head + 1}) {
		t.Errorf("staged: got %+v", c)
	}
}

// What a conflict carries is bounded, whatever the stream has.
func TestAConflictCarriesLittle(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{Name: "conflict", SegmentBytes: 1 << 20})
	many := &journal.Batch{}
	for i := range uint64(100) {
		many.Events = append(many.Events, event("many", i))
	}
	mustAppend(t, j, many)
	for range 9 {
		mustAppend(t, j, one(large("big", 10_000)))
	}
	mustAppend(t, j, one(large("huge", 65_000)))
	mustAppend(t, j, one(large("huge", 65_000)))
	cases := map[string]struct{ least, most int }{"many": {32, 32}, "big": {6, 6}, "huge": {0, 1}}
	for entity, want := range cases {
		unless, sequence := event(entity, 1), event(entity, 1)
		unless.Unless = &codec.Selection{Scope: "s", Entity: entity}
		sequence.ExpectSeq = ptr(uint64(0))
		for _, b := range []*journal.Batch{expecting(event(entity, 1), 0), one(unless), one(sequence)} {
			c := conflict(t, appendErr(j, b))
			size := 0
			for _, e := range c.Events {
				size += len(e)
			}
			if n := len(c.Events); n < want.least || n > want.most || size > 64<<10 {
				t.Errorf("%s, %s: %d events of %d bytes", entity, c.Reason, n, size)
			}
			if list := seqs(t, c); len(list) > 0 && j.Head(stream(entity)).Seq-list[0]+1 != j.Head(stream(entity)).Version {
				t.Errorf("%s, %s: the events begin at %d", entity, c.Reason, list[0])
			}
			if c.Seq == 0 {
				t.Errorf("%s, %s: no sequence", entity, c.Reason)
			}
		}
	}
	mustAppend(t, j, one(large("alone", 70_000)))
	a := event("alone", 1)
	a.Unless = &codec.Selection{Scope: "s", Entity: "alone"}
	if c := conflict(t, appendErr(j, one(a))); len(c.Events) != 0 || c.Seq != j.Visible() {
		t.Errorf("one event of 70000 bytes: %d events, sequence %d", len(c.Events), c.Seq)
	}
}

// Causes must exist: visible, or staged in an earlier append, but not in the own batch.
func TestACauseMustExist(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	j := openFS(t, d, journal.Options{Name: "causes", SegmentBytes: small})
	r := mustAppend(t, j, one(event("e", 1)))
	fill(t, j, 3)
	caused := func(c ...causal.Cause) *journal.Batch {
		a := event("f", 1)
		a.Causes = c
		return one(a)
	}
	got := mustAppend(t, j, caused(causal.Cause{ID: r[0].ID}, causal.Cause{ID: r[0].ID, Lineage: j.Lineage()}, causal.Cause{Lineage: causal.NewLineage(), ID: r[0].ID}))
	if ev, err := j.Get(got[0].ID); err != nil || len(ev.Causes) != 3 || ev.Causes[0].ID != r[0].ID {
		t.Errorf("causes %v, %v", ev.Causes, err)
	}
	var ids causal.IDs
	for _, id := range []causal.EventID{ids.Next(r[0].ID.Millis()), ids.Next(1), ids.Next(1 << 47)} {
		for _, l := range []causal.Lineage{{}, j.Lineage()} {
			if err := appendErr(j, caused(causal.Cause{ID: id, Lineage: l})); !errors.Is(err, journal.ErrInvalid) {
				t.Errorf("unknown cause got %v", err)
			}
		}
	}
	if err := appendErr(j, caused(causal.Cause{})); !errors.Is(err, journal.ErrInvalid) {
		t.Errorf("nil cause got %v", err)
	}
	if err := appendErr(j, caused(make([]causal.Cause, journal.MaxCauses+1)...)); !errors.Is(err, journal.ErrInvalid) {
		t.Errorf("many causes got %v", err)
	}
}
