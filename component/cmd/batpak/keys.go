package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/keystore"

	"github.com/spf13/cobra"
)

func (a *app) keysCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "keys --dir DIR",
		Short: "Print what payload keys a journal has",
		Long: `Print how many payload keys the journal in a directory has, what they are of, how they are wrapped, and how
many bytes their files take; never a key. Live keys open payloads. Destroyed ones are erasures. Missing
are those that events were sealed with and that the keyset does not have. Spare ones are made ahead of
need. A node may be serving the journal meanwhile; what it is about to write is not counted then.

To a pipe, each line has a name and a value.`,
		Example: "  batpak keys --dir /var/lib/people",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if dir == "" {
				return usage("keys needs --dir")
			}
			stats, err := inspect(dir)
			if err != nil {
				return err
			}
			size, err := sizeOf(filepath.Join(dir, "keys"))
			if err != nil {
				return inDir(dir, err)
			}
			return a.showKeys(&stats, size)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "`directory` of the journal (required)")
	return cmd
}

// inspect is what keys the journal in a directory has.
func inspect(dir string) (stats keystore.Stats, err error) {
	err = withDir(dir, func(fsys faultfs.FS) error {
		stats, err = journal.InspectKeys(fsys)
		return inDir(dir, err)
	})
	return stats, err
}

// sizeOf is how many bytes the files of a folder have. It may have none, and files come and go.
func sizeOf(folder string) (bytes int64, err error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		bytes += info.Size()
	}
	return bytes, err
}

func (a *app) showKeys(k *keystore.Stats, size int64) error {
	if a.screen.form == forMachine {
		return a.screen.object("granularity", k.Granularity.String(), "wrapped", k.Method, "live", k.Live,
			"destroyed", k.Destroyed, "missing", k.Missing, "spare", k.Spare, "bytes", size)
	}
	n := func(v int64) string {
		if a.screen.form == forTerminal {
			return grouped(uint64(v))
		}
		return strconv.FormatInt(v, 10)
	}
	wrapped, missing := plain, plain
	if k.Method == keystore.Clear {
		wrapped = yellow
	}
	if k.Missing > 0 {
		missing = red
	}
	return a.screen.pairs(
		pair{"granularity", k.Granularity.String(), bold}, pair{"wrapped", k.Method, wrapped},
		pair{"live", n(int64(k.Live)), plain}, pair{"destroyed", n(int64(k.Destroyed)), plain},
		pair{"missing", n(int64(k.Missing)), missing}, pair{"spare", n(int64(k.Spare)), plain}, pair{"bytes", n(size), plain},
	)
}
