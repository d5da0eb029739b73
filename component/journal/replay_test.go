package journal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"
	"testing/synctest"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/keystore"
)

// replayed is what Replay visits, kept as its doc says.
func replayed(j *journal.Journal, after uint64) (events []causal.Event, last uint64, err error) {
	last, err = j.Replay(context.Background(), after, func(ev *causal.Event) error {
		kept := *ev
		kept.Envelope = bytes.Clone(ev.Envelope)
		kept.Data = bytes.Clone(ev.Data)
		events = append(events, kept)
		return nil
	})
	return events, last, err
}

// scanned is what Scan visits, decoded, and what it ends with.
func scanned(j *journal.Journal, after uint64) (events []causal.Event, last uint64, err error) {
	last, err = j.Scan(context.Background(), after, 1<<30, func(_ uint64, envelope []byte) error {
		ev, err := codec.DecodeEnvelope(bytes.Clone(envelope))
		events = append(events, ev)
		return err
	})
	return events, last, err
}

// differ says which event of a replay is not the scan's, counted from 1; 0 when all are the same.
func differ(got, want []causal.Event) int {
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || !reflect.DeepEqual(got[i], want[i]) {
			return i + 1
		}
	}
	return 0
}

// Over segments, pieces, groups and streams of any size, signed or not, sealed or not, with any number of cores, what was kept of
// the events is what Scan gives. All that an event can have is there.
func TestReplayVisitsWhatScanDoes(t *testing.T) {
	pair, _ := signer(t, 1)
	for what, o := range map[string]journal.Options{
		"plain":  {},
		"sealed": {Seal: keystore.Entity},
		"signed": {Signer: pair},
		"both":   {Seal: keystore.Entity, Signer: pair},
	} {
		o.Name, o.SegmentBytes = "spacious", 1<<20
		j := spacious(t, newDisk(t), o)
		full := event("e1", 3)
		full.Schema, full.Subject, full.Meta = 2, "person", map[string]string{"k": "v", "l": "w"}
		full.Causes, full.Correlation = []causal.Cause{{Lineage: causal.Lineage{1}, ID: causal.EventID{1}}}, causal.EventID{2}
		other := event("e2", 4)
		other.Meta, other.Causes = map[string]string{"k": "w"}, []causal.Cause{{Lineage: causal.Lineage{2}, ID: causal.EventID{2}}}
		for i := range 3 {
			mustAppend(t, j, keyed(fmt.Sprint("key", i), full, other, full))
		}
		want, _, err := scanned(j, 0)
		if err != nil || uint64(len(want)) != j.Visible() || j.Stats().Segments < 3 {
			t.Fatalf("%d events of %d, %v", len(want), j.Visible(), err)
		}
		for cores := 1; cores <= 4; cores++ {
			before := runtime.GOMAXPROCS(cores)
			got, last, err := replayed(j, 0)
			runtime.GOMAXPROCS(before)
			if n := differ(got, want); n > 0 || err != nil || last != j.Visible() {
				t.Errorf("%s, %d cores: event %d of %d differs, last %d, %v", what, cores, n, len(got), last, err)
			}
		}
		for after := uint64(1); after < j.Visible(); after += 297 {
			got, last, err := replayed(j, after)
			if n := differ(got, want[after:]); n > 0 || err != nil || last != j.Visible() {
				t.Errorf("%s, after %d: event %d of %d differs, last %d, %v", what, after, n, len(got), last, err)
			}
		}
	}
}

// It may begin anywhere: between groups, within one, in any segment, at the end and behind it.
func TestReplayBeginsAfterAnyEvent(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{Name: "anywhere", SegmentBytes: smallest})
	if got, last, err := replayed(j, 0); len(got) > 0 || last != 0 || err != nil {
		t.Errorf("of nothing: %d events, last %d, %v", len(got), last, err)
	}
	for i := uint64(0); j.Stats().Segments < 4; i++ {
		mustAppend(t, j, &journal.Batch{Events: []journal.Append{event("a", i), event("b", i), large("c", 1000), event("a", i)}[:1+i%4]})
	}
	want, _, err := scanned(j, 0)
	if err != nil {
		t.Fatal(err)
	}
	for after := range j.Visible() + 3 {
		got, last, err := replayed(j, after)
		if n := differ(got, want[min(after, j.Visible()):]); n > 0 || last != max(after, j.Visible()) || err != nil {
			t.Errorf("after %d: event %d of %d differs, last %d, %v", after, n, len(got), last, err)
		}
	}
}

