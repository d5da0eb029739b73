package journal_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/keystore"
)

// Close while appends are in flight: what was accepted is finished, each done is called once, and
// what comes after is refused.
func TestCloseFinishesWhatWasAccepted(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	o := journal.Options{Name: "close", Seal: keystore.Entity, SegmentBytes: small}
	j := openFS(t, d, o)
	var accepted, appended atomic.Int64
	var promises acked
	var wg sync.WaitGroup
	closing := make(chan struct{})
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				if w == 0 && i == 50 {
					close(closing)
				}
				var calls atomic.Int64
				b := one(event("e", uint64(i)))
				err := j.Submit(b, func(r []codec.Receipt, err error) {
					if calls.Add(1) != 1 {
						t.Error("done was called twice")
					}
					if err != nil {
						t.Error(err)
						return
					}
					promises.add(b, r)
					appended.Add(1)
				})
				if errors.Is(err, journal.ErrClosed) {
					return
				}
				if errors.Is(err, journal.ErrBusy) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				accepted.Add(1)
			}
		})
	}
	<-closing
	var closers sync.WaitGroup
	for range 3 {
		closers.Go(func() {
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	closers.Wait()
	if accepted.Load() != appended.Load() {
		t.Errorf("%d accepted, %d answered", accepted.Load(), appended.Load())
	}
	if err := mustHold(d, o, promises.upTo()); err != nil {
		t.Error(err)
	}
}

func TestAClosedJournalSaysSo(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{Name: "close", SegmentBytes: small})
	fill(t, j, 3)
	ev, err := j.GetSeq(1)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for what, f := range map[string]func() error{
		"append": func() error { return appendErr(j, one(event("e", 1))) },
		"get":    func() error { _, err := j.GetSeq(1); return err },
		"get id": func() error { _, err := j.Get(ev.ID); return err },
		"read":   func() error { _, err := j.Read(context.Background(), codec.Selection{}, 1<<20); return err },
		"read coordinate": func() error {
			_, err := j.Read(context.Background(), codec.Selection{Scope: "s", Entity: "fill1"}, 1<<20)
			return err
		},
		"scan": func() error {
			_, err := j.Scan(context.Background(), 0, 1<<30, func(uint64, []byte) error { return nil })
			return err
		},
		"stream": func() error {
			for _, err := range j.StreamEvents(stream("fill0"), 0) {
				return err
			}
			return nil
		},
		"replay": func() error {
			_, err := j.Replay(context.Background(), 0, func(*causal.Event) error { return nil })
			return err
		},
		"verify": func() error { _, err := j.Verify(context.Background(), 0, 0); return err },
	} {
		if err := f(); !errors.Is(err, journal.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

// An append whose context ends is not waited for; it may still happen.
func TestAnAppendEndsWithItsContext(t *testing.T) {
	t.Parallel()
	in := faultfs.Inject(newDisk(t))
	j := openFS(t, in, journal.Options{Name: "ctx", SegmentBytes: small})
	arrived, release := hold(in, faultfs.OpSyncData, firstSegment)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := j.Append(ctx, keyed("k", event("e", 1)))
		result <- err
	}()
	arrived()
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	release()
	if r := mustAppend(t, j, keyed("k", event("e", 1))); !r[0].Duplicate || r[0].Seq != 1 {
		t.Errorf("retry got %+v", r[0])
	}
}

// descriptors are the names of the files in dir that this process has open.
func descriptors(tb testing.TB, dir string) (open []string) {
	tb.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil // not a system that tells
	}
	for _, fd := range fds {
		if name, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(name, dir+"/") {
			open = append(open, strings.TrimPrefix(name, dir+"/"))
		}
	}
	return open
}

// goroutines counts those that the journal started. One that has done its last deed may take a
// moment to end.
func goroutines(atMost int) (n int) {
	buf := make([]byte, 1<<20)
	for range 10_000 {
		n = strings.Count(string(buf[:runtime.Stack(buf, true)]), "created by batpak/component/journal.")
		if n <= atMost {
			break
		}
		runtime.Gosched()
	}
	return n
}

// Whatever became of a journal, after Close nothing of it is open and nothing of it runs.
func TestNothingIsLeftAfterClose(t *testing.T) {
	o := journal.Options{Name: "leak", Seal: keystore.Entity, SegmentBytes: small}
	killed, closed, _ := journalFiles(t, o, 3)
	index := strings.Replace(firstSegment, ".seg", ".idx", 1)
	running := goroutines(0)
	for what, tc := range map[string]struct {
		files map[string][]byte
		rule  faultfs.Rule
		use   func(j *journal.Journal)
	}{
		"closed":          {files: closed},
		"killed":          {files: killed},
		"rotated":         {files: closed, use: func(j *journal.Journal) { fill(t, j, 6) }},
		"damaged index":   {files: with(closed, index, edit(closed[index], func(b []byte) { b[100]++ })), use: func(j *journal.Journal) { audit(j) }},
		"damaged segment": {files: with(killed, firstSegment, killed[firstSegment][:9000])},
		"damaged meta":    {files: with(killed, "journal.meta", killed["journal.meta"][:9])},
		"damaged keys":    {files: with(killed, "keys/keyset", killed["keys/keyset"][:9])},
		"poisoned": {files: closed, rule: faultfs.Rule{On: faultfs.OpSyncData, Name: "segments/*.seg", Nth: 1, Do: faultfs.Fail(syscall.EIO)},
			use: func(j *journal.Journal) { appendErr(j, one(event("e", 1))) }},
		"disk full": {files: closed, rule: faultfs.Rule{On: faultfs.OpAllocate, Do: faultfs.Fail(syscall.ENOSPC)},
			use: func(j *journal.Journal) {
				for range 20 {
					appendErr(j, one(large("e", 6000)))
				}
			}},
		"no index written": {files: with(closed, index, nil), rule: faultfs.Rule{On: faultfs.OpCreate, Name: "segments/*.idx*", Do: faultfs.Fail(syscall.ENOSPC)},
			use: func(j *journal.Journal) { fill(t, j, 6) }},
	} {
		dir := tempDir(t)
		place(t, dir, tc.files)
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		in := faultfs.Inject(faultfs.Dir(root))
		if what == "no index written" {
			in.Add(tc.rule)
		}
		j, err := journal.Open(t.Context(), in, o)
		if err == nil {
			in.Add(tc.rule)
			if tc.use != nil {
				tc.use(j)
			}
			if _, err := j.GetSeq(1); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if err := j.Close(); err != nil {
				t.Errorf("%s: close: %v", what, err)
			}
		} else if !strings.HasPrefix(what, "damaged") {
			t.Errorf("%s: %v", what, err)
		}
		root.Close()
		if open := descriptors(t, dir); len(open) > 0 {
			t.Errorf("%s: still open: %v", what, open)
		}
		if n := goroutines(running); n > running {
			t.Errorf("%s: %d goroutines more than before", what, n-running)
		}
	}
}
