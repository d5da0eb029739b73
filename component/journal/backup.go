package journal

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/faultfs"
	"batpak/keystore"
)

const (
	manifestName  = "backup.json"
	manifestMost  = 4 << 10 // bytes
	backupVersion = 1
	keysetName    = keysDir + "/keyset"
)

// BackupOptions says what goes into a backup. The zero value is good.
type BackupOptions struct {
	// Keys takes the payload keys along: who has the backup can read what is not erased, unless the keyset
	// is wrapped. Without, the copy opens and verifies, and says of sealed payloads that their key is
	// missing, or that they were shredded.
	Keys bool

	// Progress is told after each piece how many bytes were copied, and of how many. All is -1 when that is
	// not known.
	Progress func(done, all int64)
}

// Copied says what a backup has, or a journal that was restored from one.
type Copied struct {
	Name     string
	Lineage  causal.Lineage
	Seal     keystore.Granularity
	Head     uint64      // sequence of the last event; events have no gaps, so it is their number
	Hash     causal.Hash // of the last event; zero when there is none
	Segments int
	Bytes    int64     // of the files
	Keys     bool      // with the payload keys
	Taken    time.Time // when the backup was begun
}

// manifest is what a backup says of itself: without it, nothing would tell that its end is missing.
type manifest struct {
	Format  int       `json:"format"`
	Journal string    `json:"journal"`
	Lineage string    `json:"lineage"`
	Head    uint64    `json:"head"`
	Hash    string    `json:"hash"`
	Keys    bool      `json:"keys"`
	Taken   time.Time `json:"taken"`
}

// Backup copies the journal in the root of from, which a process may be writing, into the root of to, which
// must be empty (ErrNotEmpty). It has everything that was acknowledged before the call, in whole groups, and
// all of it is durable in both places when Backup returns. Each byte is checked on its way. Until all is
// durable the copy has no meta, so it is never taken for a journal; after an error nothing is left of it, or
// as little as the disk lets be removed.
//
// The log is copied before the keys. So each ciphertext in the copy has its key, and of a key that was destroyed
// meanwhile there is either a tombstone in the keys, or the erasure in the log, which is applied when the copy
// is opened.
//
// Damage is a *DamageError or ErrDamaged; a folder without a journal is fs.ErrNotExist; what is about the copy
// and not the journal is a *TargetError.
func Backup(ctx context.Context, from, to faultfs.FS, o BackupOptions) (Copied, error) {
	dst, err := newFolder(to)
	if err != nil {
		return Copied{}, ofTarget(err)
	}
	c, err := back(ctx, from, dst, o)
	if err != nil {
		dst.discard()
		return Copied{}, err
	}
	return c, nil
}

// BackupTar is Backup into a stream in the tar format. Without keys there is no keyset in it; Restore makes
// one. A stream that was cut anywhere is refused by RestoreTar.
func BackupTar(ctx context.Context, from faultfs.FS, to io.Writer, o BackupOptions) (Copied, error) {
	return back(ctx, from, &archive{w: tar.NewWriter(to), taken: time.Now()}, o)
}

// destination is where the files of a copy go, one after the other.
type destination interface {
	// create begins a file of a size. Exactly that many bytes are written to it, then it is closed.
	create(name string, size int64) (io.WriteCloser, error)
	// noKeys makes what stands for a keyset in a copy without one.
	noKeys(ctx context.Context, g keystore.Granularity) error
	// finish puts the meta into its place, last of all, and makes everything durable.
	finish(meta []byte) error
}

// backup is one on its way.
type backup struct {
	from     faultfs.FS
	to       destination
	meta     *meta
	progress func(done, all int64)
	all      int64
	copied   Copied
}

