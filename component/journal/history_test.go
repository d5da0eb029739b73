package journal_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"batpak/causal"
	"batpak/component/journal"
	"batpak/faultfs"

	"github.com/nats-io/nkeys"
)

// mustRoot checks that the journal's history is the tree over the events that it has, and returns its root.
func mustRoot(t *testing.T, j *journal.Journal, what string) causal.Hash {
	t.Helper()
	tree, err := j.History(context.Background())
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	events, err := audit(j)
	if err != nil {
		t.Fatal(err)
	}
	var want causal.Tree
	for i := range events {
		want.Add(&events[i].Hash)
	}
	if tree.Len() != uint64(len(events)) || tree.Root() != want.Root() {
		t.Errorf("%s: root over %d events is not that of the %d in the log", what, tree.Len(), len(events))
	}
	return tree.Root()
}

func TestHistoryIsTheTreeOverAllEvents(t *testing.T) {
	t.Parallel()
	j := openDir(t, tempDir(t), journal.Options{Name: "main", SegmentBytes: smallest})
	mustRoot(t, j, "without events")
	mustAppend(t, j, one(event("a", 1)))
	mustRoot(t, j, "one")
	for i := range uint64(20) {
		mustAppend(t, j, &journal.Batch{Events: []journal.Append{event("a", i), event(fmt.Sprint(i), i), large("b", 1000)}})
		mustRoot(t, j, fmt.Sprintf("%d batches", i+1))
	}
	if j.Stats().Segments < 2 {
		t.Error("one segment")
	}
}

