package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/keystore"

	"github.com/spf13/cobra"
)

// rekeying is what the flags of rekey say.
type rekeying struct {
	*app
	dir, from, to string
}

func (a *app) rekeyCommand() *cobra.Command {
	r := &rekeying{app: a}
	cmd := &cobra.Command{
		Use:   "rekey --dir DIR [--from WRAP] --to WRAP|clear",
		Short: "Wrap the payload keys of a journal otherwise",
		Long: `Give the keyset of a journal another master key, wrapped by what --to says, or in clear. --from says by what
it is wrapped now, and is not needed when it is in clear. The journal must not be served. Payload keys are
sealed anew and stay the same, so events open as before. So do they with old copies of the keyset, and with
what is left of it on the disk: in clear, or by the old key-encryption key.

It takes as long as writing all keys once. When it is interrupted or fails, the keyset is the old one, or
the new one as a whole: batpak keys says which. From then on serve needs --keys-wrap as --to was.

To a pipe the fields are: how the keys were wrapped, how they are now, and how many there are.

` + wrapHelp,
		Example: `  batpak rekey --dir /var/lib/people --to key-file:/etc/batpak/people.key
  batpak rekey --dir /var/lib/people --from key-file:/etc/batpak/people.key --to vault:people
  batpak rekey --dir /var/lib/people --from passphrase --to clear`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return r.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&r.dir, "dir", "", "`directory` of the journal, which nobody serves (required)")
	f.StringVar(&r.from, "from", "", "what the keys are wrapped by now: `WRAP`; not needed when they are in clear")
	f.StringVar(&r.to, "to", "", "what they are to be wrapped by: `WRAP`, or clear (required)")
	return cmd
}

func (r *rekeying) run(ctx context.Context) error {
	switch {
	case r.dir == "":
		return usage("rekey needs --dir")
	case r.to == "":
		return usage("rekey needs --to: what the keys are to be wrapped by, or clear")
	}
	before, err := inspect(r.dir) // also so that nothing is asked for in vain
	if err != nil {
		return err
	}
	if before.Granularity == keystore.None {
		return fmt.Errorf("%s has no payload keys: nothing is sealed in its journal", r.dir)
	}
	from, err := r.wrapper(ctx, "--from", r.from, askKeys)
	if err != nil {
		return err
	}
	defer forget(from)
	var to keystore.Wrapper
	if r.to != keystore.Clear {
		if to, err = r.wrapper(ctx, "--to", r.to, askNewKeys...); err != nil {
			return err
		}
		defer forget(to)
	}
	began := time.Now()
	if err := r.rekey(ctx, from, to); err != nil {
		return err
	}
	after, err := inspect(r.dir)
	if err != nil {
		return err
	}
	return r.show(&before, &after, time.Since(began))
}

func (r *rekeying) rekey(ctx context.Context, from, to keystore.Wrapper) error {
	bar := r.newProgress(-1, "rekey", "keys")
	err := withDir(r.dir, func(fsys faultfs.FS) error {
		return journal.Rekey(ctx, fsys, from, to, func(done, all int) {
			bar.ChangeMax(all)
			_ = bar.Set(done) // a terminal that cannot be written to shows nothing
		})
	})
	_ = bar.Finish()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return &plainError{exitInterrupted, "interrupted: the keys in " + r.dir + " are as they were", err}
	case errors.Is(err, journal.ErrLocked):
		return &plainError{exitFailed, r.dir + " is in use: stop the node that serves it, rekey, and serve it with --keys-wrap as --to is; nothing was changed", err}
	}
	return inDir(r.dir, err)
}

func (r *rekeying) show(before, after *keystore.Stats, took time.Duration) error {
	keys := after.Live + after.Spare
	switch r.screen.form {
	case forMachine:
		return r.screen.object("from", before.Method, "to", after.Method, "keys", keys)
	case forPipe:
		return r.screen.table(make([]column, 3)...).row(before.Method, after.Method, fmt.Sprint(keys))
	}
	then := "serve needs no --keys-wrap"
	if after.Method != keystore.Clear {
		then = "serve with --keys-wrap " + r.to
	}
	return r.screen.pairs(
		pair{"keys", fmt.Sprintf("%s sealed anew in %s", grouped(uint64(keys)), brief(took)), green},
		pair{"wrapped", after.Method + ", before: " + before.Method, bold},
		pair{"next", then, plain},
	)
}
