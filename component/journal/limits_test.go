package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
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
	"batpak/gates"
	"batpak/keystore"
)

// What no state of the journal would make right is refused at once, and leaves nothing.
func TestBadInputIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{Name: "limits", SegmentBytes: 1 << 20, MaxPayload: 1000})
	good := event("e", 1)
	change := func(f func(a *journal.Append)) *journal.Batch {
		a := good
		f(&a)
		return &journal.Batch{Events: []journal.Append{good, a}}
	}
	data := func(b ...byte) *journal.Batch { return change(func(a *journal.Append) { a.Data = b }) }
	long := strings.Repeat("x", 257)
	deep := bytes.Repeat([]byte{0x91}, 900)
	for what, b := range map[string]*journal.Batch{
		"no events":            {},
		"1001 events":          {Events: slicesRepeat(good, 1001)},
		"no scope":             change(func(a *journal.Append) { a.Scope = "" }),
		"no entity":            change(func(a *journal.Append) { a.Entity = "" }),
		"long scope":           change(func(a *journal.Append) { a.Scope = long }),
		"long entity":          change(func(a *journal.Append) { a.Entity = long }),
		"control character":    change(func(a *journal.Append) { a.Entity = "a\x1fb" }),
		"entity not UTF-8":     change(func(a *journal.Append) { a.Entity = "a\xff" }),
		"system scope":         change(func(a *journal.Append) { a.Scope = causal.SystemScope }),
		"system kind":          change(func(a *journal.Append) { a.Kind = causal.KindShred }),
		"kind 0":               change(func(a *journal.Append) { a.Kind = 0 }),
		"reserved kind":        change(func(a *journal.Append) { a.Kind = 0xd123 }),
		"long subject":         change(func(a *journal.Append) { a.Subject = long }),
		"subject not UTF-8":    change(func(a *journal.Append) { a.Subject = "\xff" }),
		"long key":             keyed(long, good),
		"key not UTF-8":        keyed("\xff", good),
		"key with a newline":   keyed("a\nb", good),
		"meta key not UTF-8":   change(func(a *journal.Append) { a.Meta = map[string]string{"\xff": "x"} }),
		"meta value not UTF-8": change(func(a *journal.Append) { a.Meta = map[string]string{"x": "a\xc3"} }),
		"no data":              data(),
		"half a value":         data(0x92, 1),
		"two values":           data(1, 1),
		"array of 2^32-1":      data(0xdd, 0xff, 0xff, 0xff, 0xff),
		"map of 2^32-1":        data(0xdf, 0xff, 0xff, 0xff, 0xff),
		"string of 2^32-1":     data(0xdb, 0xff, 0xff, 0xff, 0xff),
		"bin of 2^31":          data(0xc6, 0x80, 0, 0, 0),
		"never used byte":      data(0xc1),
		"deep nesting":         data(append(deep, 1)...),
		"string not UTF-8":     data(0xa1, 0xff),
	} {
		called := false
		err := j.Submit(b, func([]codec.Receipt, error) { called = true })
		if !errors.Is(err, journal.ErrInvalid) || called {
			t.Errorf("%s: %v", what, err)
		}
	}
	var limit *journal.LimitError
	for what, b := range map[string]*journal.Batch{
		"payload": change(func(a *journal.Append) { a.Data = payload(1001) }),
		"meta":    change(func(a *journal.Append) { a.Meta = map[string]string{"m": strings.Repeat("x", journal.MaxMetaBytes)} }),
		"batch":   {Events: slicesRepeat(large("e", 1000), 1000)},
	} {
		err := appendErr(j, b)
		if !errors.Is(err, journal.ErrTooLarge) || !errors.As(err, &limit) || limit.What != what || limit.Size <= limit.Limit {
			t.Errorf("%s: %v", what, err)
		}
	}
	if j.Visible() != 0 {
		t.Errorf("%d events", j.Visible())
	}
	mustAppend(t, j, change(func(a *journal.Append) { a.Data = payload(1000) }))
	if v, err := j.Verify(t.Context(), 0, 0); err != nil || v.Checked != 2 {
		t.Errorf("%+v, %v", v, err)
	}
}

func slicesRepeat(a journal.Append, n int) []journal.Append {
	list := make([]journal.Append, n)
	for i := range list {
		list[i] = a
	}
	return list
}