// An error of visit comes back as it is, and no event comes behind it.
func TestReplayEndsWithAnErrorOfItsVisitor(t *testing.T) {
	j := spacious(t, newDisk(t), journal.Options{Name: "spacious", SegmentBytes: 1 << 20})
	running := goroutines(0)
	for _, at := range []uint64{1, 2, 800, j.Visible() / 2, j.Visible()} {
		calls := uint64(0)
		enough := fmt.Errorf("enough: %w", os.ErrClosed)
		last, err := j.Replay(context.Background(), 0, func(ev *causal.Event) error {
			if calls++; ev.Seq == at {
				return enough
			}
			return nil
		})
		if err != enough || last != at-1 || calls != at {
			t.Errorf("at event %d: %d calls, last %d, %v", at, calls, last, err)
		}
		if n := goroutines(running); n > running {
			t.Fatalf("%d goroutines of the journal run on, %d did before", n, running)
		}
	}
}

// When the context ends, no event comes any more.
func TestReplayEndsWithItsContext(t *testing.T) {
	j := spacious(t, newDisk(t), journal.Options{Name: "spacious", SegmentBytes: 1 << 20})
	running := goroutines(0)
	for _, at := range []uint64{1, 2, 800, j.Visible() / 2} {
		ctx, cancel := context.WithCancel(context.Background())
		calls := uint64(0)
		last, err := j.Replay(ctx, 0, func(ev *causal.Event) error {
			if calls++; ev.Seq == at {
				cancel()
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) || last != at || calls != at {
			t.Errorf("at event %d: %d calls, last %d, %v", at, calls, last, err)
		}
		if last, err := j.Replay(ctx, at, func(*causal.Event) error { return errors.New("visited") }); !errors.Is(err, context.Canceled) || last != at {
			t.Errorf("ended before it began: last %d, %v", last, err)
		}
		if n := goroutines(running); n > running {
			t.Fatalf("%d goroutines of the journal run on, %d did before", n, running)
		}
	}
}

// A panic of visit passes through, and leaves nothing running and the journal as it was.
func TestReplayLetsAPanicThrough(t *testing.T) {
	j := spacious(t, newDisk(t), journal.Options{Name: "spacious", SegmentBytes: 1 << 20})
	running := goroutines(0)
	for _, at := range []uint64{1, 800, j.Visible()} {
		func() {
			defer func() {
				if r := recover(); r != at {
					t.Errorf("recovered %v, want %d", r, at)
				}
			}()
			j.Replay(context.Background(), 0, func(ev *causal.Event) error {
				if ev.Seq == at {
					panic(at)
				}
				return nil
			})
		}()
		if n := goroutines(running); n > running {
			t.Fatalf("%d goroutines of the journal run on, %d did before", n, running)
		}
	}
	want, _, _ := scanned(j, 0)
	if got, last, err := replayed(j, 0); differ(got, want) > 0 || last != j.Visible() || err != nil {
		t.Errorf("afterwards: %d events, last %d, %v", len(got), last, err)
	}
}

// Every event before damage is visited, and none behind it; what is wrong is said as Scan says it.
func TestReplayStopsAtDamageAsScanDoes(t *testing.T) {
	t.Parallel()
	m := faultfs.NewDisk(faultfs.POSIX).Mount()
	j := spacious(t, m, journal.Options{Name: "spacious", SegmentBytes: 1 << 20})
	want, _, err := scanned(j, 0)
	if err != nil {
		t.Fatal(err)
	}
	segment := readAll(t, m)[firstSegment]
	groups, _ := spans(segment)
	g := groups[len(groups)/3]
	for g.events < 80 { // one of many
		groups = groups[:len(groups)-1]
		g = groups[len(groups)-1]
	}
	middle := g.ends[40]
	for what, c := range map[string]struct {
		off int
		seq uint64 // the first event that cannot be had
	}{
		"an event's last bytes":  {middle - 16, g.first + 40},
		"an event's header":      {middle + 3, g.first + 41},
		"an event's checksum":    {middle + 5, g.first + 41},
		"an event's type":        {middle + 13, g.first + 41},
		"a group's first event":  {g.start + 40, g.first},
		"a commit":               {g.end - 10, g.first + uint64(g.events)},
		"a commit's header":      {g.end - 31, g.first + uint64(g.events)},
		"the first event of all": {groups[1].start + 20, groups[1].first},
	} {
		write(t, m, firstSegment, c.off, []byte{segment[c.off] ^ 0x24})
		for _, after := range []uint64{0, c.seq / 2, max(c.seq, 2) - 2} {
			got, last, err := replayed(j, after)
			var damage *journal.DamageError
			if !errors.As(err, &damage) || !errors.Is(err, journal.ErrDamaged) || damage.Seq != c.seq || damage.File != firstSegment {
				t.Errorf("%s, after %d: %v, want damage of event %d", what, after, err, c.seq)
			}
			if n := differ(got, want[after:c.seq-1]); n > 0 || last != c.seq-1 {
				t.Errorf("%s, after %d: event %d of %d differs, last %d, want %d", what, after, n, len(got), last, c.seq-1)
			}
		}
		for _, after := range []uint64{0, c.seq - 1, c.seq, j.Visible() - 1} { // at the end, what is before does not matter
			_, wantLast, wantErr := scanned(j, after)
			if _, last, err := replayed(j, after); last != wantLast || !reflect.DeepEqual(err, wantErr) {
				t.Errorf("%s, after %d: last %d, %v, and Scan says %d, %v", what, after, last, err, wantLast, wantErr)
			}
		}
		write(t, m, firstSegment, c.off, segment[c.off:c.off+1])
	}
	if got, _, err := replayed(j, 0); err != nil || differ(got, want) > 0 {
		t.Errorf("mended: %d events, %v", len(got), err)
	}
}

// A signature is part of what was written.
func TestReplayFindsARottenSignature(t *testing.T) {
	t.Parallel()
	pair, public := signer(t, 1)
	m := faultfs.NewDisk(faultfs.POSIX).Mount()
	j := openFS(t, m, journal.Options{Name: "signed", Signer: pair})
	for n := range 3 {
		mustAppend(t, j, one(event("a", uint64(n))))
	}
	segment := readAll(t, m)[firstSegment]
	off := bytes.Index(segment, []byte(public)) + 70
	write(t, m, firstSegment, off, []byte{segment[off] ^ 1})
	var damage *journal.DamageError
	if got, last, err := replayed(j, 0); !errors.As(err, &damage) || last != 1 || len(got) != 1 {
		t.Errorf("last %d, %v", last, err)
	}
	write(t, m, firstSegment, off, segment[off:off+1])
}

// write writes bytes into a file.
func write(tb testing.TB, fsys faultfs.FS, name string, off int, b []byte) {
	tb.Helper()
	f, err := fsys.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, int64(off)); err != nil {
		tb.Fatal(err)
	}
}

// With every checksum made right: an envelope that is none, and one of another event. Then zeros, and a segment that was cut.
func TestReplayRefusesEnvelopesThatAreOutOfPlace(t *testing.T) {
	t.Parallel()
	v := newVictim(t, journal.Options{})
	segment := v.files[firstSegment]
	groups, _ := spans(segment)
	for what, c := range map[string]struct {
		segment []byte
		want    uint64
	}{
		"another version of the format": {putTogether(segment, func() []forged {
			g := takeApart(segment)
			e := envelopeAt(g, 3)
			*e = bytes.Replace(*e, []byte("\xa1v\x01"), []byte("\xa1v\x02"), 1)
			return g
		}()), 3},
		"another sequence": {putTogether(segment, func() []forged {
			g := takeApart(segment)
			changeEvent(g, 4, func(h *causal.Header, _ *[]byte) { h.Seq++ })
			return g
		}()), 4},
		"zeros":             {edit(segment, func(b []byte) { clear(b[groups[4].start:]) }), groups[4].first},
		"the other journal": {newVictim(t, journal.Options{}).files[firstSegment], 1},
	} {
		dir := placed(t, v.files)
		j := openDir(t, dir, v.o)
		write(t, realDir(t, dir), firstSegment, 0, c.segment)
		var damage *journal.DamageError
		if got, last, err := replayed(j, 0); !errors.As(err, &damage) || damage.Seq != c.want || last != c.want-1 || uint64(len(got)) != last {
			t.Errorf("%s: %d events, last %d, %v, want damage of event %d", what, len(got), last, err, c.want)
		}
	}
	dir := placed(t, v.files)
	j := openDir(t, dir, v.o)
	if err := os.Truncate(filepath.Join(dir, firstSegment), int64(groups[4].start)); err != nil {
		t.Fatal(err)
	}
	var damage *journal.DamageError
	if _, _, err := replayed(j, 0); !errors.As(err, &damage) {
		t.Errorf("cut: %v", err)
	}
}

// A read that fails is no damage.
func TestReplaySaysWhyItCannotRead(t *testing.T) {
	t.Parallel()
	in := faultfs.Inject(faultfs.NewDisk(faultfs.POSIX).Mount())
	j := spacious(t, in, journal.Options{Name: "spacious", SegmentBytes: 1 << 20})
	gone := errors.New("the disk is gone")
	in.Add(faultfs.Rule{On: faultfs.OpReadAt, Name: firstSegment, Nth: 3, Do: faultfs.Fail(gone)})
	got, last, err := replayed(j, 0)
	if !errors.Is(err, gone) || errors.Is(err, journal.ErrDamaged) || last == 0 || last != uint64(len(got)) {
		t.Errorf("%d events, last %d, %v", len(got), last, err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, last, err := replayed(j, 1); !errors.Is(err, journal.ErrClosed) || last != 1 {
		t.Errorf("closed: last %d, %v", last, err)
	}
}

// What it started has ended before it returns: here a read that takes long.
func TestReplayWaitsForWhatItStarted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in := faultfs.Inject(faultfs.NewDisk(faultfs.POSIX).Mount())
		j := spacious(t, in, journal.Options{Name: "spacious", SegmentBytes: 1 << 20})
		arrived, release := hold(in, faultfs.OpReadAt, "segments/next.tmp") // the second segment, which was opened by that name
		enough := errors.New("enough")
		ended := make(chan error, 1)
		go func() { // ends with the replay
			_, err := j.Replay(context.Background(), 0, func(ev *causal.Event) error {
				if ev.Seq == 500 { // a piece or two before
					arrived()
					return enough
				}
				return nil
			})
			ended <- err
		}()
		synctest.Wait()
		select {
		case err := <-ended:
			t.Errorf("it returned %v, and a goroutine reads", err)
		default:
		}
		release()
		if err := <-ended; err != enough {
			t.Error(err)
		}
	})
}

