package keystore

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"reflect"
	"unsafe"

	"golang.org/x/crypto/chacha20poly1305"

	"batpak/causal"
)

// Sizes in bytes.
const (
	KeySize   = chacha20poly1305.KeySize
	NonceSize = chacha20poly1305.NonceSizeX
	Overhead  = chacha20poly1305.Overhead // how much longer a ciphertext is than its plaintext
)

// Key seals and opens the payloads of one scope. It is safe for concurrent use,
// and may be kept: when it is destroyed meanwhile it answers ErrShredded.
//
// However it is printed, logged or marshalled, it shows its id and never its
// bytes. It must not be copied.
type Key struct {
	s     *Store
	n     uint32 // of the entry
	id    causal.KeyID
	scope scopeHash // what it is to be bound to; zero when it is bound

	*material // a successor shares it
}

// material is the part of a key that is secret: the cipher holds it. Two pointers stand before the
// bytes, one to here and one from here, because fmt prints what a struct holds
// where it may not call methods, and with a verb that does not fit it follows
// one pointer.
type material struct {
	aead cipher.AEAD
	gone bool // it was wiped; the store's lock guards it
}

// newKey makes the key of an entry. The secret is wiped: the key's copy is wiped when the key is destroyed, when
// it was not used lately, and by Close.
func (s *Store) newKey(n uint32, id causal.KeyID, secret *[KeySize]byte) *Key {
	aead, err := chacha20poly1305.NewX(secret[:])
	if err != nil {
		panic(err) // the secret has the right length
	}
	clear(secret[:])
	both := &struct {
		key      Key
		material material
	}{}
	both.material.aead = aead
	both.key = Key{s: s, n: n, id: id, material: &both.material}
	return &both.key
}

// wipe forgets the key's bytes. The store's lock is held.
func (m *material) wipe() {
	wipe(m.aead)
	m.gone = true
}

// ID is what every ciphertext under the key names.
func (k *Key) ID() causal.KeyID { return k.id }

// NewNonce is a nonce for one Seal. It comes from the system's random source
// each time and not from a buffer: a virtual machine that is cloned or restored
// would repeat what its buffer holds.
func (k *Key) NewNonce() (nonce [NonceSize]byte) {
	rand.Read(nonce[:])
	return nonce
}

// Seal appends the ciphertext and its tag, len(plaintext)+Overhead bytes, to dst
// and returns the result. It does not allocate when dst has the room. The
// associated data is not part of the result; Open needs the same. One nonce is
// for one Seal under a key, ever: see NewNonce.
//
// To seal in place use plaintext[:0] as dst. Otherwise neither the plaintext nor
// the associated data may overlap the room that the result takes behind dst; the
// associated data may be what dst holds already.
//
// When the key was destroyed the error is ErrShredded and the result nil. A key that was not used lately is read
// from the keyset again, and its error may be that of reading it.
func (k *Key) Seal(dst, plaintext, aad []byte, nonce *[NonceSize]byte) ([]byte, error) {
	held, err := k.hold()
	if err != nil {
		return nil, k.wrap("seal", err)
	}
	defer k.s.mu.RUnlock()
	return held.aead.Seal(dst, nonce[:], plaintext, aad), nil
}

// Open checks a ciphertext with its tag, appends the plaintext to dst and
// returns the result. To open in place use ciphertext[:0]; what may overlap is as
// with Seal.
//
// The error is ErrTampered when anything is not as it was sealed, and
// ErrShredded when the key was destroyed; the result is then nil, and what lies
// behind dst may have been overwritten.
func (k *Key) Open(dst, ciphertext, aad []byte, nonce *[NonceSize]byte) ([]byte, error) {
	held, err := k.hold()
	if err != nil {
		return nil, k.wrap("open", err)
	}
	defer k.s.mu.RUnlock()
	plain, err := held.aead.Open(dst, nonce[:], ciphertext, aad)
	if err != nil {
		return nil, k.wrap("open", ErrTampered)
	}
	if plain == nil {
		plain = []byte{} // an empty payload is not "no payload"
	}
	return plain, nil
}

func (k *Key) wrap(op string, err error) error {
	return fmt.Errorf("keystore: %s: key %s: %w", op, k.id, err)
}

// hold takes the store's lock for reading, so that nothing is wiped meanwhile, and returns the key with its bytes. They are
// read again when they were wiped because others were used since. After an error the lock is not held.
func (k *Key) hold() (*Key, error) {
	for {
		k.s.mu.RLock()
		err := k.usable()
		if err == nil && !k.gone {
			return k, nil
		}
		k.s.mu.RUnlock()
		if err == nil {
			k, err = k.s.key(k.n)
		}
		if err != nil {
			return nil, err
		}
	}
}

// usable says why the key cannot be used. The store's lock is held, for reading at least.
func (k *Key) usable() error {
	switch {
	case k.s.keys.at(k.n).state == dead:
		return ErrShredded
	case k.s.closed:
		return os.ErrClosed
	}
	return nil
}

// cipherType is what ciphers are, and secretBytes where they have their own copy of the key, for which they have no
// method: offset and length. A cipher that is built otherwise than expected is left to the collector.
var (
	cipherType  = typeOfCipher()
	secretBytes = bytesIn(cipherType)
)

func typeOfCipher() reflect.Type {
	aead, err := chacha20poly1305.NewX(make([]byte, KeySize))
	if err != nil {
		panic(err) // the key has the right length
	}
	return reflect.TypeOf(aead)
}

func bytesIn(t reflect.Type) (places [][2]uintptr) {
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil
	}
	for f := range t.Elem().Fields() {
		if f.Type.Kind() == reflect.Array && f.Type.Elem().Kind() == reflect.Uint8 {
			places = append(places, [2]uintptr{f.Offset, f.Type.Size()})
		}
	}
	return places
}

// wipe overwrites the cipher's copy of the key.
func wipe(aead cipher.AEAD) {
	if reflect.TypeOf(aead) != cipherType {
		return
	}
	p := reflect.ValueOf(aead).UnsafePointer()
	for _, place := range secretBytes {
		clear(unsafe.Slice((*byte)(unsafe.Add(p, place[0])), place[1]))
	}
}

// String is "key " and the id.
func (k *Key) String() string {
	if k == nil {
		return "no key"
	}
	return "key " + k.id.String()
}

// GoString is String.
func (k *Key) GoString() string { return k.String() }

// Format writes String for every verb and flag.
func (k *Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// MarshalText is String.
func (k *Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// MarshalJSON is String as a JSON string.
func (k *Key) MarshalJSON() ([]byte, error) { return json.Marshal(k.String()) }
