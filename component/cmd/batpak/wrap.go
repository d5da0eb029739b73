package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"batpak/keystore"
	"batpak/keystore/vault"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// wrapHelp says what WRAP is, for the help of the commands that have it.
const wrapHelp = `WRAP says where the key-encryption key is, which is never on the command line:

  passphrase            a passphrase, asked for on the terminal
  passphrase-env:NAME   a passphrase in an environment variable
  passphrase-file:PATH  a passphrase in a file
  key-env:NAME          a key in an environment variable: 32 bytes, as hex or base64
  key-file:PATH         a key in a file: 32 bytes, or those as hex or base64
  vault:KEY             a key of Vault's transit engine, or vault:MOUNT/KEY ($VAULT_ADDR, $VAULT_TOKEN)

A file must be its owner's alone. Whoever loses the key-encryption key loses every sealed payload.`

// Prompts for a passphrase that exists, and for one that is new.
const askKeys = "Passphrase of the payload keys: "

var askNewKeys = []string{"New passphrase for the payload keys: ", "The same once more: "}

const wrapVariable = "BATPAK_KEYS_WRAP"

// wrapping is what flag and environment say of how the payload keys of a directory are wrapped.
type wrapping struct {
	text  string
	flags *pflag.FlagSet
}

func (w *wrapping) bind(cmd *cobra.Command) {
	w.flags = cmd.Flags()
	w.flags.StringVar(&w.text, "keys-wrap", "", "by what the payload keys are wrapped: `WRAP` ($"+wrapVariable+")")
}

// wrapper is the key-encryption key that they say, nil when they say none. A passphrase is asked for by each
// of the prompts.
func (w *wrapping) wrapper(ctx context.Context, a *app, prompts ...string) (keystore.Wrapper, error) {
	if w.flags.Changed("keys-wrap") {
		return a.wrapper(ctx, "--keys-wrap", w.text, prompts...)
	}
	return a.wrapper(ctx, "$"+wrapVariable, os.Getenv(wrapVariable), prompts...)
}

// wrapper makes a key-encryption key of WRAP, and nil of nothing. What names where the text is from.
func (a *app) wrapper(ctx context.Context, what, text string, prompts ...string) (keystore.Wrapper, error) {
	switch text {
	case "":
		return nil, nil
	case "passphrase":
		return a.askPassphrase(ctx, prompts)
	}
	w, err := keystore.ParseWrapper(text, map[string]keystore.Source{"vault": vault.Source})
	if err != nil {
		err = fmt.Errorf("%s: %s", what, strings.TrimPrefix(trim(err), keystore.ErrWrapper.Error()+": "))
		if !strings.Contains(text, ":") {
			err = fmt.Errorf("%w; or passphrase alone, to be asked for it", err)
		}
		return nil, &usageError{err}
	}
	return w, nil
}

// askPassphrase asks as often as there are prompts, and wants the same each time.
func (a *app) askPassphrase(ctx context.Context, prompts []string) (keystore.Wrapper, error) {
	var passphrase []byte
	for i, prompt := range prompts {
		typed, err := a.askSecret(ctx, prompt)
		defer clear(typed)
		if err != nil {
			return nil, err
		}
		if i > 0 && !bytes.Equal(typed, passphrase) {
			return nil, errors.New("the passphrases differ; nothing was done")
		}
		passphrase = typed
	}
	w, err := keystore.NewPassphrase(passphrase, keystore.Cost{})
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(trim(err), keystore.ErrWrapper.Error()+": "))
	}
	return w, nil
}

// forget wipes a key-encryption key that is not needed any more, where it is in memory.
func forget(w keystore.Wrapper) {
	if w, ok := w.(interface{ Wipe() }); ok {
		w.Wipe()
	}
}
