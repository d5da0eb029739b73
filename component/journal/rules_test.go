package journal_test

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"batpak/causal"
	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/gates"
	"batpak/keystore"
)

// A rate counts what the journal has, whatever became of the proposals: denied by a later gate,
// part of a batch that was refused, or rolled back because their key could not be made durable.
func TestARateCountsOnlyWhatTheJournalHas(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_800_000_000_000)
	in := faultfs.Inject(newDisk(t))
	j := openFS(t, in, journal.Options{
		Name: "rate", Seal: keystore.Entity, Keys: unreserved, SegmentBytes: small,
		Clock: causal.NewClock(causal.ClockOptions{Now: func() time.Time { return now }}),
		Gates: chain(t, gates.MaxRate("rate", gates.Rate{Events: 5, Per: time.Hour}), deny),
	})
	limited := func() bool {
		var d *denial
		return errors.As(appendErr(j, one(event("e", 1))), &d) && d.Code == gates.CodeRate
	}
	mustAppend(t, j, one(event("e", 1)))
	for range 7 {
		if appendErr(j, one(event("e", 666))) == nil || appendErr(j, &journal.Batch{Events: []journal.Append{event("f", 1), event("g", 2), event("e", 666)}}) == nil {
			t.Fatal("not denied")
		}
	}
	in.Add(faultfs.Rule{On: faultfs.OpWrite, Name: "keys/*", Nth: 1, Do: faultfs.Fail(syscall.EIO)})
	if err := appendErr(j, &journal.Batch{Events: []journal.Append{event("new", 1), event("new", 2), event("new", 3)}}); !errors.Is(err, journal.ErrStorage) {
		t.Fatalf("append got %v, want ErrStorage", err)
	}
	for n := range 4 {
		if limited() {
			t.Fatalf("denied after %d events", 1+n)
		}
	}
	if !limited() {
		t.Error("a sixth event")
	}
	now = now.Add(12 * time.Minute) // a fifth of the hour
	if limited() || !limited() {
		t.Error("no event, or two, in a fifth of the time for five")
	}
}

func TestCausesAreFoundByKind(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{
		Name: "causes", SegmentBytes: small,
		Gates: chain(t, gates.When(gates.Match{Entities: []gates.Pattern{"shipped"}}, gates.RequireCauses("paid", 1, gates.OneKind(0x2001)))),
	})
	paid := event("paid", 1)
	paid.Kind = 0x2001
	other := mustAppend(t, j, one(event("other", 1)))[0]
	shipped := event("shipped", 1)
	shipped.Causes = []causal.Cause{{ID: other.ID}}
	var d *denial
	if err := appendErr(j, one(shipped)); !errors.As(err, &d) || d.Code != gates.CodeCauses {
		t.Errorf("got %v, want %s", err, gates.CodeCauses)
	}
	shipped.Causes = append(shipped.Causes, causal.Cause{ID: mustAppend(t, j, one(paid))[0].ID})
	mustAppend(t, j, one(shipped))
}

// What the gates judged by is what the event has.
func TestAProposalHasTheSequenceAndTimeOfItsEvent(t *testing.T) {
	t.Parallel()
	var seen causal.Header
	j := openFS(t, newDisk(t), journal.Options{
		Name: "header", SegmentBytes: small,
		Gates: chain(t, gate("see", func(p *proposal, _ view) *denial { seen = p.Header; return nil })),
	})
	for range 3 {
		r := mustAppend(t, j, one(event("e", 1)))[0]
		if seen.Seq != r.Seq || seen.Time != (causal.HLC{Millis: r.Time, Tick: r.Tick}) || seen.Version != r.Version {
			t.Errorf("judged %+v, appended %+v", seen, r)
		}
	}
}
