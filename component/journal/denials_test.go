package journal_test

import (
	"bytes"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/gates"
	"batpak/keystore"
)

// denialsOf returns the denials that a journal has on record.
func denialsOf(t *testing.T, j *journal.Journal) (list []codec.Denial) {
	t.Helper()
	for ev, err := range j.Events(t.Context(), codec.Selection{Scope: causal.SystemScope, Entity: journal.DenialEntity}) {
		if err != nil {
			t.Fatal(err)
		}
		var d codec.Denial
		if err := codec.Unmarshal(ev.Data, codec.Msgpack, &d); err != nil || ev.Kind != causal.KindDenial || ev.Enc != nil {
			t.Fatalf("event %d of kind %s: %v", ev.Seq, ev.Kind, err)
		}
		list = append(list, d)
	}
	return list
}

// denied appends what deny refuses, and wants it refused.
func denied(t *testing.T, j *journal.Journal, b *journal.Batch) {
	t.Helper()
	var d *denial
	if err := appendErr(j, b); !errors.As(err, &d) {
		t.Fatalf("append got %v, want a denial", err)
	}
}

func TestDenialsAreKeptWithoutWhatTheAppendCarried(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	tell := gate("tell", func(p *proposal, _ view) *denial {
		if p.Header.Subject == "" {
			return nil
		}
		return &denial{Code: "no", Message: "SECRET " + p.Header.Subject, Details: map[string]any{"SECRET": string(p.Data)}}
	})
	o := journal.Options{Name: "denials", Seal: keystore.Subject, SegmentBytes: small, Gates: chain(t, deny, tell), KeepDenials: 100}
	j := openFS(t, d, o)
	mustAppend(t, j, one(event("e", 1)))
	secret := event("e", 2)
	secret.Data = append([]byte{0xa6}, "SECRET"...)
	secret.Subject, secret.Meta, secret.Lane = "SECRET", map[string]string{"SECRET": "SECRET"}, 3
	denied(t, j, keyed("SECRET", secret))
	denied(t, j, &journal.Batch{Events: []journal.Append{event("e", 2), event("f", 666)}})
	r := mustAppend(t, j, one(event("e", 3)))
	if r[0].Seq != 4 || r[0].Version != 2 {
		t.Errorf("%+v", r[0])
	}
	kind := event("e", 1).Kind
	want := []codec.Denial{
		{Gate: "tell", Code: "no", Scope: "s", Entity: "e", Lane: 3, Kind: kind},
		{Gate: "deny", Code: "number", Scope: "s", Entity: "f", Kind: kind},
	}
	check := func(j *journal.Journal) {
		got := denialsOf(t, j)
		if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
			t.Errorf("%+v\nwant %+v", got, want)
		}
		for ev, err := range j.Events(t.Context(), codec.Selection{}) {
			if err != nil || bytes.Contains(codec.AppendEnvelope(nil, &ev.Header, ev.Data), []byte("SECRET")) {
				t.Errorf("event %d: %v: it has what must not be kept", ev.Seq, err)
			}
		}
	}
	check(j)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = openFS(t, d, o)
	check(j)
	if _, err := audit(j); err != nil {
		t.Error(err)
	}
}

func TestAFloodOfDenialsIsCountedAndNotKept(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_800_000_000_000)
	j := openFS(t, newDisk(t), journal.Options{
		Name: "flood", SegmentBytes: small, Gates: chain(t, deny), KeepDenials: 3,
		Clock: causal.NewClock(causal.ClockOptions{Now: func() time.Time { return now }}),
	})
	for range 500 {
		denied(t, j, one(event("e", 666)))
	}
	if n := len(denialsOf(t, j)); n != 3 {
		t.Errorf("%d denials are kept, want 3", n)
	}
	now = now.Add(20 * time.Second)
	denied(t, j, one(event("e", 666)))
	denied(t, j, one(event("e", 666)))
	if list := denialsOf(t, j); len(list) != 4 || list[3].Dropped != 497 {
		t.Errorf("%+v", list)
	}
}

func TestDenialsAreNotKeptUnlessAskedFor(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{Name: "none", SegmentBytes: small, Gates: chain(t, deny)})
	denied(t, j, one(event("e", 666)))
	if j.Visible() != 0 {
		t.Error("there is an event")
	}
	for _, n := range []int{-1, journal.MaxKeepDenials + 1} {
		if _, err := journal.Open(t.Context(), newDisk(t), journal.Options{Name: "n", KeepDenials: n}); !errors.Is(err, journal.ErrInvalid) {
			t.Errorf("%d: %v", n, err)
		}
	}
}

// The largest names that there can be still fit, and a denial that the group has no room for is only
// counted.
func TestDenialsFitASegment(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 256)
	never := gate(long, func(p *proposal, _ view) *denial {
		if p.Header.Entity != long {
			return nil
		}
		return &denial{Code: strings.Repeat("c", 500)}
	})
	j := openFS(t, newDisk(t), journal.Options{Name: "room", SegmentBytes: journal.MinSegmentBytes, Gates: chain(t, never), KeepDenials: 1000})
	refused := event(long, 1)
	refused.Scope = long
	for range 200 {
		denied(t, j, one(refused))
		mustAppend(t, j, one(event("e", 1)))
	}
	if list := denialsOf(t, j); len(list) != 200 || list[199].Gate != long {
		t.Errorf("%d denials", len(list))
	}
}

// A rate counts a proposal that a later gate refused as little as without the event that says so.
func TestKeptDenialsDoNotTakeFromARate(t *testing.T) {
	t.Parallel()
	in := faultfs.Inject(newDisk(t))
	j := openFS(t, in, journal.Options{
		Name: "rate", Seal: keystore.Entity, Keys: unreserved, SegmentBytes: small, KeepDenials: 1000,
		Gates: chain(t, gates.MaxRate("rate", gates.Rate{Events: 3, Per: time.Hour}), deny),
	})
	for range 10 {
		denied(t, j, one(event("e", 666)))
	}
	in.Add(faultfs.Rule{On: faultfs.OpWrite, Name: "keys/*", Nth: 1, Do: faultfs.Fail(syscall.EIO)})
	if err := appendErr(j, one(event("new", 1))); !errors.Is(err, journal.ErrStorage) {
		t.Fatalf("append got %v, want ErrStorage", err)
	}
	for range 3 {
		mustAppend(t, j, one(event("e", 1)))
	}
	denied(t, j, one(event("e", 1)))
}
