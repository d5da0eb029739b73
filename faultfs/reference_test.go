package faultfs_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"batpak/faultfs"
)

// reference is a disk that is only as clever as the doc comments of Model: bytes are
// strings, sectors have four of them, and what a crash may leave is found by trying
// every subset of what is pending. Folders are known by their names.
type reference struct {
	faultfs.Model
	now, disk    map[int]string            // bytes by file
	names, saved map[string]map[string]int // files by folder and name; 0 is a folder
	pending      []refUnit
	files        int
}

type refUnit struct {
	names  []refName
	file   int
	sector int
	bytes  string // of the sector, with zeros
	size   int    // the file's; at least, unless exact
	exact  bool
}

type refName struct {
	folder, name string
	file         int // none is -1
}

func newReference(m faultfs.Model) *reference {
	return &reference{Model: m, now: map[int]string{}, disk: map[int]string{},
		names: map[string]map[string]int{".": {}}, saved: map[string]map[string]int{".": {}}}
}

func split(name string) (folder, base string) {
	if folder, base, ok := strings.Cut(name, "/"); ok {
		return folder, base
	}
	return ".", name
}

func (r *reference) step(line string) {
	verb, rest, _ := strings.Cut(line, " ")
	name, rest, _ := strings.Cut(rest, " ")
	folder, base := split(name)
	file, there := r.names[folder][base]
	switch verb {
	case "create":
		r.files++
		r.change(refName{folder, base, r.files})
	case "mkdir":
		r.names[name], r.saved[name] = map[string]int{}, map[string]int{}
		r.change(refName{folder, base, 0})
	case "remove":
		r.change(refName{folder, base, -1})
	case "rename":
		toFolder, toBase := split(rest)
		r.change(refName{folder, base, -1}, refName{toFolder, toBase, file})
	case "write":
		var off int
		var text string
		fmt.Sscan(rest, &off, &text)
		text = strings.ReplaceAll(text, ".", "\x00")
		if r.SizeFirst && r.grows(file, off+len(text)) {
			r.pending = append(r.pending, refUnit{file: file, sector: -1, size: off + len(text)})
		}
		old := r.now[file]
		for s := off / 4; s*4 < off+len(text); s++ {
			end := min(off+len(text), s*4+4)
			whole := sized(patch(old, off, text[:end-off]), len(old)+off+len(text)+4)[s*4:]
			u := refUnit{file: file, sector: s, bytes: whole[:4], size: end}
			if !r.SizeFirst && r.grows(file, end) || !r.asItWas(u, old) {
				r.pending = append(r.pending, u)
			}
		}
		r.now[file] = patch(old, off, text)
	case "truncate", "allocate":
		var size int
		fmt.Sscan(rest, &size)
		if verb == "truncate" || r.grows(file, size) {
			r.pending = append(r.pending, refUnit{file: file, sector: -1, size: size, exact: verb == "truncate"})
		}
		if verb == "truncate" || size > len(r.now[file]) {
			r.now[file] = sized(r.now[file], size)
		}
	case "sync":
		r.keep(func(u refUnit) bool { return u.names == nil && u.file == file })
		if r.FsyncSavesName && there {
			for i := range r.pending { // what comes before it, of the same names, first
				if r.leads(i, file, folder) {
					r.pending[i].size = 1
				}
			}
			r.keep(func(u refUnit) bool {
				return u.names != nil && (r.Namespace == faultfs.Journaled || u.size == 1)
			})
		}
	case "failsync":
		if r.FailedSync == faultfs.Redirty {
			return
		}
		r.pending = slices.DeleteFunc(r.pending, func(u refUnit) bool { return u.names == nil && u.file == file })
		if r.FailedSync == faultfs.Revert {
			r.now[file] = r.disk[file]
		}
	case "syncdir":
		r.keep(func(u refUnit) bool {
			return u.names != nil && (r.Namespace == faultfs.Journaled || u.names[0].folder == name)
		})
	}
}

// grows says whether a size is more than the file has, or will have once it is synced.
func (r *reference) grows(file, size int) bool {
	return size > len(r.now[file]) || size > len(r.disk[file]) &&
		!slices.ContainsFunc(r.pending, func(u refUnit) bool { return u.names == nil && u.file == file && u.size >= size })
}

