package keystore

import (
	"encoding/binary"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"batpak/causal"
	"batpak/faultfs"
)

// numberedScope is the scope of an event, one of very many.
func numberedScope(n uint64) Scope {
	var h causal.Header
	binary.BigEndian.PutUint64(h.ID[:], n+1)
	scope, _ := Event.Scope(&h)
	return scope
}

// filled is a folder with a keyset of n keys, each of a scope. It is made once for all benchmarks.
func filled(b *testing.B, n int) faultfs.FS {
	b.Helper()
	filledMu.Lock()
	defer filledMu.Unlock()
	if fsys := filledSets[n]; fsys != nil {
		return fsys
	}
	dir, err := os.MkdirTemp("", "keyset")
	must(b, err)
	filledDirs = append(filledDirs, dir)
	root, err := os.OpenRoot(dir)
	must(b, err)
	fsys := faultfs.Dir(root)
	s, err := New(b.Context(), fsys, Event, bare)
	must(b, err)
	for i := range n {
		s.mu.Lock()
		n, _ := s.takeKey()
		s.bind(n, s.hash(numberedScope(uint64(i))))
		s.mu.Unlock()
		if i%maxReserve == maxReserve-1 {
			must(b, s.Flush())
		}
	}
	must(b, s.Flush())
	must(b, s.Close())
	filledSets[n] = fsys
	return fsys
}

var (
	filledMu   sync.Mutex
	filledSets = map[int]faultfs.FS{}
	filledDirs []string
)

func TestMain(m *testing.M) {
	code := m.Run()
	for _, dir := range filledDirs {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

var sizes = []struct {
	name string
	n    int
}{{"1000", 1000}, {"1000000", 1_000_000}}

// BenchmarkLoad reports how long a keyset takes to open, and what it keeps in memory for each key.
func BenchmarkLoad(b *testing.B) {
	for _, size := range sizes {
		b.Run(size.name, func(b *testing.B) {
			fsys := filled(b, size.n)
			var before, after runtime.MemStats
			var s *Store
			for b.Loop() {
				if s != nil {
					must(b, s.Close())
					s = nil
				}
				runtime.GC()
				runtime.ReadMemStats(&before)
				var err error
				s, err = Load(b.Context(), fsys, Event, bare)
				must(b, err)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(size.n), "B/key")
			runtime.KeepAlive(s)
			must(b, s.Close())
		})
	}
}

// BenchmarkMint is a key for a new scope, durable: each with a flush of its own, or out of the reserve.
func BenchmarkMint(b *testing.B) {
	for _, size := range sizes {
		for _, way := range []struct {
			name string
			o    Options
		}{{"flush", bare}, {"reserve", Options{Reserve: maxReserve}}} {
			b.Run(way.name+"/"+size.name, func(b *testing.B) {
				s, err := Load(b.Context(), filled(b, size.n), Event, way.o)
				must(b, err)
				defer s.Close()
				must(b, s.Flush())
				next := uint64(time.Now().UnixNano())
				for b.Loop() {
					if next++; s.Low() {
						b.StopTimer()
						must(b, s.Reserve())
						b.StartTimer()
					}
					_, err := s.GetOrCreate(numberedScope(next))
					must(b, err)
					if s.Dirty() {
						must(b, s.Flush())
					}
				}
			})
		}
	}
}

// BenchmarkErase destroys a key for good, and reports how many times an fdatasync that takes.
func BenchmarkErase(b *testing.B) {
	for _, size := range sizes {
		b.Run(size.name, func(b *testing.B) {
			fsys := filled(b, size.n)
			s, err := Load(b.Context(), fsys, Event, bare)
			must(b, err)
			defer s.Close()
			must(b, s.Flush())
			f, err := fsys.OpenFile("probe", os.O_RDWR|os.O_CREATE, 0o600)
			must(b, err)
			defer f.Close()
			must(b, f.Allocate(0, pageSize))
			must(b, f.Sync())
			var erasures, syncs []time.Duration
			next := uint64(time.Now().UnixNano())
			for b.Loop() {
				b.StopTimer()
				next++
				scope := numberedScope(next)
				_, err := s.GetOrCreate(scope)
				must(b, err)
				must(b, s.Flush())
				_, err = f.WriteAt([]byte{byte(next)}, int64(next%pageSize))
				must(b, err)
				began := time.Now()
				must(b, f.SyncData())
				syncs = append(syncs, time.Since(began))
				b.StartTimer()
				began = time.Now()
				_, err = s.Destroy(scope)
				must(b, err)
				must(b, s.Flush())
				erasures = append(erasures, time.Since(began))
			}
			slices.Sort(erasures)
			slices.Sort(syncs)
			b.ReportMetric(float64(erasures[len(erasures)/2])/float64(syncs[len(syncs)/2]), "syncs/erasure")
		})
	}
}
