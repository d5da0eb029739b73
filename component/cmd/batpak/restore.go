package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"batpak/component"
	"batpak/component/journal"
	"batpak/component/relay"
	"batpak/faultfs"
	"batpak/keystore"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
)

// restoring is what the flags of restore say, and what came of it.
type restoring struct {
	*app
	connection
	keys                   wrapping
	dir, from, tar, stream string
	offline                bool
	beyond                 component.Beyond
	asked                  bool // the onward stream has answered
	warnings               []string
}

func (a *app) restoreCommand() *cobra.Command {
	r := &restoring{app: a}
	cmd := &cobra.Command{
		Use:   "restore (--from FOLDER | --tar FILE) --dir DIR [--server URL | --offline]",
		Short: "Make a journal of a backup, checked and with later erasures applied",
		Long: `Make a journal, in a directory that is new or empty, of what batpak backup has copied into a folder or a tar
file (- is standard input). Every hash and chain is checked before there is a journal: when something is
wrong, nothing is left in the directory, and the exit code is 4.

What was erased after the backup must not come back. Erasures that are in the backup's log are applied to its
keys. Later ones are in the onward stream: it is asked for them, and they are applied before there is a
journal. When it cannot be asked, that is said. With --offline it is not asked.

The journal goes on from where the backup ended. When the onward stream has more, it disagrees: the node
serves, and its relay stops. That is said too, with what can be done.

What was restored is printed: with or without keys, the number of events and of bytes, the last event's
sequence and hash, how many later erasures were applied, or "unknown", and the time it took. To a pipe these
are the fields of one line.

A keyset that is wrapped needs --keys-wrap. A backup without keys gets a new keyset, wrapped by it.

` + wrapHelp,
		Example: "  batpak restore --from /backup/monday --dir /var/lib/batpak\n  zstd -dc monday.tar.zst | batpak restore --tar - --dir /var/lib/batpak --offline",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return r.run(cmd.Context()) },
	}
	r.connection.bind(cmd)
	r.keys.bind(cmd)
	f := cmd.Flags()
	f.StringVar(&r.dir, "dir", "", "`directory` for the journal, new or empty (required)")
	f.StringVar(&r.from, "from", "", "restore what is in this `folder`")
	f.StringVar(&r.tar, "tar", "", "restore what is in this `file`; - is standard input")
	f.StringVar(&r.stream, "stream", "", "`name` of the onward stream, when it is not BATPAK_ and the journal's name")
	f.BoolVar(&r.offline, "offline", false, "do not ask the onward stream for later erasures")
	return cmd
}

func (r *restoring) run(ctx context.Context) error {
	switch {
	case r.dir == "":
		return usage("restore needs --dir")
	case (r.from == "") == (r.tar == ""):
		return usage("restore needs one of --from and --tar")
	case r.tar == "-" && isTerminal(r.in):
		return usage("--tar - reads standard input, which is a terminal: give it a file or a pipe")
	case r.offline && (r.flags.Changed("server") || r.flags.Changed("context")):
		return usage("--offline asks nobody: leave --server and --context out")
	}
	keys, err := r.keys.wrapper(ctx, r.app, askKeys)
	if err != nil {
		return err
	}
	defer forget(keys)
	var nc *nats.Conn
	if !r.offline {
		if err := r.complete(); err != nil {
			return err
		}
		var err error
		if nc, err = r.connect(); err != nil {
			_, text := explain(err)
			r.unknown(text)
		} else {
			defer nc.Close()
		}
	} else {
		r.unknown("--offline")
	}
	bar := r.newByteProgress("restore")
	defer bar.end()
	o := journal.RestoreOptions{Keys: keystore.Options{Wrapper: keys}, Progress: bar.show, Beyond: func(ctx context.Context, j *journal.Journal) ([]journal.ErasureRecord, error) {
		return r.later(ctx, nc, j)
	}}
	began := time.Now()
	var done journal.Restored
	err = inFolder(r.dir, func(to faultfs.FS) (err error) {
		done, err = r.restore(ctx, to, o)
		return err
	})
	if errors.Is(err, journal.ErrBackup) { // it is not about the directory
		return err
	}
	if err != nil {
		return inDir(r.dir, err)
	}
	bar.end()
	took := time.Since(began)
	if r.asked && r.beyond.Last > done.Head {
		r.warn("the onward stream %s has events up to %d, and this journal ends with event %d: what is behind that is in the stream alone, "+
			"and the relay of a node that serves this journal stops and says so. Save those events if they are needed, then delete the stream "+
			"(nats stream rm %s): the node makes it anew. Projections that have seen them must begin again",
			r.streamName(done.Name), r.beyond.Last, done.Head, r.streamName(done.Name))
	}
	if r.beyond.Lost > 0 {
		r.warn("the onward stream has lost %d events behind the backup: erasures may have been among them", r.beyond.Lost)
	}
	for _, w := range r.warnings {
		fmt.Fprintf(r.err, "batpak: %s\n", w)
	}
	return r.show(&done, took)
}