// asItWas says whether a write leaves a sector as it is, in the cache and on the disk.
func (r *reference) asItWas(u refUnit, old string) bool {
	return u.bytes == sized(old, u.sector*4+4)[u.sector*4:] && u.bytes == sized(r.disk[u.file], u.sector*4+4)[u.sector*4:] &&
		!slices.ContainsFunc(r.pending, func(v refUnit) bool { return v.names == nil && v.file == u.file && v.sector == u.sector })
}

// leads says whether the i-th change makes a name lead to the file, or to its folder,
// or is of a name that a later change needs which does.
func (r *reference) leads(i, file int, folder string) bool {
	for _, n := range r.pending[i].names {
		if n.file == file || n.file == 0 && n.name == folder {
			return true
		}
		for j := i + 1; j < len(r.pending); j++ {
			same := slices.ContainsFunc(r.pending[j].names, func(m refName) bool { return m.folder == n.folder && m.name == n.name })
			if same && r.leads(j, file, folder) {
				return true
			}
		}
	}
	return false
}

// change changes names, each folder by itself when their order is arbitrary.
func (r *reference) change(names ...refName) {
	setNames(r.names, names)
	if r.Namespace == faultfs.Arbitrary && len(names) == 2 && names[0].folder != names[1].folder {
		r.pending = append(r.pending, refUnit{names: names[:1]}, refUnit{names: names[1:]})
		return
	}
	r.pending = append(r.pending, refUnit{names: names})
}

func setNames(all map[string]map[string]int, names []refName) {
	for _, n := range names {
		if n.file < 0 {
			delete(all[n.folder], n.name)
		} else {
			all[n.folder][n.name] = n.file
		}
	}
}

func sized(s string, size int) string {
	return (s + strings.Repeat("\x00", max(size-len(s), 0)))[:size]
}

func patch(s string, off int, p string) string {
	s = sized(s, max(len(s), off+len(p)))
	return s[:off] + p + s[off+len(p):]
}

// keep makes durable what is meant, in order.
func (r *reference) keep(which func(u refUnit) bool) {
	r.pending = slices.DeleteFunc(r.pending, func(u refUnit) bool {
		if which(u) {
			u.apply(r.disk, r.saved)
			return true
		}
		return false
	})
}

func (u refUnit) apply(disk map[int]string, saved map[string]map[string]int) {
	if u.names != nil {
		setNames(saved, u.names)
		return
	}
	s := disk[u.file]
	if u.exact {
		s = sized(s, u.size)
	}
	s = sized(s, max(len(s), u.size))
	if u.sector >= 0 {
		s = patch(s, u.sector*4, u.bytes)[:len(s)]
	}
	disk[u.file] = s
}

