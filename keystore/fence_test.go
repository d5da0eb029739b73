package keystore

import (
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"

	"batpak/causal"
	"batpak/faultfs"
)

// Every operation of a publish, each of which can fail.
var publishSteps = []faultfs.Op{faultfs.OpCreate, faultfs.OpWrite, faultfs.OpSync, faultfs.OpRename, faultfs.OpSyncDir}

// Every operation of a flush: the records, then the state that counts them.
var flushSteps = []faultfs.Rule{
	{On: faultfs.OpWrite, Nth: 1, Do: faultfs.Fail(syscall.ENOSPC)}, {On: faultfs.OpSyncData, Nth: 1, Do: faultfs.Fail(syscall.ENOSPC)},
	{On: faultfs.OpWrite, Nth: 2, Do: faultfs.Fail(syscall.ENOSPC)},
}

func stepName(r faultfs.Rule) string { return fmt.Sprint(r.On, " ", r.Nth) }

func TestFailedFlushLeavesTheOldKeysetOrTheNewOne(t *testing.T) {
	for _, rule := range flushSteps {
		t.Run(stepName(rule), func(t *testing.T) {
			disk := newDisk(t)
			s := newStore(t, disk, Subject)
			earlier := seal(t, mintKey(t, s, subject("earlier")), "first plaintext")
			must(t, s.Flush())
			later := seal(t, mintKey(t, s, subject("later")), "second plaintext")
			disk.Add(rule)
			wantErr(t, s.Flush(), syscall.ENOSPC)
			again := load(t, disk, Subject)
			earlier.wantOpens(t, again)
			if _, err := again.ByID(later.key); err == nil {
				later.wantOpens(t, again)
				if k, err := again.Get(subject("later")); err != nil || k.ID() != later.key {
					t.Fatalf("half of the new keyset is there: %v, %v", k, err)
				}
			} else {
				wantErr(t, err, ErrKeyMissing)
				_, err = again.Get(subject("later"))
				wantErr(t, err, ErrKeyMissing)
			}
		})
	}
}

func TestFailedFlushLeavesKeysetDirty(t *testing.T) {
	for _, rule := range flushSteps {
		t.Run(stepName(rule), func(t *testing.T) {
			disk := newDisk(t)
			s := newStore(t, disk, Subject)
			if s.Dirty() {
				t.Fatal("a new keyset is dirty")
			}

			// An append: have the key, seal, pass the fence, acknowledge.
			first := mintKey(t, s, subject("a"))
			disk.Add(rule)
			wantErr(t, s.Flush(), syscall.ENOSPC)
			if !s.Dirty() {
				t.Fatal("a flush that failed left the keyset clean")
			}

			// The next append under the same scope finds the key in memory, and must
			// flush again all the same.
			second := mintKey(t, s, subject("a"))
			if second != first {
				t.Fatal("a failed flush lost the key")
			}
			c := seal(t, second, "text")
			if !s.Dirty() {
				t.Fatal("finding the key in memory left the keyset clean")
			}
			must(t, s.Flush())
			if s.Dirty() {
				t.Fatal("a flush that succeeded left the keyset dirty")
			}
			c.wantOpens(t, load(t, disk, Subject))
		})
	}
}

// With a reserve, a key for a new scope is durable already, and the fence has nothing to wait for.
func TestReserveMakesTheFenceFree(t *testing.T) {
	disk := newDisk(t)
	s, err := New(t.Context(), disk, Subject, Options{Reserve: 4})
	must(t, err)
	defer s.Close()
	var all []sealed
	for i := range 4 {
		if got := s.Low(); got != (i > 2) {
			t.Fatalf("after %d keys, low is %v", i, got)
		}
		all = append(all, seal(t, mintKey(t, s, subject(fmt.Sprint(i))), "text"))
		if s.Dirty() {
			t.Fatalf("key %d made the keyset dirty", i)
		}
	}
	for _, c := range all {
		c.wantOpens(t, load(t, disk, Subject)) // nobody flushed
	}
	mintKey(t, s, subject("one more"))
	if !s.Dirty() {
		t.Fatal("a key that is not durable left the keyset clean")
	}
	must(t, s.Reserve())
	if n := s.Stats().Spare; s.Dirty() || s.Low() || n != 10 { // twice what was taken
		t.Fatalf("after a refill: dirty %v, low %v, %d spares", s.Dirty(), s.Low(), n)
	}
	before := disk.Count(faultfs.OpSyncData)
	must(t, s.Reserve())
	if n := s.Stats().Spare; n != 10 || disk.Count(faultfs.OpSyncData) != before {
		t.Fatalf("a second refill made %d spares", n)
	}
}

