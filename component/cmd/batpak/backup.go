package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"batpak/component/journal"
	"batpak/faultfs"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
)

// backingUp is what the flags of backup say.
type backingUp struct {
	*app
	dir, to, tar string
	keys         bool
}

func (a *app) backupCommand() *cobra.Command {
	b := &backingUp{app: a}
	cmd := &cobra.Command{
		Use:   "backup --dir DIR (--to FOLDER | --tar FILE) [--keys]",
		Short: "Copy a journal, also while it is served",
		Long: `Copy the journal in a directory, which a node may be serving meanwhile, into a new folder or into a file in
the tar format (- is standard output). Nothing in the directory is changed, and the node does not wait.

The copy has every event that was acknowledged before, and each byte is checked on its way. A copy that was
interrupted is never taken for a journal. Before it is used, batpak restore checks it again.

Without --keys the payload keys are left out: what is sealed cannot be read from the copy, and from a journal
that is restored from it neither, for good. With --keys who has the copy has the keys, unless they are
wrapped; they stay wrapped as they are. What is erased later is in such a copy still: keep it no longer than
needed, and restore it where the onward stream can be reached.

What was copied is printed: with or without keys, the number of events and of bytes, the last event's
sequence and hash, and the time it took. To a pipe these are the fields of one line, to standard error when
the copy itself goes to standard output.`,
		Example: "  batpak backup --dir /var/lib/batpak --to /backup/monday --keys\n  batpak backup --dir /var/lib/batpak --tar - | zstd > monday.tar.zst",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return b.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&b.dir, "dir", "", "`directory` of the journal (required)")
	f.StringVar(&b.to, "to", "", "copy into this `folder`, which is made, or is empty")
	f.StringVar(&b.tar, "tar", "", "copy into this `file`, which must not exist; - is standard output")
	f.BoolVar(&b.keys, "keys", false, "with the payload keys")
	return cmd
}

func (b *backingUp) run(ctx context.Context) error {
	switch {
	case b.dir == "":
		return usage("backup needs --dir")
	case (b.to == "") == (b.tar == ""):
		return usage("backup needs one of --to and --tar")
	case b.tar == "-" && isTerminal(b.out):
		return usage("--tar - writes to standard output, which is a terminal: send it into a file or a pipe")
	}
	root, err := os.OpenRoot(b.dir)
	if err != nil {
		return inDir(b.dir, err)
	}
	defer root.Close()
	from := faultfs.Dir(root)
	bar := b.newByteProgress("backup")
	defer bar.end()
	o := journal.BackupOptions{Keys: b.keys, Progress: bar.show}
	began := time.Now()
	var c journal.Copied
	switch {
	case b.to != "":
		c, err = toFolder(ctx, from, b.to, o)
	case b.tar == "-":
		c, err = journal.BackupTar(ctx, from, b.out, o)
	default:
		c, err = toFile(ctx, from, b.tar, o)
	}
	if err != nil {
		return b.failed(err)
	}
	bar.end()
	if b.tar == "-" { // which has the copy
		b.screen = b.newScreen()
		b.screen.w.Reset(b.err)
		if isTerminal(b.err) && b.screen.form == forPipe {
			b.screen.form = forTerminal
		}
	}
	return b.show(&c, time.Since(began))
}

// failed says in which directory a backup failed: the journal's own, unless it is about the copy.
func (b *backingUp) failed(err error) error {
	var target *journal.TargetError
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, journal.ErrNotEmpty), errors.As(err, &target) && b.to != "":
		return inDir(b.to, err)
	case target != nil:
		return fmt.Errorf("--tar %s: %w; nothing that could be restored was left", b.tar, target.Err)
	}
	return inDir(b.dir, err)
}

// inFolder makes a folder, when it is missing, and does something in it.
func inFolder(folder string, do func(fsys faultfs.FS) error) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return &journal.TargetError{Err: err}
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return &journal.TargetError{Err: err}
	}
	defer root.Close()
	return do(faultfs.Dir(root))
}

func toFolder(ctx context.Context, from faultfs.FS, folder string, o journal.BackupOptions) (c journal.Copied, err error) {
	err = inFolder(folder, func(to faultfs.FS) error {
		c, err = journal.Backup(ctx, from, to, o)
		return err
	})
	return c, err
}

// toFile copies into a file that is durable, or is not there.
func toFile(ctx context.Context, from faultfs.FS, name string, o journal.BackupOptions) (c journal.Copied, err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return c, usage("--tar %s exists: take another name, or remove it", name)
	}
	if err != nil {
		return c, fmt.Errorf("--tar: %w", err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			_ = os.Remove(name) // what is left of it would be refused
		}
	}()
	if c, err = journal.BackupTar(ctx, from, f, o); err != nil {
		return c, err
	}
	if err := f.Sync(); err != nil {
		return c, fmt.Errorf("--tar: %w", err)
	}
	folder, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return c, fmt.Errorf("--tar: %w", err)
	}
	defer folder.Close()
	return c, faultfs.Dir(folder).SyncDir(".")
}

func withKeys(keys bool) string {
	if keys {
		return "with keys"
	}
	return "without keys"
}

func (b *backingUp) show(c *journal.Copied, took time.Duration) error {
	hash := ""
	if c.Head > 0 {
		hash = c.Hash.String()
	}
	switch b.screen.form {
	case forMachine:
		return b.screen.object("journal", c.Name, "lineage", c.Lineage.String(), "keys", c.Keys, "events", c.Head, "bytes", c.Bytes,
			"head", c.Head, "hash", hash, "ms", took.Milliseconds())
	case forPipe:
		return b.screen.table(make([]column, 6)...).row(withKeys(c.Keys), strconv.FormatUint(c.Head, 10), strconv.FormatInt(c.Bytes, 10),
			strconv.FormatUint(c.Head, 10), hash, brief(took))
	}
	return b.screen.pairs(
		pair{"backed up", c.Name + ", " + withKeys(c.Keys), green}, pair{"events", grouped(c.Head), plain},
		pair{"bytes", fmt.Sprintf("%s in %s", grouped(uint64(c.Bytes)), brief(took)), plain},
		pair{"head", grouped(c.Head), plain}, pair{"hash", hash, dim})
}

// byteProgress shows how many bytes of how many are done.
type byteProgress struct {
	app  *app
	what string
	bar  *progressbar.ProgressBar
}

func (a *app) newByteProgress(what string) *byteProgress { return &byteProgress{app: a, what: what} }

func (p *byteProgress) show(done, all int64) {
	const unit = 1 << 20
	if p.bar == nil {
		if all > 0 {
			all = max(all/unit, 1)
		}
		p.bar = p.app.newProgress(all, p.what, "MiB")
	}
	_ = p.bar.Set64(done / unit) // a terminal that cannot be written to shows nothing
}

func (p *byteProgress) end() {
	if p.bar != nil {
		_ = p.bar.Finish()
		p.bar = nil
	}
}
