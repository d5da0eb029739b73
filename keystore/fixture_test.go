package keystore

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"reflect"
	"testing"
	"unsafe"

	"batpak/causal"
	"batpak/faultfs"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v, want %v", err, want)
	}
}

// newDisk is an empty real folder that can be made to fail.
func newDisk(t testing.TB) *faultfs.Injector {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	must(t, err)
	t.Cleanup(func() { _ = root.Close() })
	return faultfs.Inject(faultfs.Dir(root))
}

// bare is without a reserve: each key is minted when it is asked for.
var bare = Options{Reserve: -1}

func newStore(t testing.TB, disk faultfs.FS, g Granularity) *Store {
	t.Helper()
	s, err := New(t.Context(), disk, g, bare)
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func load(t testing.TB, disk faultfs.FS, g Granularity) *Store {
	t.Helper()
	s, err := Load(t.Context(), disk, g, bare)
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func mintKey(t testing.TB, s *Store, scope Scope) *Key {
	t.Helper()
	k, err := s.GetOrCreate(scope)
	must(t, err)
	return k
}

func subject(name string) Scope {
	s, _ := Subject.Scope(&causal.Header{Subject: name})
	return s
}

// sealed is a ciphertext with what is needed to open it again.
type sealed struct {
	key        causal.KeyID
	nonce      [NonceSize]byte
	aad        []byte
	ciphertext []byte
	plaintext  []byte
}

func seal(t testing.TB, k *Key, plaintext string) sealed {
	t.Helper()
	c := sealed{key: k.ID(), nonce: k.NewNonce(), aad: []byte("header"), plaintext: []byte(plaintext)}
	var err error
	c.ciphertext, err = k.Seal(nil, c.plaintext, c.aad, &c.nonce)
	must(t, err)
	return c
}

func (c sealed) wantOpens(t testing.TB, s *Store) {
	t.Helper()
	k, err := s.ByID(c.key)
	must(t, err)
	got, err := k.Open(nil, c.ciphertext, c.aad, &c.nonce)
	must(t, err)
	if !bytes.Equal(got, c.plaintext) {
		t.Fatalf("opened to %q, want %q", got, c.plaintext)
	}
}

// fixed is the id and the secret of a key, the same for the same n.
func fixed(n int) (causal.KeyID, *[KeySize]byte) {
	secret := sha256.Sum256(fmt.Appendf(nil, "secret %d", n))
	id := sha256.Sum256(fmt.Appendf(nil, "id %d", n))
	return causal.KeyID(id[:16]), &secret
}

// fixedKey is the same key for the same n, in a store of its own.
func fixedKey(t testing.TB, n int) *Key {
	t.Helper()
	id, secret := fixed(n)
	return soloKey(t, id, secret)
}

func soloKey(t testing.TB, id causal.KeyID, secret *[KeySize]byte) *Key {
	t.Helper()
	s, err := empty(t.Context(), nil, Subject, bare)
	must(t, err)
	return s.newKey(s.keys.add(id, live), id, secret)
}

func fixedScopes(t testing.TB, g Granularity) [3]Scope {
	t.Helper()
	var scopes [3]Scope
	for i, h := range []causal.Header{
		{Coordinate: causal.Coordinate{Scope: "tenant", Entity: "order-1"}, Kind: 0x1001, ID: causal.EventID{1}, Subject: "person-1"},
		{Coordinate: causal.Coordinate{Scope: "tenant", Entity: "order-2"}, Kind: 0x2001, ID: causal.EventID{2}, Subject: "person-2"},
		{Coordinate: causal.Coordinate{Scope: "ténant", Entity: "3"}, Kind: 0xF002, ID: causal.EventID{3}, Subject: "person-3"},
	} {
		var ok bool
		if scopes[i], ok = g.Scope(&h); !ok {
			t.Fatalf("%s seals nothing", g)
		}
	}
	return scopes
}

var sealing = []Granularity{Entity, Category, Kind, Event, Subject}

// secretOf is where the cipher of a key holds its bytes.
func secretOf(k *Key) *[KeySize]byte {
	for _, field := range reflect.ValueOf(k.aead).Elem().Fields() {
		if field.Kind() == reflect.Array && field.Len() == KeySize {
			return (*[KeySize]byte)(unsafe.Pointer(field.UnsafeAddr()))
		}
	}
	panic("the cipher is built otherwise than expected")
}
