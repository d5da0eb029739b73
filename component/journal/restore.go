package journal

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"batpak/faultfs"
	"batpak/keystore"
)

// ErrBackup is matched by every BackupError.
var ErrBackup = errors.New("not a good backup")

// BackupError says why nothing was restored from a backup.
type BackupError struct {
	File   string // in the backup; empty when it is about the backup as a whole
	Reason string
	Err    error // what was found, a *DamageError for example; may be nil
}

func (e *BackupError) Error() string {
	s := "journal: restore: "
	if e.File != "" {
		s += e.File + ": "
	}
	s += e.Reason
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns ErrBackup and the cause.
func (e *BackupError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrBackup}
	}
	return []error{ErrBackup, e.Err}
}

// RestoreOptions says how a backup is restored. The zero value is good.
type RestoreOptions struct {
	// Keys has the Wrapper of a backup whose keyset is wrapped. A backup without keys gets an empty keyset,
	// which is protected by it.
	Keys keystore.Options

	// Beyond gives the erasures that somebody knows to have happened after the backup, with the ids of the
	// keys that they destroyed. They are applied to the keys before there is a journal that could be opened.
	// The journal is for reading, during the call alone. An error ends the restore.
	Beyond func(ctx context.Context, j *Journal) ([]ErasureRecord, error)

	// Progress is as in BackupOptions.
	Progress func(done, all int64)

	// Logger is told what opening the copy tells. Nil discards.
	Logger *slog.Logger
}

// Restored says what a journal has that was restored.
type Restored struct {
	Copied
	Erasures  int // from beyond the backup that were applied
	Destroyed int // keys that they destroyed, and that the backup had or did not know of
}

// Restore makes the journal of a backup in the root of to, which must be empty (ErrNotEmpty). From is a folder
// that Backup has filled.
//
// Nothing of the backup is believed: sizes and names are checked, the log is read through with every hash and
// chain, it must end with the event that the backup says, and the keys must load. Erasures in the log
// are applied to the keys, so a keyset from before them opens nothing that was erased. The meta is put into
// place last, when all else is durable: before that, nothing there can be opened. What is wrong with the backup
// is a *BackupError; after an error nothing is left in the folder, or as little as the disk lets be removed.
//
// A journal that is restored goes on from where its backup ended. Whoever has seen events beyond that, as an
// onward stream has, then disagrees with it.
func Restore(ctx context.Context, from, to faultfs.FS, o RestoreOptions) (Restored, error) {
	src, err := openBackup(ctx, from)
	if err != nil {
		return Restored{}, err
	}
	defer src.close()
	return restore(ctx, src, to, o)
}

// RestoreTar is Restore from what BackupTar wrote. It reads no more than the files that belong to a backup, in
// the order in which they were written, and refuses anything else.
func RestoreTar(ctx context.Context, from io.Reader, to faultfs.FS, o RestoreOptions) (Restored, error) {
	return restore(ctx, &tarSource{r: tar.NewReader(from)}, to, o)
}

// restoration is one on its way.
type restoration struct {
	to       *folder
	o        RestoreOptions
	buf      []byte
	segments int
	last     uint64 // first sequence of the last segment
	keys     bool
	manifest *manifest
	meta     *meta
	done     int64
	all      int64
}

func restore(ctx context.Context, src source, to faultfs.FS, o RestoreOptions) (Restored, error) {
	dst, err := newFolder(to)
	if err != nil {
		return Restored{}, err
	}
	r := &restoration{to: dst, o: o, buf: make([]byte, zeroChunk), all: src.size()}
	got, err := r.run(ctx, src)
	if err != nil {
		dst.discard()
		return Restored{}, err
	}
	return got, nil
}