// What the reserve keeps in memory of a key goes when the key is destroyed.
func TestDestroyingASpareWipesIt(t *testing.T) {
	s, err := New(t.Context(), newDisk(t), Subject, Options{Reserve: 2})
	must(t, err)
	defer s.Close()
	mintKey(t, s, subject("a"))
	mintKey(t, s, subject("b"))
	must(t, s.Reserve())
	last := &s.spares[len(s.spares)-1]
	id, secret := s.keys.at(last.n).id, &last.secret
	if !last.known || *secret == [KeySize]byte{} {
		t.Fatal("the reserve keeps nothing of its keys")
	}
	_, err = s.Destroy(subject("c"), id)
	must(t, err)
	if *secret != [KeySize]byte{} || last.known || !s.Dirty() {
		t.Fatalf("wiped %v, forgotten %v, dirty %v", *secret == [KeySize]byte{}, !last.known, s.Dirty())
	}
	_, err = s.ByID(id)
	wantErr(t, err, ErrShredded)
	if k := mintKey(t, s, subject("d")); k.ID() == id {
		t.Fatal("a key that was destroyed is given out")
	}
	must(t, s.Flush())
	if s.Dirty() {
		t.Fatal("a flush that succeeded left the keyset dirty")
	}
}

// A reserve that could not be made durable gives nothing away.
func TestFailedReserveGivesNoKeys(t *testing.T) {
	for _, rule := range flushSteps {
		t.Run(stepName(rule), func(t *testing.T) {
			disk := newDisk(t)
			s, err := New(t.Context(), disk, Subject, Options{Reserve: 2})
			must(t, err)
			defer s.Close()
			mintKey(t, s, subject("a"))
			mintKey(t, s, subject("b"))
			disk.Add(rule)
			wantErr(t, s.Reserve(), syscall.ENOSPC)
			c := seal(t, mintKey(t, s, subject("c")), "text")
			if !s.Dirty() {
				t.Fatal("a key of a reserve that was not made durable was given out as durable")
			}
			must(t, s.Flush())
			c.wantOpens(t, load(t, disk, Subject))
		})
	}
}

// The log says which scope a key is of, so a binding that was never flushed is found again.
func TestBindingIsRecoveredFromTheLog(t *testing.T) {
	disk := newDisk(t)
	s, err := New(t.Context(), disk, Subject, Options{Reserve: 2})
	must(t, err)
	a := mintKey(t, s, subject("a"))
	c := seal(t, a, "text")
	s.Used(a)
	must(t, s.Close()) // without a flush
	s, err = Load(t.Context(), disk, Subject, Options{Reserve: 2})
	must(t, err)
	defer s.Close()
	_, err = s.Get(subject("a"))
	wantErr(t, err, ErrKeyMissing)
	must(t, s.Bind(subject("a"), c.key))
	if k, err := s.Get(subject("a")); err != nil || k.ID() != c.key || s.Events(c.key) != 1 {
		t.Fatalf("bound to %v, %v, with %d events", k, err, s.Events(c.key))
	}
	if k := mintKey(t, s, subject("b")); k.ID() == c.key {
		t.Fatal("a key that was bound is given to another scope")
	}
	wantErr(t, s.Bind(subject("b"), c.key), ErrScope)
	// One that the keyset does not have is noted as missing, and an erasure reaches it.
	missing := causal.KeyID{7}
	must(t, s.Bind(subject("b"), missing))
	_, err = s.ByID(missing)
	wantErr(t, err, ErrKeyMissing)
	ids, err := s.Destroy(subject("b"))
	if err != nil || len(ids) != 2 {
		t.Fatalf("destroyed %v, %v", ids, err)
	}
	must(t, s.Flush())
	_, err = load(t, disk, Subject).ByID(missing)
	wantErr(t, err, ErrShredded)
}

