package keystore

import (
	"context"
	"errors"
)

// MaxWrapped is how many bytes a wrapped master key may have.
const MaxWrapped = 2048

// Wrapper protects the master key of a keyset, with a key-encryption key that is kept elsewhere.
type Wrapper interface {
	Method() string
	Wrap(ctx context.Context, key *[32]byte, context []byte) ([]byte, error)
	Unwrap(ctx context.Context, wrapped []byte, context []byte) (*[32]byte, error)
}

var (
	// ErrWrongKey means wrong key.
	ErrWrongKey = errors.New("wrong key-encryption key")
	// ErrWrapped means wrapped.
	ErrWrapped = errors.New("the keyset is wrapped")
)
