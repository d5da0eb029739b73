package journal_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"batpak/component/journal"
	"batpak/keystore"
)

// Whatever is wrong with the last group of a journal that was not closed, nobody can have been
// promised more than what is before it: it is cut off, and the journal goes on.
func TestATornLastGroupIsCutOff(t *testing.T) {
	t.Parallel()
	o := journal.Options{Name: "torn", SegmentBytes: small}
	killed, _, events := journalFiles(t, o, 2)
	seg := lastSegment(killed)
	groups, end := spans(killed[seg])
	last := groups[len(groups)-1]
	if last.events != 3 || last.end != end {
		t.Fatalf("last group is %+v of %d, end %d", last, len(groups), end)
	}
	before := events[:len(events)-3]

	damage := map[string]func(b []byte){}
	for off := last.start; off < last.end; off += 24 {
		damage[fmt.Sprintf("zeros from %d", off)] = func(b []byte) { clear(b[off:]) }
	}
	flip := func(off int) { damage[fmt.Sprintf("flip at %d", off)] = func(b []byte) { b[off] ^= 1 << (off % 8) } }
	for off := last.start; off < last.end; off += 23 {
		flip(off)
	}
	for _, end := range last.ends { // with the padding, and what the next header begins with
		for off := end - 8; off < min(end+16, last.end); off++ {
			flip(off)
		}
	}
	for off := (last.start + 511) &^ 511; off < last.end; off += 512 {
		damage[fmt.Sprintf("missing sector at %d", off)] = func(b []byte) { clear(b[off:min(off+512, last.end)]) }
	}
	damage["garbage"] = func(b []byte) {
		for i := last.start; i < last.end; i++ {
			b[i] = byte(i*7 + 1)
		}
	}
	damage["garbage behind a torn group"] = func(b []byte) {
		clear(b[last.start+40 : last.end])
		for i := last.end; i < len(b); i++ {
			b[i] = byte(i*13 + 5)
		}
	}
	for off := last.end; off < len(killed[seg])-8; off += 1021 {
		damage[fmt.Sprintf("one byte, at %d", off)] = func(b []byte) {
			clear(b[last.start:last.end])
			b[off] = 1
		}
	}
	dir := tempDir(t)
	for what, f := range damage {
		place(t, dir, with(killed, seg, edit(killed[seg], f)))
		got, err := look(t, dir, o)
		if err == nil {
			err = sameEvents(got, before)
		}
		if err != nil {
			t.Errorf("%s, group at %d to %d: %v", what, last.start, last.end, err)
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, seg))
		if err != nil {
			t.Fatal(err)
		}
		_, end := spans(b)
		if rest := bytes.Trim(b[end:], "\x00"); len(rest) > 0 {
			t.Errorf("%s: %d bytes are left behind the cut", what, len(rest))
		}
		none := len(bytes.Trim(edit(killed[seg], f)[last.start:], "\x00")) == 0 // nothing was torn then
		if epoch := b[end-16+12]; epoch != 1 && !none {
			t.Errorf("%s: epoch %d after the cut", what, epoch)
		}
		if err := mustHold(realDir(t, dir), o, nil); err != nil {
			t.Errorf("%s: opened again: %v", what, err)
		}
		got, err = look(t, dir, o)
		if err == nil && len(got) != len(before)+1 {
			err = fmt.Errorf("%d events, want one more than %d", len(got), len(before))
		}
		if err != nil {
			t.Errorf("%s: opened a third time: %v", what, err)
		}
	}

	// Bytes behind the last group are torn off too, without taking anything along.
	for _, off := range []int{last.end, last.end + 8, last.end + 4096, len(killed[seg]) - 8, len(killed[seg]) - 1} {
		place(t, dir, with(killed, seg, edit(killed[seg], func(b []byte) { b[off] = 0xAA })))
		got, err := look(t, dir, o)
		if err == nil {
			err = sameEvents(got, events)
		}
		if err != nil {
			t.Errorf("byte at %d, behind the last group: %v", off, err)
		}
	}
}