// The largest of everything that is allowed fits, is written, and is read back after reopening.
func TestTheLargestEventsAndBatchesFit(t *testing.T) {
	t.Parallel()
	gs := make([]gates.Gate, 50)
	for i := range gs {
		gs[i] = gate(fmt.Sprintf("%s%02d", strings.Repeat("g", 254), i), func(*proposal, view) *denial { return nil })
	}
	c := chain(t, gs...)
	d := newDisk(t)
	o := journal.Options{Name: strings.Repeat("n", 64), Seal: keystore.Subject, SegmentBytes: 256 << 10, MaxPayload: 60_000, Gates: c}
	j := openFS(t, d, o)
	wide := func(r string, n int) string { return strings.Repeat(r, n/len(r)) }
	first := mustAppend(t, j, one(event("e", 1)))[0].ID
	big := journal.Append{
		Coordinate: causal.Coordinate{Scope: wide("é", 256), Entity: wide("x", 256)},
		Lane:       1<<32 - 1, Kind: 0xffff, Schema: 1<<64 - 1, Data: payload(60_000), Correlation: first, Subject: wide("s", 256),
		Meta: map[string]string{},
	}
	for i := range 64 {
		big.Meta[fmt.Sprintf("%02d%s", i, wide("k", 126))] = wide("v", 128)
	}
	for range journal.MaxCauses {
		big.Causes = append(big.Causes, causal.Cause{Lineage: causal.NewLineage(), ID: first})
	}
	mustAppend(t, j, keyed(wide("y", 256), big))
	tiny := journal.Append{Coordinate: at("e"), Kind: 0x1001, Data: []byte{0xc0}, Meta: map[string]string{"": ""}}
	mustAppend(t, j, &journal.Batch{Events: []journal.Append{big, tiny, big}})
	bypassed := tiny
	bypassed.Bypass = wide("r", 255)
	mustAppend(t, j, one(bypassed))
	events, err := audit(j)
	if err != nil {
		t.Fatal(err)
	}
	if ev := events[1]; !maps.Equal(ev.Meta, big.Meta) || len(ev.Causes) != journal.MaxCauses || len(ev.Gates) != 50 || ev.Lane != big.Lane || ev.Schema != big.Schema {
		t.Error("event 2 is not what was appended")
	}
	j.Close()
	again, err := look(t, d.dir, o)
	if err == nil {
		err = sameEvents(again, events)
	}
	if err != nil {
		t.Error(err)
	}
}

