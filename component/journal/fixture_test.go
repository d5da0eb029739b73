package journal_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"reflect"
	"sync"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/faultfs"
)

const (
	small    = 64 << 10 // a segment of a few events: rotation is cheap
	smallest = 16 << 10 // the smallest that there is
)

// openDir opens the journal in a directory and closes it with the test.
func openDir(tb testing.TB, dir string, o journal.Options) *journal.Journal {
	tb.Helper()
	return openFS(tb, realDir(tb, dir), o)
}

// realDir is a directory as an FS.
func realDir(tb testing.TB, dir string) faultfs.FS {
	tb.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { root.Close() })
	return faultfs.Dir(root)
}

// openFS opens a journal and closes it with the test; closing it earlier is fine.
func openFS(tb testing.TB, fsys faultfs.FS, o journal.Options) *journal.Journal {
	tb.Helper()
	j, err := journal.Open(context.Background(), fsys, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := j.Close(); err != nil {
			tb.Error(err)
		}
	})
	return j
}

// payload is a msgpack bin of n bytes in all.
func payload(n int) []byte {
	if n > 1<<16 {
		return append(binary.BigEndian.AppendUint32([]byte{0xc6}, uint32(n-5)), bytes.Repeat([]byte{'x'}, n-5)...)
	}
	return append([]byte{0xc5, byte((n - 3) >> 8), byte(n - 3)}, bytes.Repeat([]byte{'x'}, n-3)...)
}

// number is the msgpack of n, always 9 bytes.
func number(n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{0xcf}, n)
}

func at(entity string) causal.Coordinate { return causal.Coordinate{Scope: "s", Entity: entity} }

func stream(entity string) causal.Stream { return causal.Stream{Coordinate: at(entity)} }

// event is an append of n at an entity.
func event(entity string, n uint64) journal.Append {
	return journal.Append{Coordinate: at(entity), Kind: 0x1001, Data: number(n)}
}

// large is an event of about size bytes.
func large(entity string, size int) journal.Append {
	return journal.Append{Coordinate: at(entity), Kind: 0x1001, Data: payload(size)}
}

func one(a journal.Append) *journal.Batch { return &journal.Batch{Events: []journal.Append{a}} }

func keyed(key string, events ...journal.Append) *journal.Batch {
	return &journal.Batch{Events: events, Key: key}
}

func ptr[T any](v T) *T { return &v }