func back(ctx context.Context, from faultfs.FS, to destination, o BackupOptions) (Copied, error) {
	taken := time.Now().UTC()
	m, err := loadMeta(from)
	if err == nil && m == nil {
		err = fmt.Errorf("journal: back up: there is no journal: %w", fs.ErrNotExist)
	}
	if err != nil {
		return Copied{}, err
	}
	b := &backup{from: from, to: marked{to}, meta: m, progress: o.Progress}
	b.copied = Copied{Name: m.name, Lineage: m.lineage, Seal: m.seal, Taken: taken, Keys: o.Keys && m.seal != keystore.None}
	if err := b.segments(ctx); err != nil {
		return Copied{}, err
	}
	if err := b.keys(ctx); err != nil {
		return Copied{}, err
	}
	c := &b.copied
	text, err := json.Marshal(manifest{Format: backupVersion, Journal: c.Name, Lineage: c.Lineage.String(), Head: c.Head,
		Hash: c.Hash.String(), Keys: c.Keys, Taken: taken})
	if err != nil {
		return Copied{}, fmt.Errorf("journal: back up: %w", err)
	}
	if err := b.file(manifestName, append(text, '\n')); err != nil {
		return Copied{}, err
	}
	if err := b.to.finish(m.encode()); err != nil {
		return Copied{}, fmt.Errorf("journal: back up: %w", err)
	}
	return *c, nil
}

// file copies a file that is in memory.
func (b *backup) file(name string, data []byte) error {
	w, err := b.to.create(name, int64(len(data)))
	if err == nil {
		_, err = w.Write(data)
		err = errors.Join(err, w.Close())
	}
	if err != nil {
		return fmt.Errorf("journal: back up %s: %w", name, err)
	}
	b.copied.Bytes += int64(len(data))
	return nil
}

func (b *backup) keys(ctx context.Context) error {
	switch {
	case b.meta.seal == keystore.None:
		return nil
	case !b.copied.Keys:
		if err := b.to.noKeys(ctx, b.meta.seal); err != nil {
			return fmt.Errorf("journal: back up without keys: %w", err)
		}
		return nil
	}
	data, _, err := keystore.Snapshot(ctx, faultfs.Sub(b.from, keysDir))
	if errors.Is(err, keystore.ErrDamaged) || errors.Is(err, keystore.ErrNotExist) {
		return fmt.Errorf("journal: %w: %w", ErrDamaged, err)
	}
	if err != nil {
		return fmt.Errorf("journal: back up keys: %w", err)
	}
	defer clear(data)
	return b.file(keysetName, data)
}

// segments copies the log as it is at the call. Segments that are added meanwhile are no part of it.
func (b *backup) segments(ctx context.Context) error {
	firsts, err := listSegments(b.from)
	if err != nil {
		return err
	}
	if len(firsts) == 0 || firsts[0] != 1 {
		return &DamageError{File: segmentName(1), Offset: -1, Seq: 1, Reason: "missing"}
	}
	for i, first := range firsts {
		next := uint64(0)
		if i+1 < len(firsts) {
			next = firsts[i+1]
		}
		if err := b.segment(ctx, first, next, int64(len(firsts))); err != nil {
			return err
		}
	}
	return nil
}

// segment copies one segment. Next is the first sequence of the one behind it, 0 when there is none.
func (b *backup) segment(ctx context.Context, first, next uint64, of int64) error {
	s := &segment{name: segmentName(first), first: first, end: segmentStart}
	f, err := b.from.OpenFile(s.name, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("journal: back up: %w", err)
	}
	defer f.Close()
	s.file = f
	if err := s.readHeader(b.meta.lineage); err != nil {
		return err
	}
	cut, err := s.scan(ctx, func(logEvent) error { return nil })
	switch {
	case err != nil:
		return err
	case next == 0:
		cut, err = s.settled(ctx, cut)
	case cut.broken != nil:
		err = cut.broken
	case cut.next != next:
		err = s.damage(cut.end, cut.next, "segment ends before event %d, the first of the next segment", next)
	}
	if err != nil {
		return err
	}
	if b.copied.Segments == 0 {
		b.all = of * s.size // near enough: they are all of one size, unless that was changed
	}
	if err := b.copySegment(ctx, s, cut); err != nil {
		return err
	}
	b.copied.Segments++
	b.copied.Head = cut.next - 1
	return nil
}

// settleTries is how often the end of the open segment is looked at: each time that it has moved, once more.
const settleTries = 8

