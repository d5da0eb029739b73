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
// left as it is.
func loadRotten(t *testing.T, disk *faultfs.Disk, g Granularity, size int64) (err error) {
	defer func() {
		if found := recover(); found != nil {
			err = fmt.Errorf("panic: %v", found)
		}
	}()
	m := disk.Mount()
	s, err := Load(m, g)
	damage := (*DamageError)(nil)
	switch {
	case err == nil || s != nil:
		return fmt.Errorf("loaded, with error %w", err)
	case !errors.As(err, &damage) || damage.File != fileName || damage.Offset < 0 || damage.Offset > size:
		return fmt.Errorf("it does not say where: %w", err)
	case m.Snapshot().Image() != disk.Image():
		return errors.New("the disk was changed")
	}
	return nil
}

func TestEveryFlippedBitIsRefused(t *testing.T) {
	flips := 0
	for g := None; g <= Subject; g++ {
		data := golden(t, g)
		disk := rotten(t, data)
		for off := range data {
			for bit := range 8 {
				must(t, disk.Flip(fileName, int64(off), 1<<bit))
				if err := loadRotten(t, disk, g, int64(len(data))); err != nil {
					t.Errorf("%s, bit %d of byte %d flipped: %v", g, bit, off, err)
				}
				must(t, disk.Flip(fileName, int64(off), 1<<bit))
				flips++
			}
		}
		if _, err := Load(disk.Mount(), g); err != nil { // the control
			t.Errorf("%s, as it was: %v", g, err)
		}
	}
	t.Logf("%d bits", flips)
}

func TestEveryOtherLengthIsRefused(t *testing.T) {
	cuts := 0
	for g := None; g <= Subject; g++ {
		data := golden(t, g)
		disk := rotten(t, data)
		for size := len(data) - 1; size >= 0; size-- {
			must(t, disk.Truncate(fileName, int64(size)))
			if err := loadRotten(t, disk, g, int64(size)); err != nil {
				t.Errorf("%s, cut to %d bytes: %v", g, size, err)
			}
			cuts++
		}
		if err := loadRotten(t, rotten(t, append(data, 0)), g, int64(len(data))+1); err != nil {
			t.Errorf("%s, with a byte more: %v", g, err)
		}
	}
	t.Logf("%d lengths", cuts)
}