// Damage to what was durable for certain is refused, with its place, and nothing is touched.
func TestRotIsRefusedAndTheDirectoryLeftAlone(t *testing.T) {
	t.Parallel()
	o := journal.Options{Name: "rot", Seal: keystore.Entity, SegmentBytes: small}
	killed, closed, _ := journalFiles(t, o, 3)
	seg := lastSegment(killed)
	groups, _ := spans(killed[seg])
	sealed := firstSegment
	sealedGroups, _ := spans(killed[sealed])

	type rot struct {
		files map[string][]byte
		file  string // that the error names
		from  int    // offsets that the error may name; none when to is 0
		to    int
	}
	rots := map[string]rot{}
	flips := func(what string, m map[string][]byte, file string, gs []span, step int) {
		for i, g := range gs {
			for off := g.start + i%step; off < g.end; off += step {
				rots[fmt.Sprintf("%s, flip at %d", what, off)] = rot{with(m, file, edit(m[file], func(b []byte) { b[off] ^= 0x10 })), file, g.start, g.end - 1}
			}
			rots[fmt.Sprintf("%s, group %d zeroed", what, i)] = rot{with(m, file, edit(m[file], func(b []byte) { clear(b[g.start:g.end]) })), file, g.start, g.start}
		}
	}
	noCache := maps.Clone(killed)
	maps.DeleteFunc(noCache, func(name string, _ []byte) bool { return isCache(name) })
	flips("killed", killed, seg, groups[:len(groups)-1], 37)
	flips("killed, sealed segment", noCache, sealed, sealedGroups, 4099)
	closedGroups, _ := spans(closed[seg])
	if closedGroups[len(closedGroups)-1].events > 0 {
		t.Error("no mark at the end of a closed journal")
	}
	flips("closed", closed, seg, closedGroups[:len(closedGroups)-1], 41) // the last one is the mark
	flips("closed, without checkpoint", with(closed, "checkpoint", nil), seg, closedGroups[:len(closedGroups)-1], 43)
	for off := range 64 {
		for _, file := range []string{sealed, seg} {
			rots[fmt.Sprintf("header of %s, flip at %d", file, off)] = rot{with(killed, file, edit(killed[file], func(b []byte) { b[off] ^= 1 })), file, 0, 0}
		}
	}
	for off := range killed["journal.meta"] {
		rots[fmt.Sprintf("meta, flip at %d", off)] = rot{with(killed, "journal.meta", edit(killed["journal.meta"], func(b []byte) { b[off] ^= 1 })), "journal.meta", -1, 0}
	}
	for _, n := range []int{0, 1, 20, len(killed["journal.meta"]) - 1} {
		rots[fmt.Sprintf("meta of %d bytes", n)] = rot{with(killed, "journal.meta", killed["journal.meta"][:n]), "journal.meta", -1, 0}
	}
	rots["meta missing"] = rot{with(killed, "journal.meta", nil), "journal.meta", -1, 0}
	for name, b := range killed {
		if !strings.HasSuffix(name, ".seg") {
			continue
		}
		for _, n := range []int{0, 10, 64, 4096, 5000, len(b) / 2, len(b) - 1} {
			rots[fmt.Sprintf("%s of %d bytes", name, n)] = rot{with(killed, name, b[:n:n]), name, 0, n}
		}
	}
	middle := ""
	for name := range killed {
		if strings.HasSuffix(name, ".seg") && name != sealed && name != seg {
			middle = name
		}
	}
	rots["first segment missing"] = rot{with(killed, sealed, nil), sealed, -1, 0}
	rots["middle segment missing"] = rot{with(noCache, middle, nil), sealed, 0, len(killed[sealed])}
	rots["middle segment missing, with caches"] = rot{with(killed, middle, nil), sealed, 0, len(killed[sealed])}
	rots["last segment missing after a close"] = rot{with(closed, seg, nil), middle, 0, len(killed[sealed])}
	rots["a segment of another name"] = rot{with(killed, "segments/1.seg", killed[sealed]), "segments/1.seg", -1, 0}

	dir := tempDir(t)
	for what, r := range rots {
		place(t, dir, r.files)
		j, err := journal.Open(context.Background(), realDir(t, dir), o)
		if err == nil {
			j.Close()
			t.Errorf("%s: opened, with %d events", what, j.Visible())
			continue
		}
		var d *journal.DamageError
		if !errors.As(err, &d) || !errors.Is(err, journal.ErrDamaged) {
			t.Errorf("%s: %v is no DamageError", what, err)
			continue
		}
		if d.File != r.file || r.to > 0 && (d.Offset < int64(r.from) || d.Offset > int64(r.to)) {
			t.Errorf("%s: says %s at %d, want %s at %d to %d", what, d.File, d.Offset, r.file, r.from, r.to)
		}
		for name, b := range files(t, dir) {
			if was, ok := r.files[name]; (!ok && !isCache(name)) || ok && !bytes.Equal(was, b) {
				t.Errorf("%s: %s was changed", what, name)
			}
		}
	}
	t.Logf("%d kinds of rot", len(rots))
}

// A keyset that is damaged, missing or from another journal is refused as well.
func TestADamagedKeysetIsRefused(t *testing.T) {
	t.Parallel()
	o := journal.Options{Name: "rot", Seal: keystore.Entity, SegmentBytes: small}
	_, closed, want := journalFiles(t, o, 1)
	name := "keys/keyset"
	dir := tempDir(t)
	for off := 0; off < len(closed[name]); off += 3 {
		// Of the two states in the file, which are in the second page and the third, one is enough.
		state := 4096 <= off && off < 3*4096
		if state && off%4096 > 64 && off%4096 < 4000 {
			continue // zeros, the same as others
		}
		place(t, dir, with(closed, name, edit(closed[name], func(b []byte) { b[off] ^= 4 })))
		got, err := look(t, dir, o)
		if state && err == nil && sameEvents(got, want) == nil {
			continue
		}
		if !errors.Is(err, journal.ErrDamaged) {
			t.Errorf("flip at %d: %v", off, err)
		}
	}
	place(t, dir, with(closed, name, nil))
	if _, err := look(t, dir, o); !errors.Is(err, journal.ErrDamaged) || !errors.Is(err, keystore.ErrNotExist) {
		t.Errorf("missing keyset: %v", err)
	}
}

