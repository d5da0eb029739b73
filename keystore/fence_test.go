package keystore

import (
	"io/fs"
	"syscall"
	"testing"
	"testing/synctest"

	"batpak/causal"
	"batpak/faultfs"
)

// Every operation of a publish, each of which can fail.
var publishSteps = []faultfs.Op{faultfs.OpCreate, faultfs.OpWrite, faultfs.OpSync, faultfs.OpRename, faultfs.OpSyncDir}

func TestFailedPublishLeavesTheOldKeysetIntact(t *testing.T) {
	for _, test := range []struct {
		name  string
		rules []faultfs.Rule
		fails bool
	}{
		{"rename fails", []faultfs.Rule{{On: faultfs.OpRename, Nth: 1, Do: faultfs.Fail(syscall.EIO)}}, true},
		{"rename and clean-up fail", []faultfs.Rule{
			{On: faultfs.OpRename, Nth: 1, Do: faultfs.Fail(syscall.EIO)},
			{On: faultfs.OpRemove, Nth: 1, Do: faultfs.Fail(syscall.EIO)}}, true},
		{"no fault, the control", nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			disk := newDisk(t)
			s := newStore(t, disk, Subject)
			earlier := seal(t, mintKey(t, s, subject("earlier")), "first plaintext")
			must(t, s.Flush())
			before, err := fs.ReadFile(disk, fileName)
			must(t, err)

			later := seal(t, mintKey(t, s, subject("later")), "second plaintext")
			disk.Add(test.rules...)
			err = s.Flush()
			if test.fails {
				wantErr(t, err, syscall.EIO)
				after, err := fs.ReadFile(disk, fileName)
				must(t, err)
				if string(after) != string(before) {
					t.Fatal("the keyset on disk is not the old one, byte for byte")
				}
			} else {
				must(t, err)
			}

			again := load(t, disk, Subject)
			earlier.wantOpens(t, again)
			if test.fails {
				_, err = again.ByID(later.key)
				wantErr(t, err, ErrKeyMissing)
				_, err = again.Get(subject("later"))
				wantErr(t, err, ErrKeyMissing)
			} else {
				later.wantOpens(t, again)
			}
			if entries, err := disk.ReadDir("."); err != nil || len(entries) != 1 {
				t.Fatalf("after a load the folder holds %v (%v), want the keyset alone", entries, err)
			}
		})
	}
}

func TestFailedFlushLeavesKeysetDirty(t *testing.T) {
	for _, step := range publishSteps {
		t.Run(step.String(), func(t *testing.T) {
			disk := newDisk(t)
			s := newStore(t, disk, Subject)
			if s.Dirty() {
				t.Fatal("a new keyset is dirty")
			}

			// An append: have the key, seal, pass the fence, acknowledge.
			first := mintKey(t, s, subject("a"))
			disk.Add(faultfs.Rule{On: step, Nth: 1, Do: faultfs.Fail(syscall.ENOSPC)})
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
			before := disk.Count(faultfs.OpSync | faultfs.OpSyncDir)
			must(t, s.Flush())
			if n := disk.Count(faultfs.OpSync|faultfs.OpSyncDir) - before; n != 2 {
				t.Fatalf("the second flush synced %d times, want file and folder", n)
			}
			if s.Dirty() {
				t.Fatal("a flush that succeeded left the keyset dirty")
			}
			c.wantOpens(t, load(t, disk, Subject))
		})
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
	before := disk.Count(faultfs.OpAny)
	must(t, s.Flush())
	if s.Dirty() || disk.Count(faultfs.OpAny)-before != 1 {
		t.Fatalf("dirty %v after %d operations, want one", s.Dirty(), disk.Count(faultfs.OpAny)-before)
	}
}

func TestDestroyPassesTheFenceLikeAMint(t *testing.T) {
	disk := newDisk(t)
	s := newStore(t, disk, Subject)
	c := seal(t, mintKey(t, s, subject("a")), "text")
	must(t, s.Flush())
	_, err := s.Destroy(subject("a"))
	must(t, err)
	disk.Add(faultfs.Rule{On: faultfs.OpRename, Nth: 1, Do: faultfs.Fail(syscall.EIO)})
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
		disk.Add(faultfs.Rule{On: faultfs.OpSync, Nth: 1, Do: faultfs.Block(gate)})

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
		if n := disk.Count(faultfs.OpSync); n != 2 { // that of New, and the one that is stuck
			t.Fatalf("%d syncs began, want 2: one flush at a time", n)
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
		disk.Add(faultfs.Rule{On: faultfs.OpCreate, Nth: 1, Do: faultfs.Block(stop)})
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
		disk.Add(faultfs.Rule{On: faultfs.OpCreate, Nth: 1, Do: faultfs.Block(gate)})
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
	if n := disk.Count(faultfs.OpRename); n != 2 { // that of New, and one
		t.Fatalf("%d publishes, want 2", n)
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
