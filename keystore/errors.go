package keystore

import (
	"errors"
	"fmt"
)

// Errors when a keyset is made or loaded.
var (
	// ErrExists is found when New meets a keyset that is already there.
	ErrExists = errors.New("a keyset exists")

	// ErrNotExist is found when Load meets no keyset file.
	ErrNotExist = errors.New("no keyset")

	// ErrGranularity is found when the keyset has another granularity than was
	// asked for, or when there is no such granularity.
	ErrGranularity = errors.New("wrong granularity")

	// ErrFormat is found when an intact keyset was written in a format that
	// this package does not know.
	ErrFormat = errors.New("unknown keyset format")

	// ErrDamaged is found in every DamageError.
	ErrDamaged = errors.New("damaged")
)

// Errors when keys are asked for and used.
var (
	// ErrShredded means that the key was destroyed on purpose.
	ErrShredded = errors.New("key destroyed")

	// ErrKeyMissing means that the keyset has never had the key.
	ErrKeyMissing = errors.New("key missing")

	// ErrTampered means that the ciphertext, its associated data or its nonce is
	// not what was sealed under this key.
	ErrTampered = errors.New("ciphertext does not open")

	// ErrScope means that the scope is not one of this keyset's granularity, or
	// that its parts are empty or too long, or that a key id belongs to another
	// scope.
	ErrScope = errors.New("bad key scope")
)

// DamageError says where a keyset file is not what was written. It wraps
// ErrDamaged.
type DamageError struct {
	File   string
	Offset int64 // in bytes, where reading stopped
	Reason string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("keystore: %s: damaged at offset %d: %s", e.File, e.Offset, e.Reason)
}

// Unwrap returns ErrDamaged.
func (e *DamageError) Unwrap() error { return ErrDamaged }
