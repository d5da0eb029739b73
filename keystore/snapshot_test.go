package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"batpak/causal"
	"batpak/faultfs"
)

// copied publishes a snapshot in a folder of its own, and loads it.
func copied(t testing.TB, b []byte) *Store {
	t.Helper()
	disk := newDisk(t)
	must(t, faultfs.Publish(disk, fileName, b, perm))
	return load(t, disk, Subject)
}

func TestSnapshotHasWhatWasFlushedAndNothingOfWhatWasDestroyed(t *testing.T) {
	disk := newDisk(t)
	s := newStore(t, disk, Subject)
	kept, gone := mintKey(t, s, subject("kept")), mintKey(t, s, subject("gone"))
	a, b := seal(t, kept, "a"), seal(t, gone, "b")
	s.SetSeen(9)
	must(t, s.Flush())
	wiped := bytesAt(t, disk, fileName, recordOffset(2)+sealedAt, sealedSize)
	_, err := s.Destroy(subject("gone"))
	must(t, err)
	must(t, s.Flush())
	planted(t, disk, fileName, wiped, recordOffset(2)+sealedAt) // as if it had been read before it was wiped
	planted(t, disk, fileName, wiped, recordOffset(8))
	got, stats, err := Snapshot(t.Context(), disk)
	must(t, err)
	if stats != s.Stats() || stats.Live != 1 || stats.Destroyed != 1 {
		t.Errorf("it has %+v, want %+v", stats, s.Stats())
	}
	if bytes.Contains(got, wiped) {
		t.Error("a key that was destroyed is in it")
	}
	c := copied(t, got)
	a.wantOpens(t, c)
	_, err = c.ByID(b.key)
	wantErr(t, err, ErrShredded)
	if c.Seen() != 0 {
		t.Errorf("it has seen %d", c.Seen())
	}
	must(t, c.Flush())
}

// While keys are minted, flushed and destroyed, every snapshot loads, and has all that was flushed before it.
func TestSnapshotOfAStoreAtWork(t *testing.T) {
	disk := newDisk(t)
	s := newStore(t, disk, Subject)
	type made struct {
		id   causal.KeyID
		gone bool
	}
	flushed := make(chan []made, 1)
	flushed <- nil
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(done)
		var all []made
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			k, err := s.GetOrCreate(subject(fmt.Sprint(i)))
			if err == nil && i%3 == 2 {
				_, err = s.Destroy(subject(fmt.Sprint(i - 1)))
				all[i-1].gone = true
			}
			if err == nil {
				all = append(all, made{id: k.ID()})
				err = s.Flush()
			}
			if err != nil {
				done <- err
				return
			}
			<-flushed
			flushed <- append([]made(nil), all...)
		}
	}()
	for range 40 {
		before := <-flushed
		flushed <- before
		b, _, err := Snapshot(t.Context(), disk)
		must(t, err)
		c := copied(t, b)
		for _, m := range before {
			_, err := c.ByID(m.id)
			if m.gone && !errors.Is(err, ErrShredded) || !m.gone && err != nil && !errors.Is(err, ErrShredded) {
				t.Fatalf("key %s, destroyed %v: %v", m.id, m.gone, err)
			}
		}
	}
	close(stop)
	must(t, <-done)
	if n := len(<-flushed); n < 40 {
		t.Errorf("only %d keys were made", n)
	}
}

func TestSnapshotRefusesWhatItCannotTrust(t *testing.T) {
	_, _, err := Snapshot(t.Context(), newDisk(t))
	wantErr(t, err, ErrNotExist)
	data := golden(t, Subject)
	for _, n := range []int{0, 1, pageSize, recordStart - 1, recordStart, len(data) - 1} {
		disk := newDisk(t)
		must(t, faultfs.Publish(disk, fileName, data[:n], perm))
		_, _, err := Snapshot(t.Context(), disk)
		wantErr(t, err, ErrDamaged)
	}
}