func (r *restoration) run(ctx context.Context, src source) (got Restored, err error) {
	if err := r.files(ctx, src); err != nil {
		return got, err
	}
	m, head := r.manifest, r.meta
	if m.Journal != head.name || m.Lineage != head.lineage.String() {
		return got, &BackupError{File: manifestName, Reason: "it is of another journal than " + metaName}
	}
	if m.Keys != r.keys {
		return got, &BackupError{File: keysetName, Reason: fmt.Sprintf("the backup has keys: %v, and says so: %v", r.keys, m.Keys)}
	}
	if !r.keys && head.seal != keystore.None {
		if err := newKeys(ctx, r.to.fsys, head.seal, r.o.Keys); err != nil {
			return got, fmt.Errorf("journal: restore without keys: %w", err)
		}
	}
	if err := r.to.syncNames(); err != nil {
		return got, fmt.Errorf("journal: restore: %w", err)
	}
	if got, err = r.check(ctx); err != nil {
		return got, err
	}
	if err := r.to.finish(head.encode()); err != nil {
		return got, fmt.Errorf("journal: restore: %w", err)
	}
	return got, nil
}

// check opens the copy, and compares it with what the backup says of itself.
func (r *restoration) check(ctx context.Context) (got Restored, err error) {
	j, err := Open(ctx, r.to.fsys, Options{Keys: r.o.Keys, Logger: r.o.Logger, restored: r.meta})
	if errors.Is(err, ErrDamaged) {
		return got, &BackupError{Reason: "it does not open", Err: err}
	}
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	found, err := j.Verify(ctx, 0, 0)
	var wrong *VerifyError
	if errors.As(err, &wrong) || errors.Is(err, ErrDamaged) {
		return got, &BackupError{Reason: "it does not verify", Err: err}
	}
	if err != nil {
		return got, err
	}
	if err := r.reaches(j); err != nil {
		return got, err
	}
	got.Copied = Copied{Name: j.name, Lineage: j.lineage, Seal: j.seal, Head: found.Head, Hash: found.Hash,
		Segments: r.segments, Bytes: r.done, Keys: r.keys, Taken: r.manifest.Taken}
	if r.o.Beyond == nil {
		return got, nil
	}
	records, err := r.o.Beyond(ctx, j)
	if err != nil {
		return got, err
	}
	got.Erasures = len(records)
	got.Destroyed, err = j.applyBeyond(records)
	return got, err
}

// reaches says whether the log ends with the event that the backup says.
func (r *restoration) reaches(j *Journal) error {
	m := r.manifest
	if j.Visible() > m.Head {
		return &BackupError{Reason: fmt.Sprintf("it ends with event %d, and ended with event %d when it was taken: somebody has written to it", j.Visible(), m.Head)}
	}
	if j.Visible() < m.Head {
		return &BackupError{Reason: fmt.Sprintf("it ends with event %d, and says that it ends with event %d", j.Visible(), m.Head)}
	}
	hash := ""
	if m.Head > 0 {
		ev, err := j.GetSeq(m.Head)
		if err != nil {
			return err
		}
		hash = ev.Hash.String()
	}
	if m.Head > 0 && hash != m.Hash {
		return &BackupError{Reason: fmt.Sprintf("event %d has another hash than the backup says", m.Head)}
	}
	return nil
}

// applyBeyond destroys the keys of erasures that the log does not have, durably.
func (j *Journal) applyBeyond(records []ErasureRecord) (destroyed int, err error) {
	if len(records) == 0 || j.keys == nil {
		return 0, nil
	}
	for i := range records {
		e := &records[i]
		scope, err := j.scopeOf(e.payload())
		if err != nil {
			return destroyed, fmt.Errorf("journal: the erasure of event %d: %w", e.Seq, err)
		}
		if len(e.Keys) == 0 { // without ids, Destroy is about the live key
			continue
		}
		ids, err := j.keys.Destroy(scope, e.Keys...)
		if err != nil {
			return destroyed, fmt.Errorf("journal: the erasure of event %d: %w", e.Seq, err)
		}
		destroyed += len(ids)
	}
	if err := j.keys.Flush(); err != nil {
		return destroyed, fmt.Errorf("journal: %w: apply erasures to the keyset: %w", ErrStorage, err)
	}
	return destroyed, nil
}

