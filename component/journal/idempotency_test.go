package journal_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/keystore"
)

// A key is looked at before the expectation: the retry of an append that succeeded gets its
// receipt although the version has moved on.
func TestARetryIsAnsweredBeforeItsExpectation(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{Name: "keys", SegmentBytes: small})
	b := expecting(event("e", 1), 0)
	b.Key = "k"
	first := mustAppend(t, j, b)
	mustAppend(t, j, one(event("e", 2)))
	again := mustAppend(t, j, b)
	want := first[0]
	want.Duplicate = true
	if again[0] != want || j.Visible() != 2 {
		t.Errorf("got %+v, want %+v", again[0], want)
	}
	conflict(t, appendErr(j, expecting(event("e", 1), 0)))
}

// The same key with anything else in the content is a conflict, in whatever state the first is:
// durable, or staged in the same group.
func TestAKeyUsedForOtherContentIsAConflict(t *testing.T) {
	t.Parallel()
	for _, seal := range []keystore.Granularity{keystore.None, keystore.Entity} {
		for _, staged := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/staged=%t", seal, staged), func(t *testing.T) {
				t.Parallel()
				in := faultfs.Inject(newDisk(t))
				j := openFS(t, in, journal.Options{Name: "keys", Seal: seal, SegmentBytes: small})
				cause := mustAppend(t, j, one(event("cause", 1)))[0].ID
				other := mustAppend(t, j, one(event("e", 1)))[0].ID

				full := event("e", 1)
				full.Lane, full.Schema, full.Subject, full.Correlation = 3, 4, "person", cause
				full.Causes = []causal.Cause{{ID: cause}}
				full.Meta = map[string]string{"a": "b", "traceparent": "one"}
				first := keyed("k", full)
				change := func(f func(a *journal.Append)) *journal.Batch {
					a := full
					f(&a)
					return keyed("k", a)
				}
				others := map[string]*journal.Batch{
					"data":         change(func(a *journal.Append) { a.Data = number(2) }),
					"length":       change(func(a *journal.Append) { a.Data = []byte{1} }),
					"entity":       change(func(a *journal.Append) { a.Entity = "f" }),
					"lane":         change(func(a *journal.Append) { a.Lane = 0 }),
					"kind":         change(func(a *journal.Append) { a.Kind++ }),
					"schema":       change(func(a *journal.Append) { a.Schema = 0 }),
					"subject":      change(func(a *journal.Append) { a.Subject = "" }),
					"correlation":  change(func(a *journal.Append) { a.Correlation = other }),
					"cause":        change(func(a *journal.Append) { a.Causes = []causal.Cause{{ID: other}} }),
					"no cause":     change(func(a *journal.Append) { a.Causes = nil }),
					"meta":         change(func(a *journal.Append) { a.Meta = map[string]string{"a": "c"} }),
					"more meta":    change(func(a *journal.Append) { a.Meta = map[string]string{"a": "b", "c": "d"} }),
					"no meta":      change(func(a *journal.Append) { a.Meta = nil }),
					"batch":        keyed("k", full, full),
					"larger batch": keyed("k", full, event("x", 1), event("y", 1)),
				}
				same := map[string]*journal.Batch{
					"itself":                first,
					"another attempt":       change(func(a *journal.Append) { a.Meta = map[string]string{"a": "b", "traceparent": "two"} }),
					"an attempt without it": change(func(a *journal.Append) { a.Meta = map[string]string{"a": "b"} }),
					"another expectation":   change(func(a *journal.Append) { a.Expect = ptr(uint64(99)) }),
				}

				var want codec.Receipt
				var answers sync.WaitGroup
				submit := func(b *journal.Batch, check func(r []codec.Receipt, err error)) {
					answers.Add(1)
					if err := j.Submit(b, func(r []codec.Receipt, err error) { check(r, err); answers.Done() }); err != nil {
						t.Fatal(err)
					}
				}
				release := func() {}
				if staged {
					var arrived func()
					arrived, release = hold(in, faultfs.OpSyncData, firstSegment)
					submit(one(event("held", 1)), func([]codec.Receipt, error) {})
					arrived()
				}
				submit(first, func(r []codec.Receipt, err error) {
					if err != nil {
						t.Error(err)
						return
					}
					want = r[0]
					want.Duplicate = true
				})
				if !staged {
					answers.Wait()
				}
				for what, b := range others {
					submit(b, func(_ []codec.Receipt, err error) {
						var c *journal.ConflictError
						if !errors.As(err, &c) || c.Reason != journal.ConflictKey || c.Seq != want.Seq || len(c.Events) != 0 {
							t.Errorf("other %s got %v", what, err)
						}
					})
				}
				for what, b := range same {
					submit(b, func(r []codec.Receipt, err error) {
						if err != nil || r[0] != want {
							t.Errorf("%s got %+v, %v, want %+v", what, r, err, want)
						}
					})
				}
				release()
				answers.Wait()
				// In another scope it is another key, and so are other cases of the letters.
				head := j.Visible()
				elsewhere := full
				elsewhere.Scope = "elsewhere"
				mustAppend(t, j, keyed("k", elsewhere))
				mustAppend(t, j, keyed("K", full))
				if j.Visible() != head+2 {
					t.Errorf("head went from %d to %d", head, j.Visible())
				}
			})
		}
	}
}

