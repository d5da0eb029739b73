package keystore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"batpak/keystore"
)

// A key that lies in a file wraps the key of a keyset.
func ExampleParseWrapper() {
	folder, err := os.MkdirTemp("", "kek")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "kek") // as "openssl rand -hex 32" writes it
	kek := "6c1f0e9a55d2b7431c8e7f60a9b2d3c4e5f60718293a4b5c6d7e8f9001122334\n"
	if err := os.WriteFile(path, []byte(kek), 0o600); err != nil {
		panic(err)
	}

	w, err := keystore.ParseWrapper("key-file:"+path, nil)
	if err != nil {
		panic(err)
	}
	master := [32]byte{1, 2, 3}
	wrapped, err := w.Wrap(context.Background(), &master, []byte("keyset of orders"))
	if err != nil {
		panic(err)
	}
	back, err := w.Unwrap(context.Background(), wrapped, []byte("keyset of orders"))
	fmt.Println(w, *back == master, err)

	_, err = w.Unwrap(context.Background(), wrapped, []byte("keyset of payments"))
	fmt.Println(errors.Is(err, keystore.ErrWrongKey))
	// Output:
	// raw-key true <nil>
	// true
}

// What a passphrase wrapped opens with the same passphrase, whatever it costs.
func ExampleNewPassphrase() {
	w, err := keystore.NewPassphrase([]byte("correct horse battery staple"), keystore.Cost{Memory: 32 << 10, Time: 1})
	if err != nil {
		panic(err)
	}
	defer w.Wipe()
	master := [32]byte{1, 2, 3}
	wrapped, err := w.Wrap(context.Background(), &master, nil)
	if err != nil {
		panic(err)
	}

	same, err := keystore.NewPassphrase([]byte("correct horse battery staple"), keystore.Cost{})
	if err != nil {
		panic(err)
	}
	back, err := same.Unwrap(context.Background(), wrapped, nil)
	fmt.Println(*back == master, err)

	_, err = keystore.NewPassphrase(nil, keystore.Cost{})
	fmt.Println(err)
	// Output:
	// true <nil>
	// keystore: unusable key-encryption key: the passphrase is empty
}
