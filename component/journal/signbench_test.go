package journal_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
)

// What signing costs, side by side: two journals take turns, so that both have the same disk. It reports the median
// turn of each.
func BenchmarkSign(b *testing.B) {
	pair, _ := signer(b, 1)
	for _, inflight := range []int{1, 256} {
		b.Run(fmt.Sprintf("inflight=%d", inflight), func(b *testing.B) {
			const turns = 40
			plain := openDir(b, b.TempDir(), journal.Options{Name: "bench"})
			signs := openDir(b, b.TempDir(), journal.Options{Name: "bench", Signer: pair})
			data := payload(256)
			n := max(20*inflight, b.N/turns)
			rates := map[*journal.Journal][]float64{}
			for turn := range 2 * turns {
				j := plain
				if turn%4 == 1 || turn%4 == 2 {
					j = signs
				}
				began := time.Now()
				var wg sync.WaitGroup
				for k := range inflight {
					wg.Go(func() {
						for i := k; i < n; i += inflight {
							appendOne(b, j, i, data)
						}
					})
				}
				wg.Wait()
				rates[j] = append(rates[j], float64(n)/time.Since(began).Seconds())
			}
			slices.Sort(rates[plain])
			slices.Sort(rates[signs])
			without, with := rates[plain][turns/2], rates[signs][turns/2]
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(without, "plain/s")
			b.ReportMetric(with, "signed/s")
			b.ReportMetric(100*with/without, "%")
		})
	}
}

// What the committer does for a signature, by the size of the group.
func BenchmarkSignGroup(b *testing.B) {
	pair, _ := signer(b, 1)
	for _, n := range []int{1, 128, 8192} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			hashes := make([]causal.Hash, n)
			for b.Loop() {
				tree := causal.NewTree(hashes)
				if _, err := pair.Sign(causal.AppendRootMessage(nil, causal.Lineage{}, 1, uint64(n), tree.Root())); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A duplicate reads the whole group of the first time: here the largest that there is, and never the one before.
func BenchmarkDuplicate(b *testing.B) {
	pair, _ := signer(b, 1)
	for _, signs := range []bool{false, true} {
		b.Run(fmt.Sprintf("signs=%t", signs), func(b *testing.B) {
			o := journal.Options{Name: "bench"}
			if signs {
				o.Signer = pair
			}
			j := openDir(b, b.TempDir(), o)
			for i := range 20 {
				batch := &journal.Batch{Key: fmt.Sprintf("k%d", i)}
				for n := range 1000 {
					batch.Events = append(batch.Events, event("e", uint64(n)))
				}
				mustAppend(b, j, batch)
				var wg sync.WaitGroup
				for n := range 500 {
					wg.Add(1)
					if err := j.Submit(keyed(fmt.Sprintf("lone%d-%d", i, n), event("e", uint64(n))), func([]codec.Receipt, error) { wg.Done() }); err != nil {
						b.Fatal(err)
					}
				}
				wg.Wait()
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				mustAppend(b, j, keyed(fmt.Sprintf("lone%d-400", i%20), event("e", 400)))
			}
		})
	}
}
