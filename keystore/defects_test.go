package keystore

import (
	"context"
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
	// Two keys are minted, the program is killed when the second is in the file and not synced, and the power
	// lost after the next one has promised it.
	if err := faulttest.Replay(t, test, opts, "1.0.10.0.1.0x2.1.0x3.1"); err != nil {
		t.Error(err)
	}
	faulttest.Explore(t, test, opts)
}

// defectsWorkload mints keys, each behind the fence.
func defectsWorkload(fsys faultfs.FS, steps int, ack func(any)) error {
	s, err := New(context.Background(), fsys, Subject, bare)
	if err != nil {
		return err
	}
	defer s.Close()
	for step := range steps {
		if err := mintBehindFence(s, string(rune('a'+step)), ack); err != nil {
			return err
		}
	}
	return nil
}

// promisedKey is a key that a scope has for good.
type promisedKey struct {
	name string
	id   causal.KeyID
}

// mintBehindFence gets a key, and promises it once the store is clean.
func mintBehindFence(s *Store, name string, ack func(any)) error {
	k, err := s.GetOrCreate(subject(name))
	if err == nil && s.Dirty() {
		err = s.Flush()
	}
	if err == nil {
		ack(promisedKey{name, k.ID()})
	}
	return err
}

// defectsCheck loads the keyset, which must have every key that was promised, and promises all that it has.
func defectsCheck(fsys faultfs.FS, acked []any, ack func(any)) error {
	s, err := Load(context.Background(), fsys, Subject, bare)
	if errors.Is(err, ErrNotExist) && len(acked) == 0 {
		return nil
	}
	if errors.Is(err, ErrNotExist) {
		return faulttest.Violated("%d keys were promised, and there is no keyset", len(acked))
	}
	if err != nil {
		return err
	}
	defer s.Close()
	for _, p := range acked {
		p := p.(promisedKey)
		if k, err := s.Get(subject(p.name)); err != nil {
			return badKey(err, "a key that was promised")
		} else if k.ID() != p.id {
			return faulttest.Violated("%s has another key", p.name)
		}
	}
	for step := range 3 {
		name := string(rune('a' + step))
		if _, err := s.Get(subject(name)); errors.Is(err, ErrKeyMissing) {
			continue
		}
		if err := mintBehindFence(s, name, ack); err != nil {
			return err
		}
	}
	return nil
}
