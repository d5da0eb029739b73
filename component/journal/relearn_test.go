package journal

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/keystore"
)

// An erasure that cannot be read may be one that has to be applied, and one that cannot be was not written
// by a journal: that is damage, and the place is named.
func TestAnErasureThatCannotBeAppliedIsDamage(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for what, spoil := range map[string][2]string{
		"no reason":        {"reason", "reasoN"},
		"another selector": {"\xa6entity\x82\xa5scope\xa1s\xa6entity\xa1e", "\xa7subject\xb0aaaaaaaaaaaaaaaa"},
		"no count":         {"\xa6events\x01", "\xa6events\xc3"},
		"another key":      {"\xa1f", "\xa1e"},
	} {
		fsys, dir := fuzzDir(t)
		j, err := Open(ctx, fsys, Options{Name: "spoiled", Seal: keystore.Entity, SegmentBytes: MinSegmentBytes})
		if err != nil {
			t.Fatal(err)
		}
		e, f := causal.Coordinate{Scope: "s", Entity: "e"}, causal.Coordinate{Scope: "s", Entity: "f"}
		if _, err := j.Append(ctx, &Batch{Events: []Append{{Coordinate: e, Kind: 0x1001, Data: []byte{1}}, {Coordinate: f, Kind: 0x1001, Data: []byte{1}}}}); err != nil {
			t.Fatal(err)
		}
		at := e
		if what == "another key" {
			at = f
		}
		shredded, err := j.Shred(ctx, Erasure{Entity: &at, Reason: "asked to"})
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, segmentName(1))
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		last := bytes.LastIndex(b, []byte("_batpak"))
		if last < 0 || !bytes.Contains(b[last:], []byte(spoil[0])) {
			t.Fatalf("%s: nothing to spoil", what)
		}
		from := last + bytes.LastIndex(b[last:], []byte(spoil[0]))
		copy(b[from:], spoil[1])
		salt := crc32.Checksum(b[48:56], castagnoli)
		mendFrames(b, salt)
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := fsys.Remove(checkpointName); err != nil {
			t.Fatal(err)
		}
		_, err = Open(ctx, fsys, Options{})
		var damage *DamageError
		if !errors.As(err, &damage) || damage.File != segmentName(1) || damage.Seq != shredded.Receipt.Seq || damage.Offset < segmentStart || !strings.Contains(damage.Reason, "an erasure that cannot be") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
