package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"batpak/faultfs"
	"batpak/keystore"
)

// KeyMethod says how the payload keys are wrapped at rest, keystore.Clear when they are not; it is empty when
// nothing is sealed.
func (j *Journal) KeyMethod() string {
	if j.keys == nil {
		return ""
	}
	return j.keys.Method()
}

// inspections is how often a keyset is read that looks damaged before it is believed to be.
const inspections = 3

// InspectKeys says what keys the journal in the root of fsys has, without opening any. It takes no lock and
// changes nothing, so a node may be serving the journal. Of one that seals nothing it says the granularity
// alone. The errors match fs.ErrNotExist when there is no journal, and ErrDamaged.
func InspectKeys(fsys faultfs.FS) (keystore.Stats, error) {
	m, err := existing(fsys)
	if err != nil || m.seal == keystore.None {
		return keystore.Stats{Granularity: keystore.None}, err
	}
	var s keystore.Stats
	for range inspections {
		s, err = keystore.Inspect(faultfs.Sub(fsys, keysDir))
		if !errors.Is(err, keystore.ErrDamaged) {
			break // else a node may have written between two readings
		}
	}
	return s, keysetError(err)
}

// Rekey gives the keyset of the journal in the root of fsys another master key, wrapped by to, or in clear
// when to is nil; from is what it is wrapped by now. Progress may be nil. See [keystore.Rekey]: the keyset is
// the old one or the new one at any time, and still the old one when the error is that of ctx.
//
// It takes the directory's lock: the error is ErrLocked while the journal is open. It is ErrInvalid when
// nothing is sealed, matches fs.ErrNotExist when there is no journal, and is else ErrDamaged or that of the
// keystore.
func Rekey(ctx context.Context, fsys faultfs.FS, from, to keystore.Wrapper, progress func(done, all int)) error {
	m, err := existing(fsys) // before the lock, which would leave its file in any directory
	if err != nil {
		return err
	}
	if m.seal == keystore.None {
		return invalid("nothing is sealed in this journal, so it has no keys")
	}
	lock, err := takeLock(fsys)
	if err != nil {
		return err
	}
	err = keysetError(keystore.Rekey(ctx, faultfs.Sub(fsys, keysDir), m.seal, from, to, progress))
	return errors.Join(err, lock.Close())
}

// existing is the meta of a journal that must be there.
func existing(fsys faultfs.FS) (*meta, error) {
	m, err := loadMeta(fsys)
	if err == nil && m == nil {
		err = fmt.Errorf("journal: %s: %w", metaName, fs.ErrNotExist)
	}
	return m, err
}

// keysetError is an error of the keystore in the words of this package.
func keysetError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, keystore.ErrDamaged), errors.Is(err, keystore.ErrNotExist):
		return fmt.Errorf("journal: %w: %w", ErrDamaged, err)
	}
	return fmt.Errorf("journal: %w", err)
}
