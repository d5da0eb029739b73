package journal_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/faultfs/faulttest"
	"batpak/keystore"
)

// What a workload promises: a batch is there; it is not and never will be, unless it is sent again; or the journal was
// closed, with so many sealed segments, and opens from its caches from then on.
type (
	kept struct {
		n        int
		receipts []codec.Receipt
	}
	refused struct{ n int }
	resent  struct{ n int }
	closed  struct{ sealed int }
)

var explored = journal.Options{Name: "explored", Seal: keystore.Entity, SegmentBytes: 16 << 10, Keys: keystore.Options{Reserve: 2}}

// numbered is the n-th batch of the workload: of one event or three, small ones and some that fill a
// segment quickly, for entities that have a key and for new ones, with a key or without.
func numbered(n int) *journal.Batch {
	data := func(i, size int) []byte {
		b := binary.BigEndian.AppendUint16([]byte{0xc5}, uint16(size+8))
		b = binary.BigEndian.AppendUint64(b, uint64(n)<<8|uint64(i))
		return append(b, bytes.Repeat([]byte{byte(n)}, size)...)
	}
	b := &journal.Batch{}
	switch n % 5 {
	case 0:
		b.Events = []journal.Append{{Coordinate: at(fmt.Sprintf("new%d", n)), Kind: 0x1001, Data: data(0, 20)}}
	case 1:
		b.Events = []journal.Append{{Coordinate: at("a"), Kind: 0x1001, Data: data(0, 1200)}}
	case 2:
		for i, entity := range []string{"a", fmt.Sprintf("new%d", n), "b"} {
			b.Events = append(b.Events, journal.Append{Coordinate: at(entity), Kind: 0x1001, Data: data(i, 400*i)})
		}
	default:
		b.Events = []journal.Append{{Coordinate: at("b"), Kind: 0x1001, Data: data(0, 100*n%1000)}}
	}
	if n%2 == 0 {
		b.Key = fmt.Sprintf("key%d", n)
	}
	return b
}

// numberOf is which batch, and which of its events, a payload is of.
func numberOf(payload []byte) (n, i int) {
	if len(payload) < 11 {
		return -1, 0
	}
	v := binary.BigEndian.Uint64(payload[3:])
	return int(v >> 8), int(v & 0xff)
}

// during calls a function once, right before events are written to a segment: what it submits is staged
// while a group is on its way to the disk. It also counts the bytes that are read of each segment.
type during struct {
	faultfs.FS
	write func()
	read  map[string]int // until Open returns, when others begin to read
}

func (d *during) OpenFile(name string, flag int, perm fs.FileMode) (faultfs.File, error) {
	f, err := d.FS.OpenFile(name, flag, perm)
	if err != nil || !strings.HasPrefix(name, "segments/") {
		return f, err
	}
	return &duringFile{f, d, name}, nil
}

type duringFile struct {
	faultfs.File
	d    *during
	name string
}

func (f *duringFile) ReadAt(p []byte, off int64) (int, error) {
	if f.d.read != nil {
		f.d.read[f.name] += len(p)
	}
	return f.File.ReadAt(p, off)
}

func (f *duringFile) WriteAt(p []byte, off int64) (int, error) {
	if write := f.d.write; write != nil && off > 4095 && len(p) < 64<<10 && !allZero(p) {
		f.d.write = nil
		write()
	}
	return f.File.WriteAt(p, off)
}

func allZero(p []byte) bool { return len(bytes.Trim(p, "\x00")) == 0 }

