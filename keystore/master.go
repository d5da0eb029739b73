package keystore

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"fmt"

	"batpak/causal"

	"golang.org/x/crypto/chacha20poly1305"
)

// Clear is the method of a keyset whose master key is in its header as it is: who reads the file has the
// keys.
const Clear = "clear"

const (
	masterContext = "batpak.master.v1\x00" // and the granularity, and the salt of the scopes
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

// makeMaster makes a master key, and wraps it into the header, whose salts are set.
func (h *header) makeMaster(ctx context.Context, w Wrapper) (*master, error) {
	secret := new([KeySize]byte)
	defer clear(secret[:])
	rand.Read(secret[:])
	m, err := newMaster(secret)
	if err != nil {
		return nil, err
	}
	if w == nil {
		h.method, h.wrapped = Clear, bytes.Clone(secret[:])
		return m, nil
	}
	h.method = w.Method()
	if h.wrapped, err = wrapMaster(ctx, w, secret, h.context()); err != nil {
		return nil, fmt.Errorf("keystore: wrap the master key: %w", err)
	}
	return m, nil
}

// unwrap gets the master key out of a header.
func (h *header) unwrap(ctx context.Context, w Wrapper) (*master, error) {
	if h.method == Clear {
		if len(h.wrapped) != KeySize {
			return nil, damaged(0, "the master key has %d bytes", len(h.wrapped))
		}
		m, err := newMaster((*[KeySize]byte)(h.wrapped))
		clear(h.wrapped)
		return m, err
	}
	secret, err := unwrapMaster(ctx, w, h.method, h.wrapped, h.context())
	if err != nil {
		return nil, fmt.Errorf("keystore: load %s: unwrap the master key: %w", fileName, err)
	}
	defer clear(secret[:])
	return newMaster(secret)
}

// context is what the wrapped master key belongs to: this keyset, and no other.
func (h *header) context() []byte {
	b := append([]byte(masterContext), byte(h.granularity))
	return append(b, h.scopes[:]...)
}

// seal is a key for its record. A key's id is random and used for one key, so it is the nonce.
func (m *master) seal(sealed *[sealedSize]byte, id causal.KeyID, secret *[KeySize]byte) {
	nonce := keyNonce(id)
	m.aead.Seal(sealed[:0], nonce[:], secret[:], []byte(keyContext))
}

// record is a key's record.
func (m *master) record(id causal.KeyID, secret *[KeySize]byte) record {
	r := record{typ: typeKey, id: id}
	m.seal(&r.body, id, secret)
	return r
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
