package keystore

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// RawKeyMethod is what [RawKey.Method] answers.
const RawKeyMethod = "raw-key"

// RawKey wraps under 32 bytes that are a key already. What it wraps is:
//
//	 1  form   1
//	24  nonce
//	48  the master key, sealed with XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03)
//
// The associated data is "raw-key", a zero byte, the form, and the context.
//
// However it is printed, logged or marshalled, it shows its method only. It must
// not be copied.
type RawKey struct {
	secret *hidden
}

const rawKeyForm = 1

// NewRawKey takes a copy of the key, which must be from a random source. The
// error is ErrWrapper for a key of zeros, which nobody has set.
func NewRawKey(kek *[32]byte) (*RawKey, error) {
	if err := checkRawKey(kek); err != nil {
		return nil, fmt.Errorf("keystore: %w: %w", ErrWrapper, err)
	}
	return &RawKey{hide(kek[:])}, nil
}

func checkRawKey(kek *[32]byte) error {
	if *kek == [32]byte{} {
		return errors.New("the key is all zeros")
	}
	return nil
}

// Method is RawKeyMethod.
func (k *RawKey) Method() string { return RawKeyMethod }

// Wrap implements [Wrapper].
func (k *RawKey) Wrap(ctx context.Context, key *[32]byte, context []byte) ([]byte, error) {
	return k.wrap(ctx, newWrapNonce(), key, context)
}

func (k *RawKey) wrap(ctx context.Context, nonce *[NonceSize]byte, key *[32]byte, context []byte) ([]byte, error) {
	if err := k.ready(ctx, "wrap"); err != nil {
		return nil, err
	}
	head := append(make([]byte, 0, 1+wrappedSize), rawKeyForm)
	return sealMaster((*[32]byte)(*k.secret.bytes), RawKeyMethod, head, nonce, key, context), nil
}

// Unwrap implements [Wrapper].
func (k *RawKey) Unwrap(ctx context.Context, wrapped, context []byte) (*[32]byte, error) {
	if len(wrapped) != 1+wrappedSize {
		return nil, malformed(RawKeyMethod, "%d bytes, want %d", len(wrapped), 1+wrappedSize)
	}
	if wrapped[0] != rawKeyForm {
		return nil, malformed(RawKeyMethod, "unknown form %d", wrapped[0])
	}
	if err := k.ready(ctx, "unwrap"); err != nil {
		return nil, err
	}
	return openMaster((*[32]byte)(*k.secret.bytes), RawKeyMethod, wrapped[:1], wrapped[1:], context)
}

func (k *RawKey) ready(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("keystore: %s by %s: %w", op, RawKeyMethod, err)
	}
	if k.secret.wiped() {
		return fmt.Errorf("keystore: %s by %s: %w: it was wiped", op, RawKeyMethod, ErrWrapper)
	}
	return nil
}

// Wipe overwrites the key. It must not run while Wrap or Unwrap does, and both
// fail with ErrWrapper afterwards.
func (k *RawKey) Wipe() { k.secret.wipe() }

// String is the method.
func (k *RawKey) String() string { return RawKeyMethod }

// Format writes String for every verb and flag.
func (k *RawKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// MarshalText is String.
func (k *RawKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
