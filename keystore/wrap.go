package keystore

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// MaxWrapped is the most bytes that a wrapped key may have.
const MaxWrapped = 2048

// Errors when a master key is wrapped and unwrapped.
var (
	// ErrWrongKey means that the wrapped key is of another key-encryption key or
	// of another context, or is not what Wrap gave.
	ErrWrongKey = errors.New("wrong key-encryption key")

	// ErrMalformed means that the bytes cannot be a wrapped key, or one that
	// would cost more to open than is allowed. It comes with ErrWrongKey.
	ErrMalformed = errors.New("malformed wrapped key")

	// ErrWrapped is found in every WrappedError.
	ErrWrapped = errors.New("the keyset is wrapped")

	// ErrWrapper means that a Wrapper cannot be made from what was given for it,
	// or does not keep to its contract.
	ErrWrapper = errors.New("unusable key-encryption key")
)

// Wrapper protects the master key of a keyset with a key-encryption key that is
// kept elsewhere. It is safe for concurrent use.
//
// It says what it is and never what it knows: not its key, not the master key
// and no password or token may be seen in what it prints or in its errors.
type Wrapper interface {
	// Method names the way of wrapping, and stands in the keyset beside what
	// Wrap gave: 1 to 32 of a-z, 0-9 and "-". Wrappers that can open what the
	// other one wrapped have the same.
	Method() string

	// Wrap returns at most MaxWrapped bytes, from which Unwrap of a Wrapper with
	// the same method and key gets the key back. The context is authenticated and
	// not part of the result. Wrap keeps neither the key nor the context.
	Wrap(ctx context.Context, key *[32]byte, context []byte) ([]byte, error)

	// Unwrap is the inverse of Wrap. The key is the caller's, to be wiped. The
	// error is ErrWrongKey when the wrapped key is known not to open, now or
	// later; whoever cannot tell, because a server is not there or refuses to
	// talk, returns another error.
	Unwrap(ctx context.Context, wrapped, context []byte) (*[32]byte, error)
}

// WrappedError says that a keyset needs a key-encryption key that was not given.
// It wraps ErrWrapped.
type WrappedError struct {
	Method string // of the keyset, empty when it is not wrapped
	Given  string // the method of the Wrapper that was given, empty without one
}

func (e *WrappedError) Error() string {
	switch {
	case e.Given == "":
		return fmt.Sprintf("keystore: %v by %s, and no key-encryption key was given", ErrWrapped, e.Method)
	case e.Method == "":
		return fmt.Sprintf("keystore: the keyset is not wrapped, and a key-encryption key for %s was given", e.Given)
	}
	return fmt.Sprintf("keystore: %v by %s, and the key-encryption key that was given is for %s", ErrWrapped, e.Method, e.Given)
}

// Unwrap returns ErrWrapped.
func (e *WrappedError) Unwrap() error { return ErrWrapped }

// wrapMaster is w.Wrap for bytes that nobody will have another copy of: it
// answers only when they also open again. A server that may encrypt and not
// decrypt, or a policy that was forgotten, shows here and not after a restart.
func wrapMaster(ctx context.Context, w Wrapper, key *[32]byte, context []byte) ([]byte, error) {
	if !validMethod(w.Method()) {
		return nil, fmt.Errorf("keystore: wrap: %w: method %q", ErrWrapper, w.Method())
	}
	wrapped, err := w.Wrap(ctx, key, context)
	if err != nil {
		return nil, err
	}
	if len(wrapped) == 0 || len(wrapped) > MaxWrapped {
		return nil, fmt.Errorf("keystore: wrap by %s: %w: it gave %d bytes, allowed are 1 to %d", w.Method(), ErrWrapper, len(wrapped), MaxWrapped)
	}
	back, err := w.Unwrap(ctx, wrapped, context)
	if err != nil {
		return nil, fmt.Errorf("keystore: what %s just wrapped does not open: %w", w.Method(), err)
	}
	defer clear(back[:])
	if subtle.ConstantTimeCompare(back[:], key[:]) != 1 {
		return nil, fmt.Errorf("keystore: wrap by %s: %w: another key came back", w.Method(), ErrWrapper)
	}
	return wrapped, nil
}

// unwrapMaster is w.Unwrap for what a keyset holds. The error is a WrappedError
// when w is nil or has another method. Whoever calls it wipes the key.
func unwrapMaster(ctx context.Context, w Wrapper, method string, wrapped, context []byte) (*[32]byte, error) {
	if w == nil {
		return nil, &WrappedError{Method: method}
	}
	if w.Method() != method {
		return nil, &WrappedError{Method: method, Given: w.Method()}
	}
	return w.Unwrap(ctx, wrapped, context)
}

func validMethod(method string) bool {
	for _, c := range []byte(method) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return len(method) >= 1 && len(method) <= 32
}

// wrappedSize is how long a master key is when it is sealed here: nonce, key and tag.
const wrappedSize = NonceSize + KeySize + Overhead

// sealMaster appends the nonce and the key sealed under kek to the head, and
// authenticates all of the head. The method is authenticated too, so that one
// method cannot be given what another one made.
func sealMaster(kek *[32]byte, method string, head []byte, nonce *[NonceSize]byte, key *[32]byte, context []byte) []byte {
	aead := newAEAD(kek)
	defer wipe(aead)
	out := append(head, nonce[:]...)
	return aead.Seal(out, nonce[:], key[:], wrapAAD(method, head, context))
}

// openMaster is the inverse of sealMaster; sealed is what stands behind the head,
// wrappedSize bytes.
func openMaster(kek *[32]byte, method string, head, sealed, context []byte) (*[32]byte, error) {
	aead := newAEAD(kek)
	defer wipe(aead)
	key := new([32]byte)
	nonce, sealed := sealed[:NonceSize], sealed[NonceSize:]
	if _, err := aead.Open(key[:0], nonce, sealed, wrapAAD(method, head, context)); err != nil {
		return nil, fmt.Errorf("keystore: unwrap by %s: %w", method, ErrWrongKey)
	}
	return key, nil
}

func newAEAD(kek *[32]byte) cipher.AEAD {
	aead, err := chacha20poly1305.NewX(kek[:])
	if err != nil {
		panic(err) // only for a key of another length
	}
	return aead
}

// wrapAAD is unambiguous because a method holds no zero byte and the length of the
// head follows from the method and its first byte.
func wrapAAD(method string, head, context []byte) []byte {
	aad := make([]byte, 0, len(method)+1+len(head)+len(context))
	aad = append(append(aad, method...), 0)
	return append(append(aad, head...), context...)
}

func malformed(method, format string, args ...any) error {
	return fmt.Errorf("keystore: unwrap by %s: %w: %w: %s", method, ErrWrongKey, ErrMalformed, fmt.Sprintf(format, args...))
}

func newWrapNonce() *[NonceSize]byte {
	nonce := new([NonceSize]byte)
	rand.Read(nonce[:]) // never fails: the process would end
	return nonce
}

// hidden is a secret that fmt cannot reach where it may not call methods. Two
// pointers stand before the bytes, as with material.
type hidden struct {
	bytes *[]byte
}

func hide(secret []byte) *hidden {
	b := append([]byte(nil), secret...)
	return &hidden{&b}
}

func (h *hidden) wiped() bool { return *h.bytes == nil }

func (h *hidden) wipe() {
	clear(*h.bytes)
	*h.bytes = nil
}
