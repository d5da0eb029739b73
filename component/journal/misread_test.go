package journal_test

import (
	"errors"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"

	"batpak/causal"
	"batpak/component/journal"
	"batpak/faultfs"
)

// misread is a disk that once gives a wrong bit: of the reads of a file that cover an offset, the
// nth is wrong there. What is on the disk is right.
type misread struct {
	faultfs.FS
	name  string
	off   int64
	nth   int64
	reads atomic.Int64 // so far, of the file, covering the offset
}

func (m *misread) OpenFile(name string, flag int, perm fs.FileMode) (faultfs.File, error) {
	f, err := m.FS.OpenFile(name, flag, perm)
	if err != nil || name != m.name {
		return f, err
	}
	return &misreadFile{f, m}, nil
}

type misreadFile struct {
	faultfs.File
	disk *misread
}

func (f *misreadFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(b, off)
	if at := f.disk.off - off; at >= 0 && at < int64(n) && f.disk.reads.Add(1) == f.disk.nth {
		b[at] ^= 1 << (f.disk.off % 8)
	}
	return n, err
}

// A read may come back wrong once, of a disk that is right. Whichever read it is, the journal opens
// with all that was acknowledged or says what is wrong, and the next Open has everything.
func TestOneWrongReadCutsNothingOff(t *testing.T) {
	t.Parallel()
	o := journal.Options{Name: "misread", SegmentBytes: small}
	killed, closed, events := journalFiles(t, o, 2)
	seg := lastSegment(killed)
	groups, end := spans(killed[seg])
	last := groups[len(groups)-1]
	torn := with(killed, seg, edit(killed[seg], func(b []byte) { clear(b[last.end-20 : last.end]) }))
	offsets := []int{firstFrame, end, end + 16, end + 5000, small - 1}
	step := 13
	if underRace {
		step = 67
	}
	for off := groups[len(groups)-3].start; off < end; off += step {
		offsets = append(offsets, off)
	}
	for _, g := range groups[len(groups)-3:] { // the headers, and what pads the bodies
		for _, off := range g.ends {
			offsets = append(offsets, off-1, off-4, off+1, off+13)
		}
	}
	dir := tempDir(t)
	fsys := noSync{realDir(t, dir)}
	for what, tc := range map[string]struct {
		files map[string][]byte
		want  []causal.Event
	}{"killed": {killed, events}, "closed": {closed, events}, "torn": {torn, events[:len(events)-last.events]}} {
		differ := 0
		for _, off := range offsets {
			for nth, more := int64(1), true; more; nth++ {
				place(t, dir, tc.files)
				m := &misread{FS: fsys, name: seg, off: int64(off), nth: nth}
				j, err := journal.Open(t.Context(), m, o)
				more = m.reads.Load() >= nth
				var d *journal.DamageError
				if err == nil {
					err = j.Close()
				} else if errors.As(err, &d) {
					err = nil
					if strings.HasPrefix(d.Reason, "two readings differ") {
						differ++
					}
				}
				if err != nil {
					t.Errorf("%s: byte %d, read %d of it: %v", what, off, nth, err)
				}
				got, err := look(t, dir, o)
				if err == nil {
					err = sameEvents(got, tc.want)
				}
				if err != nil {
					t.Errorf("%s: byte %d, read %d of it, opened again: %v", what, off, nth, err)
				}
			}
		}
		if differ == 0 && what != "closed" {
			t.Errorf("%s: no reading was found to differ", what)
		}
	}
}