// Any one byte of a closed journal may flip, and any file may be cut: the journal then opens with
// exactly what was in it, or what is wrong is said. Never fewer events, never other ones.
func TestNoFlippedByteGoesUnnoticed(t *testing.T) {
	t.Parallel()
	for _, seal := range []keystore.Granularity{keystore.None, keystore.Entity} {
		t.Run(seal.String(), func(t *testing.T) {
			t.Parallel()
			o := journal.Options{Name: "flip", Seal: seal, SegmentBytes: small}
			_, closed, events := journalFiles(t, o, 3)
			dir := tempDir(t)
			opened, refused := 0, 0
			try := func(what, name string, b []byte) {
				place(t, dir, with(closed, name, b))
				got, err := look(t, dir, o)
				if err == nil {
					err = sameEvents(got, events)
					opened++
				} else if refused++; typed(err) {
					return
				}
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			for name, b := range closed {
				step, most := 1, len(b)
				if strings.HasSuffix(name, ".seg") {
					_, most = spans(b)
					most += 64
					step = 809
				} else if name == "checkpoint" {
					step = 17
				} else if strings.HasPrefix(name, "keys/") {
					step = 7
				}
				for off := 0; off < most; off += step {
					try(fmt.Sprintf("%s, flip at %d", name, off), name, edit(b, func(b []byte) { b[off] ^= 1 << (off % 8) }))
				}
				if len(b) == 0 {
					continue
				}
				for _, n := range []int{0, 1, 8, 63, 64, 65, len(b) / 3, len(b) - 9, len(b) - 1} {
					if n < len(b) && n >= 0 {
						try(fmt.Sprintf("%s of %d bytes", name, n), name, b[:n:n])
					}
				}
				try(name+" with a byte more", name, append(b[:len(b):len(b)], 1))
				if isCache(name) {
					try(name+" missing", name, nil)
				}
			}
			for name, b := range closed { // the headers, the first group and the last bytes, each byte
				if strings.HasSuffix(name, ".seg") {
					groups, end := spans(b)
					for off := 0; off < 64; off += 3 {
						try(fmt.Sprintf("%s, flip at %d", name, off), name, edit(b, func(b []byte) { b[off] ^= 0x80 }))
					}
					for off := max(groups[len(groups)-1].start-40, end-80); off < end+16 && off < len(b); off += 3 {
						try(fmt.Sprintf("%s, flip at %d", name, off), name, edit(b, func(b []byte) { b[off] ^= 0x81 }))
					}
				}
			}
			t.Logf("%d opened, %d refused", opened, refused)
			if opened == 0 || refused == 0 {
				t.Error("proves nothing")
			}
		})
	}
}

// typed says whether an error is one that a caller can act upon.
func typed(err error) bool {
	var v *journal.VerifyError
	return errors.Is(err, journal.ErrDamaged) || errors.As(err, &v)
}

// A cache that is damaged in any way costs time and nothing else.
func TestADamagedCacheIsMadeAgain(t *testing.T) {
	t.Parallel()
	o := journal.Options{Name: "cache", SegmentBytes: small}
	_, closed, events := journalFiles(t, o, 3)
	dir := tempDir(t)
	for name, b := range closed {
		if !isCache(name) {
			continue
		}
		for off := 0; off < len(b); off += 1 + off/64 {
			place(t, dir, with(closed, name, edit(b, func(b []byte) { b[off] ^= 0xff })))
			got, err := look(t, dir, o)
			if err == nil {
				err = sameEvents(got, events)
			}
			if err != nil {
				t.Errorf("%s, flip at %d of %d: %v", name, off, len(b), err)
			}
		}
	}
}

// A payload is made by somebody: one that looks like frames, each of which says that it was durable,
// must not make the search for such frames in a torn group slow, nor be believed.
func TestATornGroupOfFakeFramesIsCutOff(t *testing.T) {
	t.Parallel()
	o := journal.Options{Name: "fake", SegmentBytes: 8 << 20}
	dir := tempDir(t)
	j := openDir(t, dir, o)
	mustAppend(t, j, one(event("e", 1)))
	fakes := large("e", 1<<20)
	for shift := range 8 { // one of them is where frames can be
		part := fakes.Data[8+shift*(1<<17):][:100<<10]
		for off := shift; off+16 <= len(part); off += 16 {
			binary.LittleEndian.PutUint32(part[off:], 500<<10) // length
			binary.LittleEndian.PutUint32(part[off+8:], 5000)  // synced
			part[off+12], part[off+13] = 0, 1                  // epoch, type
		}
	}
	mustAppend(t, j, one(fakes))
	killed := files(t, dir)
	groups, _ := spans(killed[firstSegment])
	place(t, dir+"-killed", with(killed, firstSegment, edit(killed[firstSegment], func(b []byte) { b[groups[len(groups)-1].start+20] ^= 1 })))
	got, err := look(t, dir+"-killed", o)
	if err != nil || len(got) != 1 {
		t.Errorf("%d events and %v, want the one before the fakes", len(got), err)
	}
}