// exploredWorkload appends numbered batches: alone, several in flight with one group being written while
// the next is staged, with retries of keys, over rotations, and with the journal closed and opened again.
func exploredWorkload(o journal.Options, fsys faultfs.FS, steps int, ack func(any)) (err error) {
	d := &during{FS: fsys}
	o, warned := listening(o)
	j, err := journal.Open(context.Background(), d, o)
	if err != nil {
		return err
	}
	end := func() error {
		sealed := j.Stats().Segments - 1
		err := j.Close()
		if err == nil && j.Poisoned() == nil && !warned.about("not") {
			ack(closed{sealed})
		}
		return err
	}
	defer func() {
		if j != nil {
			err = errors.Join(err, end())
		}
	}()
	n, sent := 0, map[int]bool{}
	for step := range steps {
		done := make(chan error, 8)
		submit := func(n int) {
			b, again := numbered(n), sent[n]
			sent[n] = true
			if again {
				ack(resent{n})
			}
			err := j.Submit(b, func(r []codec.Receipt, err error) {
				switch {
				case err == nil:
					ack(kept{n, keep(r)})
				case errors.Is(err, journal.ErrPoisoned): // nobody knows
				case again: // the first time decides
				default:
					ack(refused{n})
				}
				done <- err
			})
			if err != nil {
				done <- err
			}
		}
		waits := 1
		switch step % 4 {
		default:
			submit(n)
		case 1: // one is being written, and three wait for it
			waits = 4
			began := n
			d.write = func() {
				for i := range 3 {
					submit(began + 1 + i)
				}
			}
			submit(n)
		case 3:
			if step%12 == 11 { // another process
				if err := end(); err != nil {
					j = nil
					return err
				}
				if j, err = journal.Open(context.Background(), d, o); err != nil {
					return err
				}
			}
			submit(n - n%2) // again, when it has a key
		}
		var failed error
		for i := 0; i < waits; i++ {
			if err := <-done; errors.Is(err, journal.ErrPoisoned) {
				failed = err
				if d.write != nil { // the first was not written, so the others were not submitted
					d.write = nil
					break
				}
			} else if i == 0 && err != nil && d.write != nil {
				d.write = nil
				break
			}
		}
		if failed != nil {
			return failed
		}
		n += waits
	}
	if warned.about("not") {
		return errSlow
	}
	return nil
}

// warnings is what a journal warned of.
type warnings struct {
	slog.Handler
	mu   sync.Mutex // guards text
	text strings.Builder
}

func listening(o journal.Options) (journal.Options, *warnings) {
	w := &warnings{Handler: slog.DiscardHandler}
	o.Logger = slog.New(w)
	return o, w
}

func (w *warnings) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.WriteString(r.Message)
	return nil
}

func (w *warnings) about(word string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Contains(w.text.String(), word)
}

// errSlow says that a journal was closed and that its caches were not used.
var errSlow = errors.New("was closed, and opened the slow way")

// refusal says whether an error is one that a disk which fails excuses.
func refusal(err error) bool {
	for _, is := range []error{syscall.EIO, syscall.ENOSPC, syscall.EDQUOT, io.ErrUnexpectedEOF, io.EOF,
		journal.ErrDamaged, journal.ErrStorage, journal.ErrPoisoned, keystore.ErrDamaged, errSlow, errUnmarked} {
		if errors.Is(err, is) {
			return true
		}
	}
	var v *journal.VerifyError
	return errors.As(err, &v)
}

// exploredCheck opens what is there. It must have each batch that was acknowledged, none that was refused, and of the
// others some, whole, in the order of the workload.
func exploredCheck(o journal.Options, fsys faultfs.FS, acked []any, ack func(any)) error {
	err := recoverAndUse(o, fsys, acked, ack)
	if err != nil && !refusal(err) {
		return faulttest.Violated("%v", err)
	}
	return err
}

func recoverAndUse(o journal.Options, fsys faultfs.FS, acked []any, ack func(any)) (err error) {
	if err := noticesRot(fsys, acked); err != nil {
		return err
	}
	o, warned := listening(o)
	d := &during{FS: fsys, read: map[string]int{}}
	j, err := journal.Open(context.Background(), d, o)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	scanned := d.read
	d.read = nil
	defer func() {
		sealed := j.Stats().Segments - 1
		closeErr := j.Close()
		if closeErr == nil && j.Poisoned() == nil && !warned.about("not") {
			ack(closed{sealed})
		}
		err = errors.Join(err, closeErr)
	}()
	for _, p := range acked {
		if p, ok := p.(closed); ok && warned.about("checkpoint") {
			return fmt.Errorf("%w: without its checkpoint", errSlow)
		} else if ok {
			if err := onlyUpTo(fsys, scanned, p.sealed); err != nil {
				return err
			}
		}
	}
	events, err := audit(j)
	if err != nil {
		return err
	}
	var promised []ackedBatch
	var next int
	gone := map[int]bool{}
	for _, p := range acked {
		switch p := p.(type) {
		case kept:
			promised = append(promised, ackedBatch{numbered(p.n), p.receipts})
			next = max(next, p.n+1)
		case resent:
			delete(gone, p.n)
		case refused:
			gone[p.n] = true
			next = max(next, p.n+1)
		}
	}
	if err := holds(j, events, promised); err != nil {
		return err
	}
	last, err := inOrder(j, events, gone)
	if err != nil {
		return err
	}
	if err := retries(j, promised); err != nil {
		return err
	}
	n := max(next, last+1)
	n += (5 - n%5) % 5 // of a new entity
	r, err := j.Append(context.Background(), numbered(n))
	if err != nil {
		return fmt.Errorf("append after recovery: %w", err)
	}
	if r[0].Seq != uint64(len(events))+1 || r[0].Duplicate {
		return fmt.Errorf("append after recovery got %d after %d events", r[0].Seq, len(events))
	}
	ack(kept{n, r})
	if warned.about("index not") || warned.about("not written") {
		return errSlow
	}
	return nil
}