// While others append, each replay ends at what was visible when it began or a little later, and has no gap.
func TestReplayWhileOthersAppend(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{Name: "busy", SegmentBytes: small})
	appended := make(chan error, 1)
	go func() { // ends when the journal has some segments
		var err error
		for i := uint64(0); err == nil && j.Stats().Segments < 8; i++ {
			b := &journal.Batch{}
			for n := range 1 + i%5 {
				b.Events = append(b.Events, event(fmt.Sprint("e", n), i), large("l", 300))
			}
			err = appendErr(j, b)
		}
		appended <- err
	}()
	for done := false; !done; {
		select {
		case err := <-appended:
			if done = true; err != nil {
				t.Fatal(err)
			}
		default:
		}
		head := j.Visible()
		heads := map[causal.Stream]causal.Head{}
		next := uint64(1)
		last, err := j.Replay(context.Background(), 0, func(ev *causal.Event) error {
			if ev.Seq != next {
				return fmt.Errorf("event %d where %d should be", ev.Seq, next)
			}
			next++
			err := heads[ev.Stream()].Check(&ev.Header)
			heads[ev.Stream()] = heads[ev.Stream()].Next(&ev.Header, ev.Hash)
			return err
		})
		if err != nil || last < head || last != next-1 || last > j.Visible() {
			t.Fatalf("last %d of %d to %d, next %d, %v", last, head, j.Visible(), next, err)
		}
	}
}