// A batch of a thousand, and of what just fits a segment, fit; the sum of groups does not matter.
func TestABatchOfAThousandFits(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	o := journal.Options{Name: "thousand", Seal: keystore.Event, SegmentBytes: 1 << 20}
	j := openFS(t, d, o)
	r := mustAppend(t, j, keyed("k", slicesRepeat(event("e", 1), 1000)...))
	if len(r) != 1000 || r[999].Seq != 1000 || r[999].Version != 1000 {
		t.Errorf("%d receipts, last %+v", len(r), r[len(r)-1])
	}
	for size := 200; size < 400; size += 7 {
		err := appendErr(j, &journal.Batch{Events: slicesRepeat(large("f", size), 1000)})
		if err != nil && !errors.Is(err, journal.ErrTooLarge) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if _, err := audit(j); err != nil {
		t.Error(err)
	}
}

// A full queue says so at once, and what is queued is bounded, however much is thrown at it.
func TestAFullQueueIsBusy(t *testing.T) {
	in := faultfs.Inject(newDisk(t))
	j := openFS(t, in, journal.Options{Name: "busy", SegmentBytes: 1 << 20, QueueEvents: 100, QueueBytes: 1 << 20})
	arrived, release := hold(in, faultfs.OpSyncData, firstSegment)
	var answered atomic.Int64
	var wg sync.WaitGroup
	submit := func() error {
		wg.Add(1)
		a := large("e", 10_000)
		err := j.Submit(one(a), func(_ []codec.Receipt, err error) {
			if err != nil {
				t.Error(err)
			}
			answered.Add(1)
			wg.Done()
		})
		if err != nil {
			wg.Done()
		}
		return err
	}
	if err := submit(); err != nil {
		t.Fatal(err)
	}
	arrived()
	accepted, busy := int64(1), 0
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 20_000 {
		switch err := submit(); {
		case err == nil:
			accepted++
		case errors.Is(err, journal.ErrBusy):
			busy++
		default:
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if busy < 10_000 {
		t.Errorf("%d of 20000 were refused", busy)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 32<<20 {
		t.Errorf("%d accepted, heap grew by %d bytes", accepted, grown)
	}
	if answered.Load() != 0 {
		t.Error("answered while the disk was held")
	}
	release()
	wg.Wait()
	if answered.Load() != accepted || j.Visible() != uint64(accepted) {
		t.Errorf("%d accepted, %d answered, %d visible", accepted, answered.Load(), j.Visible())
	}
	mustAppend(t, j, one(event("e", 1)))
}

// One batch that is larger than the queue is not locked out for ever.
func TestABatchLargerThanTheQueueGetsIn(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{Name: "busy", SegmentBytes: 1 << 20, QueueEvents: 3, QueueBytes: 100})
	mustAppend(t, j, &journal.Batch{Events: slicesRepeat(event("e", 1), 10)})
}

// A disk without room for another segment refuses appends, and nothing else; when there is room
// again appends go on.
func TestAFullDiskRefusesAppendsUntilThereIsRoom(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]faultfs.Rule{
		"allocate":       {On: faultfs.OpAllocate, Do: faultfs.Fail(syscall.ENOSPC)},
		"short allocate": {On: faultfs.OpAllocate, Do: faultfs.Short(4096)},
		"create":         {On: faultfs.OpCreate, Name: "segments/*", Do: faultfs.Fail(syscall.ENOSPC)},
		"write zeros":    {On: faultfs.OpWrite, Name: "segments/next.tmp", Do: faultfs.Short(100)},
		"writeback":      {On: faultfs.OpWriteback, Name: "segments/next.tmp", Do: faultfs.Fail(syscall.EIO)},
		"name":           {On: faultfs.OpRename, Name: "segments/*.seg", Do: faultfs.Fail(syscall.ENOSPC)}, // the folder has to grow
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDisk(t)
			in := faultfs.Inject(d)
			o := journal.Options{Name: "full", SegmentBytes: small}
			j := openFS(t, in, o)
			in.Add(rule)
			var promises acked
			var err error
			var refused *journal.Batch
			for i := 0; err == nil; i++ {
				refused = keyed(fmt.Sprintf("k%d", i), large("e", 5000))
				var r []codec.Receipt
				if r, err = j.Append(t.Context(), refused); err == nil {
					promises.add(refused, r)
				}
			}
			if !errors.Is(err, journal.ErrStorage) || errors.Is(err, journal.ErrPoisoned) || j.Poisoned() != nil {
				t.Fatalf("got %v", err)
			}
			if name != "writeback" && !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("got %v, which hides the cause", err)
			}
			for range 3 {
				if err := appendErr(j, refused); !errors.Is(err, journal.ErrStorage) {
					t.Errorf("again: %v", err)
				}
			}
			mustAppend(t, j, one(event("e", 1))) // there is room for this
			if _, err := audit(j); err != nil {
				t.Error(err)
			}
			in.Clear()
			r := mustAppend(t, j, refused)
			promises.add(refused, r)
			fill(t, j, 4)
			if err := j.Close(); err != nil {
				t.Error(err)
			}
			if err := mustHold(d, o, promises.upTo()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestBadOptionsAreRefused(t *testing.T) {
	t.Parallel()
	for what, o := range map[string]journal.Options{
		"no name":          {},
		"name with a dot":  {Name: "a.b"},
		"long name":        {Name: strings.Repeat("n", 65)},
		"tiny segments":    {Name: "n", SegmentBytes: smallest - 4096},
		"huge segments":    {Name: "n", SegmentBytes: 1 << 33},
		"negative payload": {Name: "n", MaxPayload: -1},
		"negative queue":   {Name: "n", QueueEvents: -1},
		"negative bytes":   {Name: "n", QueueBytes: -1},
		"negative keys":    {Name: "n", IdempotencyKeys: -1},
		"negative age":     {Name: "n", IdempotencyAge: -1},
	} {
		d := newDisk(t)
		if _, err := journal.Open(t.Context(), d, o); !errors.Is(err, journal.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
		if d.now["journal.meta"] != nil {
			t.Errorf("%s: a journal was created", what)
		}
	}
	for _, name := range []string{"a", "A-z_09", strings.Repeat("n", 64)} {
		if err := journal.CheckName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", "a b", "ä", "a/b", "a\x00", "..", strings.Repeat("n", 65)} {
		if err := journal.CheckName(name); !errors.Is(err, journal.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