// Whoever asks gets a history that had been visible, whatever is appended meanwhile.
func TestHistoryIsAskedForWhileEventsAreAppended(t *testing.T) {
	t.Parallel()
	j := openDir(t, tempDir(t), journal.Options{Name: "main", SegmentBytes: small})
	const batches = 150
	type seen struct {
		n    uint64
		root causal.Hash
	}
	var group sync.WaitGroup
	var seens [2][]seen
	done := make(chan struct{})
	for i := range seens {
		group.Go(func() {
			for {
				from := j.Visible()
				tree, err := j.History(context.Background())
				if err != nil || tree.Len() < from {
					t.Errorf("%d events where %d were visible: %v", tree.Len(), from, err)
					return
				}
				seens[i] = append(seens[i], seen{tree.Len(), tree.Root()})
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := range uint64(batches) {
		mustAppend(t, j, &journal.Batch{Events: []journal.Append{event("a", i), event("b", i)}})
	}
	close(done)
	group.Wait()
	events, err := audit(j)
	if err != nil {
		t.Fatal(err)
	}
	roots := make([]causal.Hash, 1, len(events)+1)
	var tree causal.History
	roots[0] = tree.Root()
	for i := range events {
		tree.Add(&events[i].Hash)
		roots = append(roots, tree.Root())
	}
	for _, list := range seens {
		for _, s := range list {
			if s.root != roots[s.n] {
				t.Fatalf("the root over %d events is another", s.n)
			}
		}
	}
	mustRoot(t, j, "at the end")
}

// resum gives a cache the checksum of its bytes.
func resum(b []byte) {
	sum := len(b) - 4
	binary.LittleEndian.PutUint32(b[sum:], crc32.Checksum(b[:sum], crc32.MakeTable(crc32.Castagnoli)))
}

// What the cache lacks, or has of another log, is read from the log.
func TestHistoryGoesOnFromItsCache(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	o := journal.Options{Name: "main", SegmentBytes: smallest}
	j := openDir(t, dir, o)
	for i := range uint64(7) {
		mustAppend(t, j, one(event("a", i)))
	}
	mustRoot(t, j, "new")
	mustAppend(t, j, one(event("a", 8))) // Close has the cache take it
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	closed := files(t, dir)
	stale := closed["history"]
	if stale == nil {
		t.Fatal("no cache")
	}
	j = openDir(t, dir, o)
	for i := range uint64(5) {
		mustAppend(t, j, one(event("b", i)))
	}
	root := mustRoot(t, j, "gone on")
	killed := files(t, dir) // its cache is behind
	if !bytes.Equal(killed["history"], stale) {
		t.Error("the cache is written with every question")
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	whole := files(t, dir)
	// A cache is believed that has the log's last event, and other nodes: so one can see that it is used.
	other := edit(whole["history"], func(b []byte) {
		b[72] ^= 1
		resum(b)
	})
	foreign := edit(whole["history"], func(b []byte) {
		b[12] ^= 1
		resum(b)
	})
	elsewhere := tempDir(t)
	place(t, elsewhere, with(closed, "history", nil))
	j = openDir(t, elsewhere, o)
	for i := range uint64(5) {
		mustAppend(t, j, one(event("c", i)))
	}
	mustRoot(t, j, "another branch")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	branch := files(t, elsewhere)["history"]

	for what, tc := range map[string]struct {
		files map[string][]byte
		warn  bool
		want  bool // the root of this log
	}{
		"closed":            {whole, false, true},
		"killed":            {killed, false, true},
		"missing":           {with(whole, "history", nil), false, true},
		"damaged":           {with(whole, "history", edit(whole["history"], func(b []byte) { b[80] ^= 1 })), true, true},
		"cut":               {with(whole, "history", whole["history"][:90]), true, true},
		"empty":             {with(whole, "history", []byte{}), true, true},
		"stale":             {with(whole, "history", stale), false, true},
		"of another log":    {with(whole, "history", foreign), true, true},
		"of another branch": {with(whole, "history", branch), true, true},
		"ahead of the log":  {with(closed, "history", whole["history"]), true, true},
		"good but other":    {with(whole, "history", other), false, false},
	} {
		dir := tempDir(t)
		place(t, dir, tc.files)
		var warnings bytes.Buffer
		o := o
		o.Logger = slog.New(slog.NewTextHandler(&warnings, &slog.HandlerOptions{Level: slog.LevelWarn}))
		j := openDir(t, dir, o)
		if !tc.want {
			if tree, err := j.History(context.Background()); err != nil || tree.Root() == root {
				t.Errorf("%s: the cache was not used, %v", what, err)
			}
			continue
		}
		mustRoot(t, j, what)
		mustAppend(t, j, one(event("d", 1)))
		mustRoot(t, j, what+", gone on")
		if got := strings.Contains(warnings.String(), "history not used"); got != tc.warn {
			t.Errorf("%s: warned %v: %s", what, got, warnings.String())
		}
	}
}

func TestAHeadIsSigned(t *testing.T) {
	t.Parallel()
	pair, err := nkeys.CreateServer()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	j := openDir(t, tempDir(t), journal.Options{Name: "main", Signer: pair})
	mustAppend(t, j, one(event("a", 1)))
	h, err := j.SignHead(context.Background(), 77)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Verify(signer); err != nil || h.Seq != 1 || h.Time != 77 || h.Lineage != j.Lineage() || h.Commitment != mustRoot(t, j, "signed") {
		t.Errorf("%+v: %v", h, err)
	}
	ended, end := context.WithCancel(context.Background())
	end()
	mustAppend(t, j, one(event("a", 2)))
	if _, err := j.SignHead(ended, 78); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := j.SignHead(context.Background(), 79); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("of a closed journal: %v", err)
	}
}

// A cache that cannot be written costs nobody an append, and the next Open reads the log.
func TestAHistoryThatCannotBeWrittenIsReadAgain(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	o := journal.Options{Name: "main", SegmentBytes: small}
	j := openFS(t, d, o)
	mustAppend(t, j, one(event("a", 1)))
	root := mustRoot(t, j, "new")
	d.failSync("history" + faultfs.TempSuffix)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if d.now["history"] != nil {
		t.Error("it was written")
	}
	j = openFS(t, d, o)
	if mustRoot(t, j, "opened again") != root {
		t.Error("another root")
	}
	mustAppend(t, j, one(event("a", 2)))
	mustRoot(t, j, "gone on")
}
