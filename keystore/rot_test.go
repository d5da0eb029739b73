package keystore

import (
	"errors"
	"fmt"
	"testing"

	"batpak/faultfs"
)

// rotten is a keyset on a disk.
func rotten(t *testing.T, data []byte) *faultfs.Disk {
	t.Helper()
	m := faultfs.NewDisk(faultfs.POSIX).Mount()
	must(t, faultfs.Publish(m, fileName, data, perm))
	return m.Snapshot()
}

// loadRotten loads the keyset of a disk that rotted. It must be refused, with the file and a place in it, and the disk
// left as it is; or be as it was.
func loadRotten(t *testing.T, disk *faultfs.Disk, g Granularity, size int64) (opened bool, err error) {
	defer func() {
		if found := recover(); found != nil {
			err = fmt.Errorf("panic: %v", found)
		}
	}()
	m := disk.Mount()
	s, err := Load(t.Context(), m, g, bare)
	damage := (*DamageError)(nil)
	switch {
	case err == nil:
		defer s.Close()
		return true, asItWas(t, s, g)
	case s != nil:
		return false, fmt.Errorf("loaded, with error %w", err)
	case !errors.As(err, &damage) || damage.File != fileName || damage.Offset < 0 || damage.Offset > size:
		return false, fmt.Errorf("it does not say where: %w", err)
	case m.Snapshot().Image() != disk.Image():
		return false, errors.New("the disk was changed")
	}
	return false, nil
}

// asItWas says whether a keyset is the golden one, or may be told by the log to be: what was seen may be less.
func asItWas(t *testing.T, s *Store, g Granularity) error {
	want := Stats{Granularity: g, Method: Clear, Live: 2, Destroyed: 2, Spare: 8}
	if g == None {
		want = Stats{Granularity: g, Method: Clear}
	}
	if got := s.Stats(); got != want || s.Seen() != 7 && s.Seen() != 0 {
		return fmt.Errorf("it has %+v, seen %d", got, s.Seen())
	}
	if g == None {
		return nil
	}
	scopes := fixedScopes(t, g)
	for _, scope := range []Scope{scopes[0], scopes[2]} {
		if _, err := s.Get(scope); err != nil {
			return err
		}
	}
	if _, err := s.Get(scopes[1]); !errors.Is(err, ErrShredded) {
		return fmt.Errorf("an erased scope: %w", err)
	}
	return s.Flush()
}

func TestEveryFlippedBitIsRefusedOrHarmless(t *testing.T) {
	flips, harmless := 0, 0
	for g := None; g <= Subject; g++ {
		data := golden(t, g)
		disk := rotten(t, data)
		for off := range data {
			for bit := range 8 {
				// All bits of one, one of eight of the others; and few of the zeros that fill pages.
				zeros := off < recordStart && data[off] == 0 && off%pageSize >= 128
				if bit != off%8 && (g != Entity || zeros) || zeros && off%16 > 0 {
					continue
				}
				must(t, disk.Flip(fileName, int64(off), 1<<bit))
				opened, err := loadRotten(t, disk, g, int64(len(data)))
				if err != nil {
					t.Errorf("%s, bit %d of byte %d flipped: %v", g, bit, off, err)
				}
				must(t, disk.Flip(fileName, int64(off), 1<<bit))
				if flips++; opened {
					harmless++
				}
			}
		}
		if opened, err := loadRotten(t, disk, g, int64(len(data))); err != nil || !opened { // the control
			t.Errorf("%s, as it was: %v", g, err)
		}
	}
	t.Logf("%d bits, %d of them harmless: in the older state, in the newer one, or where a key was wiped", flips, harmless)
}

func TestEveryOtherLengthIsRefused(t *testing.T) {
	cuts := 0
	for g := None; g <= Subject; g++ {
		data := golden(t, g)
		disk := rotten(t, data)
		for size := len(data) - 1; size >= 0; size-- {
			must(t, disk.Truncate(fileName, int64(size)))
			if opened, err := loadRotten(t, disk, g, int64(size)); err != nil || opened {
				t.Errorf("%s, cut to %d bytes: opened %v, %v", g, size, opened, err)
			}
			cuts++
		}
	}
	t.Logf("%d lengths", cuts)
}