// A successor is nothing to its scope before an event under it is on record.
func TestSuccessorIsTheScopesKeyWhenItIsUsed(t *testing.T) {
	disk := newDisk(t)
	s := newStore(t, disk, Subject)
	first := mintKey(t, s, subject("a"))
	_, err := s.Destroy(subject("a"))
	must(t, err)
	unused, err := s.Successor(subject("a"))
	must(t, err)
	_, err = s.GetOrCreate(subject("a"))
	wantErr(t, err, ErrShredded)
	second, err := s.Successor(subject("a"))
	must(t, err)
	if second.ID() == unused.ID() || second.ID() == first.ID() {
		t.Fatal("two successors are one key")
	}
	c := seal(t, second, "text")
	must(t, s.Flush())
	s.Used(second)
	for range 2 {
		if k, err := s.GetOrCreate(subject("a")); err != nil || k.ID() != second.ID() {
			t.Fatalf("the scope's key is %v, %v", k, err)
		}
		c.wantOpens(t, s)
		must(t, s.Flush())
		s = load(t, disk, Subject)
	}
}

func TestFlushOfACleanKeysetDoesNoIO(t *testing.T) {
	disk := newDisk(t)
	s := newStore(t, disk, Subject)
	mintKey(t, s, subject("a"))
	must(t, s.Flush())
	before := disk.Count(faultfs.OpAny)
	mintKey(t, s, subject("a"))
	_, err := s.Get(subject("b"))
	wantErr(t, err, ErrKeyMissing)
	must(t, s.Flush())
	if n := disk.Count(faultfs.OpAny) - before; n != 0 {
		t.Fatalf("%d operations went to the disk, want none", n)
	}
}

// What a load found may have been left by a process that died before it synced the folder.
func TestLoadedKeysetPassesTheFenceOnceTheFolderIsSynced(t *testing.T) {
	disk := newDisk(t)
	s := newStore(t, disk, Subject)
	mintKey(t, s, subject("a"))
	must(t, s.Flush())
	s = load(t, disk, Subject)
	if mintKey(t, s, subject("a")); !s.Dirty() {
		t.Fatal("a loaded keyset is clean")
	}
	disk.Add(faultfs.Rule{On: faultfs.OpSyncDir, Nth: 1, Do: faultfs.Fail(syscall.EIO)})
	wantErr(t, s.Flush(), syscall.EIO)
	if !s.Dirty() {
		t.Fatal("a flush that failed left the keyset clean")
	}
	before := disk.Count(faultfs.OpSync | faultfs.OpSyncDir)
	must(t, s.Flush())
	if n := disk.Count(faultfs.OpSync|faultfs.OpSyncDir) - before; s.Dirty() || n != 2 {
		t.Fatalf("dirty %v after %d syncs, want file and folder", s.Dirty(), n)
	}
}

func TestDestroyPassesTheFenceLikeAMint(t *testing.T) {
	disk := newDisk(t)
	s := newStore(t, disk, Subject)
	c := seal(t, mintKey(t, s, subject("a")), "text")
	must(t, s.Flush())
	_, err := s.Destroy(subject("a"))
	must(t, err)
	disk.Add(faultfs.Rule{On: faultfs.OpWrite, Nth: 1, Do: faultfs.Fail(syscall.EIO)})
	wantErr(t, s.Flush(), syscall.EIO)
	if !s.Dirty() {
		t.Fatal("an erasure that is not durable left the keyset clean")
	}
	c.wantOpens(t, load(t, disk, Subject)) // so nobody may be told that it is gone
	must(t, s.Flush())
	_, err = load(t, disk, Subject).ByID(c.key)
	wantErr(t, err, ErrShredded)
}

