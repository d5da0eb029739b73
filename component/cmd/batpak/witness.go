package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"batpak/codec"
	"batpak/component"

	"github.com/spf13/cobra"
)

func (a *app) witnessCommand() *cobra.Command {
	var (
		c connection
		o component.WitnessOptions
	)
	cmd := &cobra.Command{
		Use:   "witness [--file FILE] [--signer PUBLIC]",
		Short: "Follow a journal's heads, and tell when its history is rewritten",
		Long: `Follow the heads that the node publishes (serve --heads), until interrupted. Each has to go on from the one before:
the events in between are read and hashed here. When one does not, because an event is another one or is gone, that is told
and the exit code is 4; so it is when a head is not signed as it should be.

With --file the last head is kept in a file, and the next witness goes on from it. It is the file of batpak head --save
and batpak verify --since. An event that was changed while every head stays as it was is found by the latter alone,
which reads all events again. The folder of the file has to be there, and be one to make files in.

That no node answers at the beginning is told on standard error; its heads are waited for.

For each head the fields are: sequence, time, commitment, signer.`,
		Example: "  batpak witness --file orders.head --signer NDPK...",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Signer != "" {
				if err := isPublic("--signer", o.Signer); err != nil {
					return err
				}
			}
			if o.File != "" {
				if err := isForFiles(filepath.Dir(o.File)); err != nil {
					return usage("--file %s: %w", o.File, err)
				}
			}
			nc, client, err := c.client()
			if err != nil {
				return err
			}
			defer nc.Close()
			err = a.witness(cmd.Context(), client, o)
			if cmd.Context().Err() != nil {
				return nil // this is how it ends
			}
			return err
		},
	}
	c.bind(cmd)
	cmd.Flags().StringVar(&o.File, "file", "", "keep the last head in this `file`")
	cmd.Flags().StringVar(&o.Signer, "signer", "", "the `public` nkey that heads have to be signed by")
	return cmd
}

func (a *app) witness(ctx context.Context, client *component.Client, o component.WitnessOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t := a.screen.table(column{name: "seq", right: true, style: bold}, column{name: "time"}, column{name: "commitment", style: dim}, column{name: "signer", style: dim})
	var shown error
	o.Logger = slog.New(slog.NewTextHandler(a.err, nil))
	o.Seen = func(h codec.PublishedHead) {
		if shown = a.showHead(t, &h); shown != nil {
			cancel()
		}
	}
	w, err := component.NewWitness(client, o)
	if err != nil {
		return usage("--file: %w", err)
	}
	if w.Kept() == nil { // else following begins with that question
		if _, err := client.Status(ctx); err != nil && ctx.Err() == nil {
			_, text := explain(err)
			fmt.Fprintf(a.err, "batpak: %s (heads are waited for)\n", text)
		}
	}
	err = w.Follow(ctx)
	switch {
	case shown != nil:
		return shown
	case errors.Is(err, component.ErrRewritten), errors.Is(err, codec.ErrUnproved):
		return &plainError{exitDamaged, printable(strings.TrimPrefix(trim(err), "codec: ")), err}
	}
	return err
}

// isForFiles says why a file cannot be made in a folder, nil when one can.
func isForFiles(folder string) error {
	f, err := os.CreateTemp(folder, ".batpak-*")
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func (a *app) showHead(t *table, h *codec.PublishedHead) error {
	if a.screen.form == forMachine {
		if err := a.screen.body(h); err != nil {
			return err
		}
		return t.flush()
	}
	at := time.UnixMilli(int64(h.Time)).UTC().Format(time.RFC3339)
	if err := t.row(strconv.FormatUint(h.Seq, 10), at, h.Commitment.String(), h.Signer); err != nil {
		return err
	}
	return t.flush()
}