// A batch is retried as a whole; one of its events alone, or another batch, is other content.
func TestABatchIsRetriedAsAWhole(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{Name: "keys", SegmentBytes: small})
	a, b, c := event("e", 1), event("f", 2), event("e", 3)
	first := mustAppend(t, j, keyed("k", a, b, c))
	again := mustAppend(t, j, keyed("k", a, b, c))
	for i := range first {
		first[i].Duplicate = true
		if again[i] != first[i] {
			t.Errorf("receipt %d is %+v, want %+v", i, again[i], first[i])
		}
	}
	for what, other := range map[string]*journal.Batch{
		"fewer": keyed("k", a, b), "one": keyed("k", a), "another order": keyed("k", a, c, b), "last differs": keyed("k", a, b, event("e", 4)),
	} {
		if c := conflict(t, appendErr(j, other)); c.Reason != journal.ConflictKey || c.Seq != 1 {
			t.Errorf("%s: %+v", what, c)
		}
	}
	if j.Visible() != 3 {
		t.Errorf("visible %d", j.Visible())
	}
}

// Of many attempts at once one appends, and all get the same receipt.
func TestManyAttemptsAppendOnce(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{Name: "keys", Seal: keystore.Entity, SegmentBytes: small})
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[codec.Receipt]int{}
	for range 64 {
		wg.Go(func() {
			r, err := j.Append(t.Context(), keyed("k", event("e", 1)))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			seen[r[0]]++
		})
	}
	wg.Wait()
	if len(seen) != 2 || j.Visible() != 1 {
		t.Errorf("%d receipts, %d events", len(seen), j.Visible())
	}
	for r, n := range seen {
		if r.Duplicate != (n == 63) {
			t.Errorf("%d times %+v", n, r)
		}
	}
}

