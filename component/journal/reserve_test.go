package journal_test

import (
	"testing"

	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/keystore"
)

// Keys are there ahead of need, so appends into new key scopes wait for no flush of theirs.
func TestNewKeyScopesNeedNoFlushOfTheirOwn(t *testing.T) {
	t.Parallel()
	in := faultfs.Inject(newDisk(t))
	j := openFS(t, in, journal.Options{Name: "reserve", Seal: keystore.Event, SegmentBytes: small})
	mustAppend(t, j, one(event("a", 0))) // which finds the keyset as it was loaded
	syncs := func() (n int) {
		for _, c := range in.Trace() {
			if c.Op&(faultfs.OpSync|faultfs.OpSyncData) != 0 && c.Name == "keys/keyset" {
				n++
			}
		}
		return n
	}
	before := syncs()
	const events = 400
	for i := range uint64(events) {
		mustAppend(t, j, one(event("a", i)))
	}
	if n := syncs() - before; n > events/2 {
		t.Errorf("%d syncs of the keyset for %d new keys", n, events)
	}
	t.Logf("%d syncs of the keyset for %d new keys", syncs()-before, events)
}