// states is every state that a crash may leave.
func (r *reference) states() []string {
	all := map[string]bool{}
	n := len(r.pending)
	for mask := range 1 << n {
		if r.legal(mask) {
			all[r.after(mask, -1, 0)] = true
		}
	}
	for torn, u := range r.pending {
		if !r.TearSector || u.names != nil || u.sector < 0 {
			continue
		}
		for how := 1; how <= 3; how++ {
			if r.Reorder {
				all[r.after(1<<n-1, torn, how)] = true
				all[r.after(1<<torn, torn, how)] = true
			} else {
				all[r.after(1<<(torn+1)-1, torn, how)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

func (r *reference) legal(mask int) bool {
	lost, lostName := false, false
	for i, u := range r.pending {
		kept := mask>>i&1 == 1
		if kept && (lost && !r.Reorder || lostName && u.names != nil && r.Namespace == faultfs.Journaled) {
			return false
		}
		lost = lost || !kept
		lostName = lostName || !kept && u.names != nil
	}
	return true
}

func (r *reference) after(mask, torn, how int) string {
	disk, saved := maps.Clone(r.disk), map[string]map[string]int{}
	for folder, names := range r.saved {
		saved[folder] = maps.Clone(names)
	}
	for i, u := range r.pending {
		if i == torn {
			u.bytes = tear((r.disk[u.file] + strings.Repeat("\x00", 64))[u.sector*4:][:4], u.bytes, how)
		}
		if mask>>i&1 == 1 {
			u.apply(disk, saved)
		}
	}
	var there []string
	for name, file := range saved["."] {
		if file > 0 {
			there = append(there, name+"="+disk[file])
			continue
		}
		there = append(there, name+"/")
		for base, file := range saved[name] {
			there = append(there, name+"/"+base+"="+disk[file])
		}
	}
	slices.Sort(there)
	return strings.ReplaceAll(strings.Join(there, " "), "\x00", ".")
}

// tear is a sector of which the first or the last half of what changed arrived, or
// garbage in its place.
func tear(old, b string, how int) string {
	var changed []int
	for i := range b {
		if b[i] != old[i] {
			changed = append(changed, i)
		}
	}
	out := []byte(b)
	for k, i := range changed {
		switch first := k < len(changed)/2; {
		case how == 3:
			out[i] ^= 0xA5
		case how == 1 && !first, how == 2 && first:
			out[i] = old[i]
		}
	}
	return string(out)
}

// script is a step that can be done, of which there is always one.
func (r *reference) script(rng *rand.Rand) string {
	all := []string{"a", "b", "d/a", "d/b", "e/a"}
	for {
		name, other := all[rng.IntN(len(all))], all[rng.IntN(len(all))]
		folder, base := split(name)
		_, there := r.names[folder][base]
		otherFolder, _ := split(other)
		switch verb := rng.IntN(11); {
		case r.names[folder] == nil:
			return "mkdir " + folder
		case verb == 9 && rng.IntN(2) == 0:
			return "syncdir " + folder
		case !there:
			return "create " + name
		case verb < 3:
			return fmt.Sprintf("write %s %d %s", name, rng.IntN(9), strings.Repeat(string(rune("xyz."[rng.IntN(4)])), 1+rng.IntN(6)))
		case verb == 3:
			return fmt.Sprintf("truncate %s %d", name, rng.IntN(12))
		case verb == 4:
			return fmt.Sprintf("allocate %s %d", name, 1+rng.IntN(12))
		case verb == 5:
			return "sync " + name
		case verb == 6:
			return "failsync " + name
		case verb == 7:
			return "remove " + name
		case r.names[otherFolder] != nil && other != name:
			return "rename " + name + " " + other
		}
	}
}

// What a disk may be after a crash is what the reference says, for random programs.
func TestEveryCrashIsWhatTheReferenceSays(t *testing.T) {
	models := maps.Clone(presets)
	models["zero"] = faultfs.Model{}
	models["torn in order"] = faultfs.Model{TearSector: true, SizeFirst: true, FailedSync: faultfs.Redirty}
	models["journaled"] = faultfs.Model{TearSector: true, Reorder: true, SizeFirst: true, FailedSync: faultfs.Revert}
	models["by name"] = faultfs.Model{Reorder: true, Namespace: faultfs.Arbitrary, FsyncSavesName: true, TearSector: true}
	for name, m := range models {
		m.Sector = 4
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				compareWithReference(t, m, seed)
			}
		})
	}
}

func compareWithReference(t *testing.T, m faultfs.Model, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	mount, ref := faultfs.NewDisk(m).Mount(), newReference(m)
	var script []string
	for range 25 {
		line := ref.script(rng)
		if len(ref.pending) > 6 {
			line = "syncdir ."
			if last := ref.pending[len(ref.pending)-1]; rng.IntN(2) == 0 || last.names == nil {
				for folder, names := range ref.names {
					for base, file := range names {
						if file == last.file && last.names == nil {
							line = "sync " + strings.TrimPrefix(folder+"/"+base, "./")
						}
					}
				}
			}
		}
		script = append(script, line)
		if err := step(mount, line); err != nil {
			t.Fatalf("seed %d: %s: %v", seed, strings.Join(script, "; "), err)
		}
		ref.step(line)
		if len(ref.pending) > 6 {
			continue
		}
		got, want := afterCrashes(t, mount.Snapshot()), ref.states()
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: after %q there may be\n%q, want\n%q", seed, strings.Join(script, "; "), got, want)
		}
	}
}