// onlyUpTo checks that the first segments, so many, were not read through: their indexes were good.
func onlyUpTo(fsys faultfs.FS, read map[string]int, sealed int) error {
	names, err := fs.Glob(fsys, "segments/*.seg")
	if err != nil {
		return err
	}
	for _, name := range names[:min(sealed, len(names))] {
		if read[name] > int(explored.SegmentBytes)/2 {
			return fmt.Errorf("%w: %s was read through", errSlow, name)
		}
	}
	return nil
}

// inOrder checks that the events are whole numbered batches, in order, none of those that must be gone, and returns the
// last one's number.
func inOrder(j *journal.Journal, events []causal.Event, gone map[int]bool) (last int, err error) {
	last = -1
	for at := 0; at < len(events); {
		data, _, err := j.Payload(&events[at])
		if err != nil {
			return last, fmt.Errorf("event %d: %w", at+1, err)
		}
		n, _ := numberOf(data)
		if n <= last || gone[n] {
			return last, fmt.Errorf("event %d is of batch %d, after batch %d", at+1, n, last)
		}
		for i, a := range numbered(n).Events {
			if at == len(events) {
				return last, fmt.Errorf("batch %d ends with event %d of it", n, i)
			}
			ev := &events[at]
			data, _, err := j.Payload(ev)
			if err != nil {
				return last, fmt.Errorf("event %d: %w", at+1, err)
			}
			if ev.Coordinate != a.Coordinate || !bytes.Equal(data, a.Data) {
				return last, fmt.Errorf("event %d is not %d of batch %d", at+1, i, n)
			}
			at++
		}
		last = n
	}
	return last, nil
}

func exploredTest(m faultfs.Model, steps int) faulttest.Test {
	return exploredWith(explored, m, steps)
}

func exploredWith(o journal.Options, m faultfs.Model, steps int) faulttest.Test {
	return faulttest.Test{
		Model: m, Steps: steps,
		Run:   func(fsys faultfs.FS, steps int, ack func(any)) error { return exploredWorkload(o, fsys, steps, ack) },
		Check: func(fsys faultfs.FS, acked []any, ack func(any)) error { return exploredCheck(o, fsys, acked, ack) },
	}
}

// With -faultfs.deep this takes many hours; it can be interrupted.
func TestExploreJournal(t *testing.T) {
	deep := faulttest.Options{Recover: 1, RecoverKills: 1, RecoverFaults: 300, Schedules: 8, EveryFault: true}
	for _, tc := range []struct {
		name     string
		model    faultfs.Model
		steps    int
		quick    faulttest.Options
		distinct int // images, at least
	}{
		{"POSIX", faultfs.POSIX, 24, faulttest.Options{Recover: 4000, RecoverKills: 200, RecoverFaults: 2, Schedules: 2}, 10_000},
		{"ext4", faultfs.Ext4, 12, faulttest.Options{Recover: 400, RecoverKills: 60}, 500},
		{"Btrfs", faultfs.Btrfs, 12, faulttest.Options{Recover: 400, RecoverKills: 60}, 500},
	} {
		t.Run(tc.name, func(t *testing.T) {
			switch {
			case faulttest.Deep():
				tc.steps = 14 // recoveries are many, and of a short journal they are quick
			case underRace:
				tc.steps, tc.quick.Schedules = 6, 1
			}
			r := faulttest.Explore(t, exploredTest(tc.model, tc.steps), faulttest.Bounds(tc.quick, deep))
			t.Logf("%s%v", r, r.Elapsed)
			if !r.Stopped && !r.Complete() {
				t.Error("not every operation was made to fail and crashed at")
			}
			if !r.Stopped && !underRace && r.Distinct < tc.distinct {
				t.Errorf("%d distinct images, want %d", r.Distinct, tc.distinct)
			}
		})
	}
}