// Many may replay at a time, and what one keeps is not written to by the others.
func TestReplaysDoNotDisturbEachOther(t *testing.T) {
	t.Parallel()
	j := spacious(t, newDisk(t), journal.Options{Name: "spacious", SegmentBytes: 1 << 20})
	want, _, err := scanned(j, 0)
	if err != nil {
		t.Fatal(err)
	}
	wrong := make(chan error)
	for range 4 {
		go func() { // ends by itself
			got, _, err := replayed(j, 0)
			if n := differ(got, want); err == nil && n > 0 {
				err = fmt.Errorf("event %d of %d differs", n, len(got))
			}
			wrong <- err
		}()
	}
	for range 4 {
		if err := <-wrong; err != nil {
			t.Error(err)
		}
	}
}

// Events cost what is new in them; where neighbours are alike, next to nothing. A few events cost little.
func TestReplayAllocatesLittle(t *testing.T) {
	j := openFS(t, newDisk(t), journal.Options{Name: "lean"})
	for range 20 {
		b := &journal.Batch{}
		for n := range 1000 {
			b.Events = append(b.Events, event("e", uint64(n)))
		}
		mustAppend(t, j, b)
	}
	replay := func(after uint64) func() {
		return func() {
			if _, err := j.Replay(context.Background(), after, func(*causal.Event) error { return nil }); err != nil {
				t.Error(err)
			}
		}
	}
	if n := testing.AllocsPerRun(3, replay(0)); n > 1000 {
		t.Errorf("%v allocations for %d events", n, j.Visible())
	}
	var before, after runtime.MemStats
	few := replay(j.Visible() - 3)
	few()
	runtime.ReadMemStats(&before)
	for range 100 {
		few()
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / 100; n > 32<<10 {
		t.Errorf("%d bytes for 3 events", n)
	}
}