// While one flush is stuck in the disk, keys are minted, found and used, and a
// second flush waits. The first takes what there was when it began, so the store
// stays dirty after it, and the second has the rest to write.
func TestFlushDoesNotHoldUpMintingAndTakesOnlyWhatItSaw(t *testing.T) {
	disk := newDisk(t)
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, disk, Subject)
		a := mintKey(t, s, subject("a"))
		gate := make(chan struct{})
		disk.Add(faultfs.Rule{On: faultfs.OpSyncData, Nth: 1, Do: faultfs.Block(gate)})

		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- s.Flush() }()
		synctest.Wait()
		b := mintKey(t, s, subject("b"))
		seal(t, b, "text")
		if k, err := s.Get(subject("a")); k != a || err != nil {
			t.Fatalf("got %v, %v", k, err)
		}
		go func() { second <- s.Flush() }()
		synctest.Wait()
		if n := disk.Count(faultfs.OpSyncData); n != 1 {
			t.Fatalf("%d syncs began, want 1: one flush at a time", n)
		}
		select {
		case err := <-second:
			t.Fatalf("the second flush returned %v before its key was durable", err)
		default:
		}
		if !s.Dirty() {
			t.Fatal("the keyset is clean while its flush runs")
		}

		// The second flush stops too, before it replaces what the first wrote.
		stop := make(chan struct{})
		disk.Add(faultfs.Rule{On: faultfs.OpWrite, Nth: 2, Do: faultfs.Block(stop)}) // the first is the state of the first flush
		close(gate)
		must(t, <-first)
		synctest.Wait()
		if !s.Dirty() {
			t.Fatal("the first flush called clean what it had not seen")
		}
		onDisk := load(t, disk, Subject)
		if _, err := onDisk.ByID(a.ID()); err != nil {
			t.Fatalf("the first flush returned without its key: %v", err)
		}
		_, err := onDisk.ByID(b.ID())
		wantErr(t, err, ErrKeyMissing)
		close(stop)
		must(t, <-second)
		if s.Dirty() {
			t.Fatal("the keyset is dirty after the second flush")
		}
	})
	if n := load(t, disk, Subject).Len(); n != 2 {
		t.Fatalf("%d keys were loaded, want 2", n)
	}
}

// A waiting flush whose changes the running one took along has nothing to do.
func TestWaitingFlushSharesTheOneThatTookItsKeys(t *testing.T) {
	disk := newDisk(t)
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, disk, Subject)
		mintKey(t, s, subject("a"))
		gate := make(chan struct{})
		disk.Add(faultfs.Rule{On: faultfs.OpWrite, Nth: 1, Do: faultfs.Block(gate)})
		done := make(chan error, 8)
		for range cap(done) {
			go func() { done <- s.Flush() }()
		}
		synctest.Wait()
		close(gate)
		for range cap(done) {
			must(t, <-done)
		}
	})
	if n := disk.Count(faultfs.OpSyncData); n != 1 {
		t.Fatalf("%d syncs, want that of one flush", n)
	}
}

func TestConcurrentUseKeepsEveryFlushedKey(t *testing.T) {
	disk := newDisk(t)
	s := newStore(t, disk, Event)
	type result struct {
		c         sealed
		destroyed bool
		err       error
	}
	const workers, rounds = 4, 8
	results := make(chan result, workers*rounds)
	for w := range workers {
		go func() {
			for r := range rounds {
				scope, _ := Event.Scope(&causal.Header{ID: causal.EventID{1, byte(w), byte(r)}})
				k, err := s.GetOrCreate(scope)
				if err != nil {
					results <- result{err: err}
					continue
				}
				c := sealed{key: k.ID(), nonce: k.NewNonce(), plaintext: []byte("text")}
				c.ciphertext, err = k.Seal(nil, c.plaintext, nil, &c.nonce)
				res := result{c: c, destroyed: r%3 == 0, err: err}
				if res.destroyed && res.err == nil {
					_, res.err = s.Destroy(scope)
				}
				if res.err == nil {
					res.err = s.Flush()
				}
				results <- res
			}
		}()
	}
	var all []result
	for range workers * rounds {
		r := <-results
		must(t, r.err)
		all = append(all, r)
	}
	if s.Dirty() {
		t.Fatal("every change was flushed and the keyset is dirty")
	}
	again := load(t, disk, Event)
	for _, r := range all {
		if r.destroyed {
			_, err := again.ByID(r.c.key)
			wantErr(t, err, ErrShredded)
		} else {
			r.c.wantOpens(t, again)
		}
	}
	if again.Len() != s.Len() {
		t.Fatalf("%d live keys in memory, %d on disk", s.Len(), again.Len())
	}
}