// settled sees to it that the groups of the open segment up to cut are all that were durable when they were
// read, and that they are durable. It returns a later cut when there are more by now: a process may be writing
// behind them, and a reading may have gone wrong.
func (s *segment) settled(ctx context.Context, cut tail) (tail, error) {
	for range settleTries {
		clean, err := s.judge(ctx, cut)
		if clean {
			break
		}
		if err != nil && !errors.Is(err, ErrDamaged) {
			return cut, err
		}
		again, e := s.scan(ctx, func(logEvent) error { return nil })
		switch {
		case e != nil:
			return cut, e
		case again.end < cut.end:
			return cut, s.damage(again.end, again.next, "two readings differ: the groups end at offset %d, then at offset %d", cut.end, again.end)
		case again.end == cut.end && err != nil: // nobody was writing it just then
			return cut, err
		case again.end == cut.end:
			return cut, s.syncForCopy()
		}
		cut = again
	}
	return cut, s.syncForCopy()
}

// syncForCopy makes what was read durable. Its writer may be between write and sync, and a copy must not have
// what its original might lose.
func (s *segment) syncForCopy() error {
	if err := s.file.SyncData(); err != nil {
		return fmt.Errorf("journal: back up %s: sync: %w", s.name, err)
	}
	return nil
}

// copySegment copies the groups up to cut, and zeros behind them.
func (b *backup) copySegment(ctx context.Context, s *segment, cut tail) (err error) {
	w, err := b.to.create(s.name, s.size)
	if err != nil {
		return fmt.Errorf("journal: back up %s: %w", s.name, err)
	}
	defer func() {
		if e := w.Close(); err == nil && e != nil {
			err = fmt.Errorf("journal: back up %s: %w", s.name, e)
		}
	}()
	head := append(s.appendHeader(nil, b.meta.lineage), zeros[:segmentStart-segmentHeader]...)
	t := &through{File: s.file, w: w, pos: segmentStart, wrote: b.wrote}
	if _, err := w.Write(head); err != nil {
		return fmt.Errorf("journal: back up %s: %w", s.name, err)
	}
	b.wrote(len(head))
	part := &segment{name: s.name, file: t, first: s.first, size: cut.end, salt: s.salt, crc: s.crc}
	last := cut.next - 1
	again, err := part.scan(ctx, func(e logEvent) error {
		if e.seq != last {
			return nil
		}
		ev, err := codec.DecodeEnvelope(e.envelope)
		if err != nil {
			return s.damage(e.offset, e.seq, "envelope: %v", err)
		}
		b.copied.Hash = ev.Hash
		return nil
	})
	switch {
	case t.err != nil:
		return fmt.Errorf("journal: back up %s: %w", s.name, t.err)
	case err != nil:
		return err
	case again.broken != nil:
		return again.broken
	case again.end != cut.end || again.next != cut.next || t.pos != cut.end:
		return s.damage(min(again.end, cut.end), min(again.next, cut.next), "two readings differ")
	}
	for left := s.size - cut.end; left > 0; left -= zeroChunk {
		n := int(min(left, zeroChunk))
		if _, err := w.Write(zeros[:n]); err != nil {
			return fmt.Errorf("journal: back up %s: %w", s.name, err)
		}
		b.wrote(n)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (b *backup) wrote(n int) {
	b.copied.Bytes += int64(n)
	if b.progress != nil {
		b.progress(b.copied.Bytes, max(b.all, b.copied.Bytes))
	}
}

// through is a file that is read from front to back, and writes what is read. So what was checked is what was
// written.
type through struct {
	faultfs.File
	w     io.Writer
	pos   int64 // up to where it has written
	err   error // of writing
	wrote func(n int)
}

func (t *through) ReadAt(p []byte, off int64) (int, error) {
	n, err := t.File.ReadAt(p, off)
	if err != nil {
		return n, err
	}
	if off > t.pos {
		return 0, errors.New("read with a gap")
	}
	if fresh := off + int64(n) - t.pos; fresh > 0 {
		if _, t.err = t.w.Write(p[int64(n)-fresh : n]); t.err != nil {
			return 0, t.err
		}
		t.pos += fresh
		t.wrote(int(fresh))
	}
	return n, nil
}
