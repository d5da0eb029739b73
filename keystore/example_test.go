package keystore_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"batpak/causal"
	"batpak/faultfs"
	"batpak/keystore"
)

// A person's event is sealed, read back after a restart, and erased.
func Example() {
	folder, err := os.MkdirTemp("", "keys")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	root, err := os.OpenRoot(folder)
	if err != nil {
		panic(err)
	}
	defer root.Close()

	ctx := context.Background()
	store, err := keystore.New(ctx, faultfs.Dir(root), keystore.Subject, keystore.Options{})
	if err != nil {
		panic(err)
	}
	scope, _ := store.Granularity().Scope(&causal.Header{Subject: "person-17"})
	key, err := store.GetOrCreate(scope)
	if err != nil {
		panic(err)
	}
	context := []byte("what the payload belongs to")
	enc := causal.Enc{Key: key.ID(), Nonce: key.NewNonce()}
	sealed, err := key.Seal(nil, []byte("moved to Lisbon"), context, &enc.Nonce)
	if err != nil {
		panic(err)
	}
	if err := store.Flush(); err != nil { // before the ciphertext is acknowledged
		panic(err)
	}

	if err := store.Close(); err != nil {
		panic(err)
	}
	store, err = keystore.Load(ctx, faultfs.Dir(root), keystore.Subject, keystore.Options{})
	if err != nil {
		panic(err)
	}
	defer store.Close()
	if key, err = store.ByID(enc.Key); err != nil {
		panic(err)
	}
	plain, err := key.Open(nil, sealed, context, &enc.Nonce)
	fmt.Println(string(plain), err)

	if _, err := store.Destroy(scope); err != nil {
		panic(err)
	}
	if err := store.Flush(); err != nil { // before the erasure is acknowledged
		panic(err)
	}
	_, err = store.ByID(enc.Key)
	fmt.Println(errors.Is(err, keystore.ErrShredded))
	// Output:
	// moved to Lisbon <nil>
	// true
}
