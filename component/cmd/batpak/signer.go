package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"

	"batpak/component/journal"

	"github.com/nats-io/nkeys"
	"github.com/spf13/cobra"
)

const signerVariable = "BATPAK_SIGNER"

// maxSeedFile is the longest file of a seed, in bytes: there may be comments around it.
const maxSeedFile = 4096

func (a *app) signerCommand() *cobra.Command {
	var fresh bool
	cmd := &cobra.Command{
		Use:   "signer [--new] FILE",
		Short: "Print the public key of what signs receipts",
		Long: `Print the public key of the nkey seed in a file, which serve --signer signs receipts with. With --new the
file is made first, its owner's alone, with a new seed; one that exists is left as it is.

Give the public key to whoever is to verify receipts, by another way than the node.`,
		Example: "  batpak signer --new /etc/batpak/orders.nk\n  batpak serve --dir /var/lib/orders --signer /etc/batpak/orders.nk",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if fresh {
				if err := newSeed(args[0]); err != nil {
					return err
				}
			}
			signer, err := readSigner(args[0])
			if err != nil {
				return err
			}
			defer signer.Wipe()
			public, err := signer.PublicKey()
			if err != nil {
				return err
			}
			if a.screen.form == forMachine {
				return a.screen.object("signer", public)
			}
			_, err = fmt.Fprintln(a.screen.w, public)
			return err
		},
	}
	cmd.Flags().BoolVar(&fresh, "new", false, "make the file, with a new seed")
	return cmd
}

// newSeed writes a new seed into a file that does not exist, durably.
func newSeed(path string) error {
	pair, err := nkeys.CreateServer()
	if err != nil {
		return err
	}
	defer pair.Wipe()
	seed, err := pair.Seed()
	if err != nil {
		return err
	}
	defer clear(seed)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already and is left as it is: give --new another name", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(append(seed[:len(seed):len(seed)], '\n'))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// signer is a key that signs, and can be wiped.
type signer interface {
	journal.Signer
	Wipe()
}

// readSigner reads the nkey seed in a file, which has to be its owner's alone: who has the seed can sign
// another history.
func readSigner(path string) (signer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat() // of what was opened, not of what the name has now
	if err != nil {
		return nil, err
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("%s: its mode is %04o, so others than its owner may sign with it: chmod it to 0400 or 0600", path, perm)
	}
	text := make([]byte, maxSeedFile+1)
	defer clear(text)
	n, err := io.ReadFull(f, text)
	switch {
	case err == nil:
		return nil, fmt.Errorf("%s is longer than %d bytes", path, maxSeedFile)
	case err != io.EOF && err != io.ErrUnexpectedEOF:
		return nil, err
	}
	for line := range bytes.Lines(text[:n]) {
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] != 'S' {
			continue
		}
		if s, err := journal.NewSigner(line); err == nil {
			return s.(signer), nil
		}
	}
	return nil, fmt.Errorf("%s: no nkey seed is in it", path)
}

// signer is what flag and environment say to sign with; nil when they say nothing.
func (s *serving) signer(cmd *cobra.Command) (signer, error) {
	what, path := "--signer", s.signerFile
	if !cmd.Flags().Changed("signer") {
		what, path = "$"+signerVariable, os.Getenv(signerVariable)
	}
	if path == "" {
		return nil, nil
	}
	read, err := readSigner(path)
	var named *fs.PathError
	if errors.As(err, &named) {
		return nil, usage("%s %s: %w", what, path, named.Err)
	}
	if err != nil {
		return nil, usage("%s: %w", what, err)
	}
	return read, nil
}
