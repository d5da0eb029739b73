package journal_test

import (
	"errors"
	"testing"

	"batpak/causal"
	"batpak/component/journal"
	"batpak/keystore"
)

// Where subjects are required, no payload is stored in clear; where they cannot be, nothing is opened or made.
func TestARequiredSubjectIsNamedByEveryEvent(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	o := journal.Options{Name: "subjects", Seal: keystore.Subject, SegmentBytes: small, RequireSubject: true}
	j := openFS(t, d, o)
	named := event("a", 1)
	named.Subject = "p"
	mustAppend(t, j, one(named))
	for _, b := range []*journal.Batch{one(event("a", 2)), {Events: []journal.Append{named, event("a", 2)}}} {
		if err := appendErr(j, b); !errors.Is(err, journal.ErrInvalid) {
			t.Errorf("got %v", err)
		}
	}
	mustShred(t, j, journal.Erasure{Subject: "p", Reason: "r"}) // the journal's own event needs none
	wantStates(t, j, causal.Shredded, causal.Plain)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	o.RequireSubject = false
	j = openFS(t, d, o)
	mustAppend(t, j, one(event("a", 2)))
	if stateOf(t, j, 3) != causal.Plain {
		t.Error("an event of nobody is sealed")
	}
	for _, seal := range []keystore.Granularity{keystore.Unspecified, keystore.None, keystore.Entity, keystore.Event} {
		d := newDisk(t)
		o := journal.Options{Name: "subjects", Seal: seal, SegmentBytes: small, RequireSubject: true}
		if err := openErr(d, o); !errors.Is(err, journal.ErrInvalid) {
			t.Errorf("%s: got %v", seal, err)
		}
		if n := len(d.killed().files); n > 1 { // the lock
			t.Errorf("%s: %d files were made", seal, n)
		}
	}
}