func (r *restoring) warn(format string, args ...any) {
	r.warnings = append(r.warnings, printable(fmt.Sprintf(format, args...)))
}

// unknown says that nobody was asked for later erasures.
func (r *restoring) unknown(why string) {
	r.warn("the onward stream was not asked (%s): what was erased after the backup may open in this journal. Restore again where the stream "+
		"can be reached, or erase again before it is served. If the stream has more events than the journal, the node's relay stops and says so",
		strings.TrimSuffix(why, "."))
}

func (r *restoring) streamName(name string) string {
	if r.stream != "" {
		return r.stream
	}
	return relay.StreamName(name)
}

// restore takes the backup from where the flags say it is.
func (r *restoring) restore(ctx context.Context, to faultfs.FS, o journal.RestoreOptions) (journal.Restored, error) {
	if r.from != "" {
		root, err := os.OpenRoot(r.from)
		if err != nil {
			return journal.Restored{}, usage("--from: %w", err)
		}
		defer root.Close()
		return journal.Restore(ctx, faultfs.Dir(root), to, o)
	}
	var in io.Reader = &patient{ctx, r.in}
	if r.tar != "-" {
		f, err := os.Open(r.tar)
		if err != nil {
			return journal.Restored{}, usage("--tar: %w", err)
		}
		defer f.Close()
		in = f
	}
	return journal.RestoreTar(ctx, in, to, o)
}

// later asks the onward stream for the erasures that the backup does not have.
func (r *restoring) later(ctx context.Context, nc *nats.Conn, j *journal.Journal) ([]journal.ErasureRecord, error) {
	if r.flags.Changed("journal") && r.journal != j.Name() {
		return nil, fmt.Errorf("%w: the backup is of %q, not of %q", journal.ErrForeign, j.Name(), r.journal)
	}
	if nc == nil {
		return nil, nil
	}
	var err error
	r.beyond, err = component.ErasuresBeyond(ctx, nc, j, component.BeyondConfig{Prefix: r.prefix, Stream: r.stream})
	switch {
	case err == nil:
		r.asked = true
		return r.beyond.Erasures, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, component.ErrStreamDiffers):
		return nil, fmt.Errorf("%w; nothing was restored: find out which of the two is right, or restore with --offline", err)
	}
	r.unknown(trim(err))
	return nil, nil
}

func (r *restoring) show(done *journal.Restored, took time.Duration) error {
	hash, later := "", "unknown"
	if done.Head > 0 {
		hash = done.Hash.String()
	}
	if r.asked {
		later = strconv.Itoa(done.Erasures)
	}
	switch r.screen.form {
	case forMachine:
		values := []any{"journal", done.Name, "lineage", done.Lineage.String(), "keys", done.Keys, "events", done.Head, "bytes", done.Bytes,
			"head", done.Head, "hash", hash, "asked", r.asked, "erasures", done.Erasures, "destroyed", done.Destroyed,
			"onward", r.beyond.Last, "taken", done.Taken, "ms", took.Milliseconds()}
		if len(r.warnings) > 0 {
			values = append(values, "warnings", r.warnings)
		}
		return r.screen.object(values...)
	case forPipe:
		return r.screen.table(make([]column, 7)...).row(withKeys(done.Keys), strconv.FormatUint(done.Head, 10),
			strconv.FormatInt(done.Bytes, 10), strconv.FormatUint(done.Head, 10), hash, later, brief(took))
	}
	return r.screen.pairs(
		pair{"restored", done.Name + ", " + withKeys(done.Keys), green}, pair{"taken", done.Taken.Local().Format(time.DateTime), plain},
		pair{"events", grouped(done.Head), plain}, pair{"bytes", fmt.Sprintf("%s in %s", grouped(uint64(done.Bytes)), brief(took)), plain},
		pair{"head", grouped(done.Head), plain}, pair{"hash", hash, dim}, pair{"later erasures", later, plain})
}
