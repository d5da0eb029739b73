package journal_test

import (
	"fmt"
	"io/fs"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"batpak/causal"
	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/faultfs/faulttest"
	"batpak/keystore"
)

var rotStep = 1 // each so many of the rots happen

var underRace bool // the race detector watches

var rotting = journal.Options{Name: "rotting", Seal: keystore.Entity, SegmentBytes: 16 << 10, Keys: keystore.Options{Reserve: 3}}

// patient is a journal on a disk that is about to rot, and what is in it.
type patient struct {
	disk     *faultfs.Disk
	files    map[string][]byte
	events   []causal.Event
	clear    [][]byte // the events' payloads
	promised []ackedBatch
	last     span // the last group, in the last segment
	killed   bool // so nothing says that the last group was durable
}

func (g span) has(off int64) bool { return int64(g.start) <= off && off < int64(g.end) }

// admit makes a journal of three segments, the first two sealed and with an index, and ends it in one of
// three ways. The frames are few, and fill the second segment alone: there is a byte of each kind to flip.
func admit(t *testing.T, how string) *patient {
	p := &patient{killed: how != "closed"}
	synctest.Test(t, func(t *testing.T) {
		cryptotest.SetGlobalRandom(t, 1)
		m := faultfs.NewDisk(faultfs.POSIX).Mount()
		j := openFS(t, m, rotting)
		add := func(b *journal.Batch) {
			p.promised = append(p.promised, ackedBatch{b, mustAppend(t, j, b)})
		}
		add(keyed("first", event("a", 1), event("b", 2), event("a", 3)))
		add(one(large("c", 400)))
		add(keyed("large", large("a", 5200), large("b", 5200)))
		add(keyed("third", event("a", 4), large("d", 600), event("b", 5)))
		synctest.Wait() // for the indexes
		if how != "killed, never closed" {
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if how == "killed" {
			j = openFS(t, m, rotting)
			add(one(event("b", 6)))
			add(keyed("last", event("a", 7), event("new", 8)))
			synctest.Wait()
		}
		p.disk = m.Snapshot()
	})
	m := p.disk.Mount()
	p.files = readAll(t, m)
	j := openFS(t, m, rotting)
	var err error
	if p.events, err = audit(j); err != nil {
		t.Fatal(err)
	}
	for i := range p.events {
		data, state, err := j.Payload(&p.events[i])
		if err != nil || state != causal.Opened {
			t.Fatalf("payload %d is %s: %v", i+1, state, err)
		}
		p.clear = append(p.clear, data)
	}
	groups, _ := spans(p.files[lastSegment(p.files)])
	for _, g := range groups {
		if g.events > 0 {
			p.last = g
		}
	}
	if p.files["segments/0000000000000005.idx"] == nil || j.Stats().Segments != 3 {
		t.Fatalf("%s, and files %v", j.Stats(), slices.Sorted(maps.Keys(p.files)))
	}
	return p
}

// readAll reads every file of a disk.
func readAll(tb testing.TB, fsys fs.FS) map[string][]byte {
	m := map[string][]byte{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			m[name], err = fs.ReadFile(fsys, name)
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// rot is one thing that happens to a disk.
type rot struct {
	file string
	off  int64
	mask byte // the bits that flip; 0 cuts the file at off instead
}

func (r rot) String() string {
	if r.mask == 0 {
		return fmt.Sprintf("%s cut at %d", r.file, r.off)
	}
	return fmt.Sprintf("%s, %#02x flipped at %d", r.file, r.mask, r.off)
}

// rots is all that happens: a flip of every byte, and a cut at every length. Of the zeros around the frames, every
// 64th byte flips, and those nearest to the frames. With -faultfs.deep it is every bit of every byte, which takes ten
// minutes.
func (p *patient) rots() (all []rot) {
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		b := p.files[name]
		from, to := 0, len(b)
		if strings.HasSuffix(name, ".seg") {
			_, end := spans(b)
			from, to = firstFrame, end+64
		}
		for off := range b {
			all = append(all, rot{name, int64(off), 0})
			if faulttest.Deep() {
				for bit := range 8 {
					all = append(all, rot{name, int64(off), 1 << bit})
				}
			} else if off < 64 || off >= from && off < to || off%64 == 63 {
				all = append(all, rot{name, int64(off), 1 << ((off + off/8) % 8)})
			}
		}
	}
	n := 0
	return slices.DeleteFunc(all, func(rot) bool { n++; return n%rotStep != 0 })
}

// Whatever one byte of a disk becomes, and wherever a file is cut: the journal gives exactly what was in it, or says in
// which file and where it cannot. Of a journal that was killed, the last group may be taken for a torn write when it is
// damaged itself, and nothing else may be missing.
func TestRotIsNeverServed(t *testing.T) {
	for _, how := range []string{"closed", "killed", "killed, never closed"} {
		t.Run(how, func(t *testing.T) {
			p := admit(t, how)
			all := p.rots()
			var next atomic.Int64
			var mu sync.Mutex // guards what follows
			flips, cuts := map[verdict]int{}, map[verdict]int{}
			failures := 0
			began := time.Now()
			var wg sync.WaitGroup
			for range runtime.GOMAXPROCS(0) {
				wg.Go(func() {
					for i := int(next.Add(1)) - 1; i < len(all); i = int(next.Add(1)) - 1 {
						r := all[i]
						watch := time.AfterFunc(time.Minute, func() { panic(r.String() + ": still at it") })
						v, err := p.examine(r)
						watch.Stop()
						mu.Lock()
						if r.mask == 0 {
							cuts[v]++
						} else {
							flips[v]++
						}
						if err != nil {
							if failures++; failures <= 20 {
								t.Errorf("%s: %v", r, err)
							}
						}
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			tell := func(what string, n map[verdict]int) {
				t.Logf("%s: %d whole, %d without the last group, %d refused by Open, %d by reading, %d by Verify alone, %d wrong",
					what, n[whole], n[shorter], n[unopened], n[unread], n[unsound], n[wrong])
			}
			t.Logf("%d files, %v", len(p.files), time.Since(began).Round(time.Millisecond))
			tell("bytes flipped", flips)
			tell("lengths cut", cuts)
			if flips[whole] == 0 || flips[unopened] == 0 || (flips[unsound] > 0) == (how == "killed, never closed") || cuts[unopened] == 0 || (flips[shorter] > 0) != p.killed {
				t.Error("proves nothing")
			}
		})
	}
}