// mustAppend appends and fails the test when that does not succeed.
func mustAppend(tb testing.TB, j *journal.Journal, b *journal.Batch) []codec.Receipt {
	tb.Helper()
	r, err := j.Append(context.Background(), b)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// appendErr appends and returns the error.
func appendErr(j *journal.Journal, b *journal.Batch) error {
	_, err := j.Append(context.Background(), b)
	return err
}

// fill appends large events until the journal has so many segments.
func fill(tb testing.TB, j *journal.Journal, segments int) {
	tb.Helper()
	for i := 0; j.Stats().Segments < segments; i++ {
		mustAppend(tb, j, one(large(fmt.Sprintf("fill%d", i%3), 6000)))
	}
}

// acked is what a journal has promised.
type acked struct {
	mu      sync.Mutex
	batches []ackedBatch
}

type ackedBatch struct {
	batch    *journal.Batch
	receipts []codec.Receipt
}

func (a *acked) add(b *journal.Batch, r []codec.Receipt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.batches = append(a.batches, ackedBatch{b, r})
}

// upTo returns what was promised so far.
func (a *acked) upTo() []ackedBatch {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.batches[:len(a.batches):len(a.batches)]
}

// audit reads a journal in every way that touches each event, and says what is not as it must be:
// a gap, half a batch, a broken chain, a read that disagrees with another. It returns the events.
func audit(j *journal.Journal) ([]causal.Event, error) {
	ctx := context.Background()
	head := j.Visible()
	var events []causal.Event
	last, err := j.Scan(ctx, 0, 1<<30, func(seq uint64, envelope []byte) error {
		ev, err := codec.DecodeEnvelope(bytes.Clone(envelope))
		if err != nil {
			return err
		}
		if want := uint64(len(events) + 1); seq != want || ev.Seq != want {
			return fmt.Errorf("scan gave event %d as %d, want %d", ev.Seq, seq, want)
		}
		events = append(events, ev)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	if last < head || uint64(len(events)) != last {
		return nil, fmt.Errorf("scan of %d events ended at %d with %d", head, last, len(events))
	}
	again, err := j.Replay(ctx, 0, func(ev *causal.Event) error {
		if ev.Seq <= last && (ev.Hash != events[ev.Seq-1].Hash || ev.ID != events[ev.Seq-1].ID) {
			return fmt.Errorf("another event %d than the scan", ev.Seq)
		}
		return nil
	})
	if err != nil || again < last {
		return nil, fmt.Errorf("replay to %d of %d: %w", again, last, err)
	}
	v, err := j.Verify(ctx, 0, 0)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	if v.Checked < last {
		return nil, fmt.Errorf("verify checked %d of %d", v.Checked, last)
	}
	heads := map[causal.Stream]causal.Head{}
	for i := range events {
		ev := &events[i]
		if err := heads[ev.Stream()].Check(&ev.Header); err != nil {
			return nil, err
		}
		heads[ev.Stream()] = heads[ev.Stream()].Next(&ev.Header, ev.Hash)
		if b := ev.Batch; b.Count > 0 {
			first := i - int(b.Index)
			if first < 0 || first+int(b.Count) > len(events) {
				return nil, fmt.Errorf("event %d is %d of a batch of %d that is not whole", ev.Seq, b.Index, b.Count)
			}
			for k := range int(b.Count) {
				if p := events[first+k].Batch; p.Count != b.Count || int(p.Index) != k {
					return nil, fmt.Errorf("event %d is not %d of the batch of event %d", first+k+1, k, ev.Seq)
				}
			}
		}
		got, err := j.Get(ev.ID)
		if err != nil {
			return nil, fmt.Errorf("get event %d by id: %w", ev.Seq, err)
		}
		if got.Hash != ev.Hash {
			return nil, fmt.Errorf("get event %d by id gave event %d", ev.Seq, got.Seq)
		}
	}
	for s, h := range heads {
		if last == head && j.Head(s) != h {
			return nil, fmt.Errorf("head of %s is %v, the log says %v", s, j.Head(s), h)
		}
		n := uint64(0)
		for ev, err := range j.StreamEvents(s, 0) {
			if err != nil {
				return nil, fmt.Errorf("stream %s: %w", s, err)
			}
			if n++; ev.Version != n {
				return nil, fmt.Errorf("stream %s: version %d as number %d", s, ev.Version, n)
			}
		}
		if n < h.Version {
			return nil, fmt.Errorf("stream %s has %d events of %d", s, n, h.Version)
		}
	}
	return events, nil
}

// holds says what of the promises is not among the events. Payloads are compared in clear.
func holds(j *journal.Journal, events []causal.Event, promised []ackedBatch) error {
	for _, p := range promised {
		for i, r := range p.receipts {
			if r.Seq > uint64(len(events)) {
				return fmt.Errorf("acknowledged event %d is missing: there are %d", r.Seq, len(events))
			}
			ev := &events[r.Seq-1]
			if ev.Hash != r.Hash || ev.ID != r.ID || ev.Version != r.Version {
				return fmt.Errorf("event %d is not the acknowledged one", r.Seq)
			}
			if public := j.Signer(); public != "" {
				if _, err := codec.VerifyReceipt(&r, ev.Envelope, public); err != nil {
					return err
				}
			}
			data, _, err := j.Payload(ev)
			if err != nil {
				return err
			}
			if !bytes.Equal(data, p.batch.Events[i].Data) {
				return fmt.Errorf("event %d has another payload", r.Seq)
			}
		}
	}
	return nil
}

// retries sends every keyed batch again, and says which one did not get its first receipts.
func retries(j *journal.Journal, promised []ackedBatch) error {
	before := j.Visible()
	for _, p := range promised {
		if p.batch.Key == "" {
			continue
		}
		got, err := j.Append(context.Background(), p.batch)
		if err != nil {
			return fmt.Errorf("retry of key %s: %w", p.batch.Key, err)
		}
		for i, r := range got {
			want := p.receipts[i]
			want.Duplicate = true
			if !reflect.DeepEqual(r, want) { // its proof, too
				return fmt.Errorf("retry of key %s: receipt %+v, want %+v", p.batch.Key, r, want)
			}
		}
	}
	if j.Visible() != before {
		return fmt.Errorf("retries appended %d events", j.Visible()-before)
	}
	return nil
}

// mustHold opens a disk's journal and checks it against the promises: by reading, by retrying
// every key, and by appending one more event.
func mustHold(d faultfs.FS, o journal.Options, promised []ackedBatch) (err error) {
	j, err := journal.Open(context.Background(), d, o)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	events, err := audit(j)
	if err != nil {
		return err
	}
	if err := holds(j, events, promised); err != nil {
		return err
	}
	if err := retries(j, promised); err != nil {
		return err
	}
	r, err := j.Append(context.Background(), one(event("after", 1)))
	if err != nil {
		return fmt.Errorf("append after recovery: %w", err)
	}
	if r[0].Seq != uint64(len(events))+1 {
		return fmt.Errorf("append after recovery got %d after %d events", r[0].Seq, len(events))
	}
	return nil
}

// hold stops the next operation of a kind. Arrived waits until it is there, release lets it go on.
func hold(in *faultfs.Injector, on faultfs.Op, name string) (arrived, release func()) {
	here, gone := make(chan struct{}), make(chan struct{})
	in.Add(
		faultfs.Rule{On: on, Name: name, Nth: 1, Do: faultfs.Block(here)},
		faultfs.Rule{On: on, Name: name, Nth: 1, Do: faultfs.Block(gone)},
	)
	return func() { here <- struct{}{} }, func() { close(gone) }
}

// keep makes the proofs of what Submit has answered last.
func keep(receipts []codec.Receipt) []codec.Receipt {
	for i := range receipts {
		receipts[i].Proof = receipts[i].Proof.Clone()
	}
	return receipts
}
