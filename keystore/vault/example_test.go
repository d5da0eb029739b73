package vault_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"batpak/keystore"
	"batpak/keystore/vault"
)

// A token that an agent renews is read from its file for each request.
func ExampleNew() {
	w, err := vault.New(vault.Config{
		Address: "https://vault.example:8200",
		Key:     "journal-orders",
		Token: func(context.Context) (string, error) {
			token, err := os.ReadFile("/run/vault/token")
			return strings.TrimSpace(string(token)), err
		},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(w.Method())
	fmt.Println(w)
	// Output:
	// vault-transit
	// vault-transit transit/journal-orders
}

// A command line takes all sources by one flag.
func ExampleSource() {
	_ = os.Setenv("VAULT_ADDR", "https://vault.example:8200")
	_ = os.Setenv("VAULT_TOKEN", "hvs.example")
	w, err := keystore.ParseWrapper("vault:team/transit/journal-orders", map[string]keystore.Source{"vault": vault.Source})
	fmt.Println(w, err)
	// Output:
	// vault-transit team/transit/journal-orders <nil>
}
