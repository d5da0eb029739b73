package journal_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"batpak/component/journal"
	"batpak/faultfs"
)

// errUnmarked says that a closed journal took damage to what it had acknowledged for a torn write.
var errUnmarked = errors.New("was closed, and does not notice rot")

// noticesRot checks a journal that has promised nothing since it was closed: when what was acknowledged last rots, Open
// refuses, also without the caches. It is the mark that says that this was durable. A copy rots, and not the disk.
func noticesRot(fsys fs.FS, acked []any) error {
	last := lastSeq(acked)
	if last == 0 {
		return nil
	}
	if _, ok := acked[len(acked)-1].(closed); !ok {
		return nil
	}
	truth, err := truthOf(fsys)
	if err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	if !rotAt(truth, last) {
		return nil
	}
	copied := faultfs.NewDisk(faultfs.Ext4).Mount()
	if err := restore(copied, truth); err != nil {
		return err
	}
	j, err := journal.Open(context.Background(), copied, explored)
	switch {
	case err == nil:
		return errors.Join(fmt.Errorf("event %d: %w", last, errUnmarked), j.Close())
	case !errors.Is(err, journal.ErrDamaged):
		return fmt.Errorf("open with rot: %w", err)
	}
	return nil
}

// lastSeq is the last event that was acknowledged.
func lastSeq(acked []any) (last uint64) {
	for _, p := range acked {
		if p, ok := p.(kept); ok {
			last = max(last, p.receipts[len(p.receipts)-1].Seq)
		}
	}
	return last
}

// truthOf reads the files that are no caches.
func truthOf(fsys fs.FS) (map[string][]byte, error) {
	truth := map[string][]byte{}
	return truth, fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || isCache(name) || name == "LOCK" || strings.HasSuffix(name, faultfs.TempSuffix) {
			return err
		}
		truth[name], err = fs.ReadFile(fsys, name)
		return err
	})
}

// rotAt flips a bit in the group of an event. It reports false for one that is not followed by a mark because there was no
// room: nothing notices that until the next segment begins.
func rotAt(truth map[string][]byte, seq uint64) bool {
	for name, b := range truth {
		if !strings.HasSuffix(name, ".seg") || len(b) < firstFrame {
			continue
		}
		groups, _ := spans(b)
		for _, g := range groups {
			if g.first <= seq && seq < g.first+uint64(g.events) {
				b[(g.start+g.end)/2] ^= 0x40
				return name != lastSegment(truth) || g.end+16 <= len(b)
			}
		}
	}
	return false
}

// restore writes files into an empty journal directory.
func restore(fsys faultfs.FS, m map[string][]byte) error {
	for _, dir := range []string{"segments", "keys"} {
		if err := fsys.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	for name, b := range m {
		f, err := fsys.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		if _, err = f.WriteAt(b, 0); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}
