package keystore

import (
	"errors"
	"testing"

	"batpak/causal"
	"batpak/faultfs"
	"batpak/faultfs/faulttest"
)

// A loaded keyset was clean although the folder was not synced, so that a loss of power took back what
// was promised on the strength of it. The token is what Explore printed when that was put back; it
// holds as long as the same operations are done in the same order. When it does not any more, the
// exploration finds the defect all the same.
func TestALoadedKeysetStaysDirty(t *testing.T) {
	test := faulttest.Test{Model: faultfs.POSIX, Steps: 3, Run: defectsWorkload, Check: defectsCheck}
	opts := faulttest.Options{RecoverKills: 1}
	// One key is minted, the program killed before the sync of the folder, and the power lost after the
	// next one has promised the key again.
	if err := faulttest.Replay(t, test, opts, "2.0.10.0.1.0x2.1.0.1"); err != nil {
		t.Error(err)
	}
	faulttest.Explore(t, test, opts)
}

// defectsWorkload mints keys, each behind the fence.
func defectsWorkload(fsys faultfs.FS, steps int, ack func(any)) error {
	s, err := New(fsys, Subject)
	if err != nil {
		return err
	}
	for step := range steps {
		if err := mintBehindFence(s, string(rune('a'+step)), ack); err != nil {
			return err
		}
	}
	return nil
}

// mintBehindFence gets a key, and promises it once the store is clean.
func mintBehindFence(s *Store, name string, ack func(any)) error {
	k, err := s.GetOrCreate(subject(name))
	if err == nil && s.Dirty() {
		err = s.Flush()
	}
	if err == nil {
		ack(k.ID())
	}
	return err
}

// defectsCheck loads the keyset, which must have every key that was promised, and promises all that it has.
func defectsCheck(fsys faultfs.FS, acked []any, ack func(any)) error {
	s, err := Load(fsys, Subject)
	if errors.Is(err, ErrNotExist) && len(acked) == 0 {
		return nil
	}
	if errors.Is(err, ErrNotExist) {
		return faulttest.Violated("%d keys were promised, and there is no keyset", len(acked))
	}
	if err != nil {
		return err
	}
	for _, id := range acked {
		if _, err := s.ByID(id.(causal.KeyID)); err != nil {
			return faulttest.Violated("a key that was promised: %v", err)
		}
	}
	for _, k := range s.keys {
		if err := mintBehindFence(s, k.scope.name, ack); err != nil {
			return err
		}
	}
	return nil
}
