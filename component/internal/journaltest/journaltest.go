// Package journaltest opens real journals inside tests and fills them with events of which
// tests know what they are.
package journaltest

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/faultfs"
)

// Open opens the journal in dir, which it makes when the folder is empty. The journal is
// closed when the test ends.
func Open(t testing.TB, dir, name string) *journal.Journal {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(context.Background(), faultfs.Dir(root), journal.Options{Name: name, SegmentBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = j.Close() // a test may have closed it
		_ = root.Close()
	})
	return j
}

// Backup copies the folder of a journal that nobody appends to at the moment, and returns the
// copy's.
func Backup(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// Limits of a batch.
const (
	mostEvents = 100
	mostBytes  = 1 << 20
)

// Fill appends n events with payloads of about size bytes, in batches, and returns when they
// are committed. Event S (its sequence) is about Coordinate(S), its payload is Payload(S, size),
// and every fifth has Traceparent(S).
func Fill(t testing.TB, j *journal.Journal, n, size int) {
	t.Helper()
	for seq := j.Visible(); n > 0; {
		b := &journal.Batch{}
		for ; n > 0 && len(b.Events) < mostEvents && len(b.Events)*size < mostBytes; n-- {
			seq++
			a := journal.Append{Coordinate: Coordinate(seq), Kind: 0x1001, Data: Payload(seq, size)}
			if seq%5 == 0 {
				a.Meta = map[string]string{codec.MetaTraceparent: Traceparent(seq)}
			}
			b.Events = append(b.Events, a)
		}
		receipts, err := j.Append(context.Background(), b)
		if err != nil {
			t.Fatal(err)
		}
		if got := receipts[len(receipts)-1].Seq; got != seq {
			t.Fatalf("journaltest: event %d was appended as %d", seq, got)
		}
	}
}

// Coordinate returns what the event is about: one of 17 entities, whose names must be escaped
// in a subject.
func Coordinate(seq uint64) causal.Coordinate {
	return causal.Coordinate{Scope: "tenant a", Entity: fmt.Sprintf("account.%d", seq%17)}
}

// Payload returns the event's payload: a MessagePack bin that begins with its sequence.
func Payload(seq uint64, size int) []byte {
	size = max(size, 8)
	b := binary.BigEndian.AppendUint32([]byte{0xc6}, uint32(size))
	b = binary.BigEndian.AppendUint64(b, seq)
	return append(b, make([]byte, size-8)...)
}

// Number returns the sequence that a payload of Payload begins with.
func Number(payload []byte) uint64 {
	if len(payload) < 13 {
		return 0
	}
	return binary.BigEndian.Uint64(payload[5:13])
}

// Traceparent returns a trace context that is the event's own.
func Traceparent(seq uint64) string { return fmt.Sprintf("00-%032x-%016x-01", seq, seq) }
