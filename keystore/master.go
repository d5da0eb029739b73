package keystore

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"

	"batpak/causal"

	"golang.org/x/crypto/chacha20poly1305"
)

// Clear is the method of a keyset whose master key is in its header as it is: who reads the file has the
// keys.
const Clear = "clear"

const (
	masterContext = "batpak.master.v1\x00" // and the granularity
	keyContext    = "batpak.key.v1\x00"
)

// master is the key that the keys are sealed with in the file.
type master struct{ aead cipher.AEAD }

func newMaster(secret *[KeySize]byte) (*master, error) {
	aead, err := chacha20poly1305.NewX(secret[:])
	if err != nil {
		return nil, fmt.Errorf("keystore: master key: %w", err)
	}
	return &master{aead}, nil
}

// String says nothing.
func (m *master) String() string { return "master key" }

// GoString is String.
func (m *master) GoString() string { return m.String() }

// makeMaster makes a master key, and wraps it for the header.
func makeMaster(ctx context.Context, g Granularity, w Wrapper) (m *master, method string, wrapped []byte, err error) {
	secret := new([KeySize]byte)
	defer clear(secret[:])
	rand.Read(secret[:])
	if m, err = newMaster(secret); err != nil {
		return nil, "", nil, err
	}
	if w == nil {
		return m, Clear, append([]byte(nil), secret[:]...), nil
	}
	wrapped, err = w.Wrap(ctx, secret, wrapContext(g))
	if err != nil {
		return nil, "", nil, fmt.Errorf("keystore: wrap the master key: %w", err)
	}
	if n := len(wrapped); n == 0 || n > MaxWrapped {
		return nil, "", nil, fmt.Errorf("keystore: wrap the master key: %s gave %d bytes, and at most %d are kept", w.Method(), n, MaxWrapped)
	}
	return m, w.Method(), wrapped, nil
}

// unwrap gets the master key out of a header.
func (h *header) unwrap(ctx context.Context, w Wrapper) (*master, error) {
	var secret *[KeySize]byte
	switch {
	case h.method == Clear:
		if len(h.wrapped) != KeySize {
			return nil, damaged(0, "the master key has %d bytes", len(h.wrapped))
		}
		secret = (*[KeySize]byte)(h.wrapped)
	case w == nil:
		return nil, fmt.Errorf("keystore: load %s: %w by %s: give the key that it is wrapped with", fileName, ErrWrapped, h.method)
	case w.Method() != h.method:
		return nil, fmt.Errorf("keystore: load %s: %w by %s, not by %s", fileName, ErrWrapped, h.method, w.Method())
	default:
		var err error
		if secret, err = w.Unwrap(ctx, h.wrapped, wrapContext(h.granularity)); err != nil {
			return nil, fmt.Errorf("keystore: load %s: unwrap the master key: %w", fileName, err)
		}
		if secret == nil {
			return nil, errors.New("keystore: unwrap the master key: there is none")
		}
	}
	defer clear(secret[:])
	return newMaster(secret)
}

func wrapContext(g Granularity) []byte { return append([]byte(masterContext), byte(g)) }

// seal is a key for its record. A key's id is random and used for one key, so it is the nonce.
func (m *master) seal(id causal.KeyID, secret *[KeySize]byte) (sealed [sealedSize]byte) {
	nonce := keyNonce(id)
	m.aead.Seal(sealed[:0], nonce[:], secret[:], []byte(keyContext))
	return sealed
}

// open is the key of a record; ok is false when it is not what was sealed.
func (m *master) open(id causal.KeyID, sealed []byte) (secret *[KeySize]byte, ok bool) {
	nonce := keyNonce(id)
	secret = new([KeySize]byte)
	if _, err := m.aead.Open(secret[:0], nonce[:], sealed, []byte(keyContext)); err != nil {
		return nil, false
	}
	return secret, true
}

func keyNonce(id causal.KeyID) (nonce [NonceSize]byte) {
	copy(nonce[:], id[:])
	return nonce
}

func (m *master) wipe() { wipe(m.aead) }