// files copies what the source has, in its order: segments, keys, manifest, meta.
func (r *restoration) files(ctx context.Context, src source) error {
	for r.meta == nil {
		e, err := src.next()
		if err == io.EOF {
			return &BackupError{Reason: "it ends before " + metaName, Err: io.ErrUnexpectedEOF}
		}
		if err != nil {
			return err
		}
		if err := r.file(ctx, e); err != nil {
			return err
		}
	}
	if e, err := src.next(); err == nil {
		return &BackupError{File: printName(e.name), Reason: "it comes after " + metaName}
	} else if err != io.EOF {
		return err
	}
	return nil
}

// file takes in one file.
func (r *restoration) file(ctx context.Context, e entry) error {
	bad := func(format string, args ...any) error {
		return &BackupError{File: printName(e.name), Reason: fmt.Sprintf(format, args...)}
	}
	first, isSegment := segmentOfName(e.name)
	switch {
	case isSegment:
		if r.keys || r.manifest != nil || first <= r.last {
			return bad("it is out of order")
		}
		if r.segments == 0 && first != 1 {
			return bad("the segments before it are missing")
		}
		if e.size < MinSegmentBytes || e.size > MaxSegmentBytes {
			return bad("a segment has %d to %d bytes, not %d", MinSegmentBytes, int64(MaxSegmentBytes), e.size)
		}
		r.segments, r.last = r.segments+1, first
		return r.copy(ctx, e)
	case r.segments == 0:
		return bad("it does not belong in front of the segments")
	case e.name == keysetName && !r.keys && r.manifest == nil:
		r.keys = true
		return r.copy(ctx, e)
	case e.name == manifestName && r.manifest == nil:
		var err error
		r.manifest, err = readManifest(e)
		return err
	case e.name == metaName && r.manifest != nil:
		b, err := small(e, 256)
		if err != nil {
			return err
		}
		if r.meta, err = decodeMeta(b); errors.Is(err, ErrDamaged) {
			return &BackupError{File: metaName, Reason: "not what was written", Err: err}
		}
		return err
	}
	return bad("it does not belong into a backup, or not here")
}

// copy puts a file where it belongs, with no more bytes than there are.
func (r *restoration) copy(ctx context.Context, e entry) (err error) {
	w, err := r.to.open(e.name, e.size) // and no room is reserved: the size is what somebody claims
	if err != nil {
		return fmt.Errorf("journal: restore %s: %w", e.name, err)
	}
	defer func() {
		if e := w.Close(); err == nil && e != nil {
			err = fmt.Errorf("journal: restore: %w", e)
		}
	}()
	for left := e.size; left > 0; {
		n, err := io.ReadFull(e.r, r.buf[:min(left, int64(len(r.buf)))])
		if err != nil {
			return unreadable(e.name, err)
		}
		if _, err := w.Write(r.buf[:n]); err != nil {
			return fmt.Errorf("journal: restore %s: %w", e.name, err)
		}
		left -= int64(n)
		r.done += int64(n)
		if r.o.Progress != nil {
			r.o.Progress(r.done, r.all)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// small reads a file of at most so many bytes.
func small(e entry, most int64) ([]byte, error) {
	if e.size > most {
		return nil, &BackupError{File: e.name, Reason: fmt.Sprintf("%d bytes are too many", e.size)}
	}
	b := make([]byte, e.size)
	if _, err := io.ReadFull(e.r, b); err != nil {
		return nil, unreadable(e.name, err)
	}
	return b, nil
}

// readManifest reads what a backup says of itself.
func readManifest(e entry) (*manifest, error) {
	b, err := small(e, manifestMost)
	if err != nil {
		return nil, err
	}
	m := new(manifest)
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return nil, &BackupError{File: e.name, Reason: "not what was written", Err: err}
	}
	if m.Format != backupVersion {
		return nil, fmt.Errorf("journal: restore: the backup has format %d, this program reads format %d", m.Format, backupVersion)
	}
	return m, nil
}