// After the keys were destroyed the payload cannot be compared any more, and nothing is kept that
// would help to guess it: the retry still gets its receipt, and never a second event.
func TestARetryAfterAnErasureGetsItsReceipt(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	o := journal.Options{Name: "keys", Seal: keystore.Entity, SegmentBytes: small}
	j := openFS(t, d, o)
	b := keyed("k", event("e", 1), event("e", 2))
	first := mustAppend(t, j, b)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	keys, err := keystore.Load(t.Context(), faultfs.Sub(d, "keys"), keystore.Entity, keystore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	scope, _ := keystore.Entity.Scope(&causal.Header{Coordinate: at("e")})
	if _, err := keys.Destroy(scope); err != nil {
		t.Fatal(err)
	}
	if err := keys.Flush(); err != nil {
		t.Fatal(err)
	}
	keys.Close()

	j = openFS(t, d, o)
	again := mustAppend(t, j, b)
	for i := range first {
		first[i].Duplicate = true
		if again[i] != first[i] {
			t.Errorf("receipt %d is %+v, want %+v", i, again[i], first[i])
		}
	}
	for what, other := range map[string]*journal.Batch{
		"kind":   keyed("k", journal.Append{Coordinate: at("e"), Kind: 0x1002, Data: number(1)}, event("e", 2)),
		"length": keyed("k", journal.Append{Coordinate: at("e"), Kind: 0x1001, Data: []byte{1}}, event("e", 2)),
	} {
		if c := conflict(t, appendErr(j, other)); c.Reason != journal.ConflictKey {
			t.Errorf("other %s: %+v", what, c)
		}
	}
	ev, err := j.GetSeq(1)
	if err != nil {
		t.Fatal(err)
	}
	if data, state, err := j.Payload(&ev); data != nil || state != causal.Shredded || err != nil {
		t.Errorf("payload of an erased event: %x, %s, %v", data, state, err)
	}
	// Into the erased scope nothing is appended, unless asked to renew it.
	a := event("e", 3)
	if err := appendErr(j, one(a)); !errors.Is(err, journal.ErrErased) {
		t.Errorf("append into an erased scope got %v", err)
	}
	a.Renew = true
	r := mustAppend(t, j, one(a))
	if ev, err = j.Get(r[0].ID); err != nil {
		t.Fatal(err)
	}
	if data, state, err := j.Payload(&ev); string(data) != string(a.Data) || state != causal.Opened || err != nil {
		t.Errorf("payload under the new key: %x, %s, %v", data, state, err)
	}
	if _, err := audit(j); err != nil {
		t.Error(err)
	}
}

// A key is kept while it is among the last so many, and while it is young, whichever is longer.
// What is older may go, and does: the window does not grow for ever.
func TestTheWindowKeepsTheLastKeysAndTheYoungOnes(t *testing.T) {
	t.Parallel()
	for _, keep := range []int{1000, 100_000} {
		t.Run(fmt.Sprint(keep), func(t *testing.T) {
			t.Parallel()
			checkWindow(t, keep)
		})
	}
}

func checkWindow(t *testing.T, keep int) {
	now := time.UnixMilli(1_700_000_000_000)
	var mu sync.Mutex
	tick := func(d time.Duration) { mu.Lock(); now = now.Add(d); mu.Unlock() }
	clock := causal.NewClock(causal.ClockOptions{Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }})
	d := newDisk(t)
	o := journal.Options{Name: "window", SegmentBytes: 16 << 20, IdempotencyKeys: keep, IdempotencyAge: time.Hour, Clock: clock}
	fsys := noSync{d.FS}
	j := openFS(t, fsys, o)
	key := func(n int) *journal.Batch {
		return keyed(fmt.Sprintf("key%d", n), journal.Append{Coordinate: at("e"), Kind: 0x1001, Data: []byte{1}})
	}
	submitAll := func(from, to int) {
		var wg sync.WaitGroup
		for n := from; n < to; {
			batch := min(n+5000, to)
			wg.Add(batch - n)
			for ; n < batch; n++ {
				if err := j.Submit(key(n), func(_ []codec.Receipt, err error) {
					if err != nil {
						t.Error(err)
					}
					wg.Done()
				}); err != nil {
					t.Fatal(err)
				}
			}
			wg.Wait()
		}
	}
	known := func(n int) bool { return mustAppend(t, j, key(n))[0].Duplicate }

	const many = 70_000 // more than the journal keeps together in one piece
	submitAll(0, many)
	tick(30 * time.Minute)
	submitAll(many, 2*many)
	for _, n := range []int{0, many - 1, many, 2*many - 1} {
		if !known(n) {
			t.Errorf("key %d is younger than an hour and was forgotten", n)
		}
	}
	tick(48 * time.Hour)
	submitAll(2*many, 3*many)
	for n := 3*many - keep; n < 3*many; n += keep / 9 {
		if !known(n) {
			t.Errorf("key %d is among the last and was forgotten", n)
		}
	}
	if known(0) {
		t.Error("a key is kept for ever")
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = openFS(t, fsys, o)
	for n := 3*many - keep; n < 3*many; n += keep / 9 {
		if !known(n) {
			t.Errorf("key %d was forgotten by reopening", n)
		}
	}
}
