package journal_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"batpak/causal"
	"batpak/component/journal"
	"batpak/keystore"
)

func BenchmarkAppend(b *testing.B) {
	for _, seal := range []keystore.Granularity{keystore.None, keystore.Entity} {
		for _, inflight := range []int{1, 256} {
			b.Run(fmt.Sprintf("seal=%s/inflight=%d", seal, inflight), func(b *testing.B) {
				j := openDir(b, b.TempDir(), journal.Options{Name: "bench", Seal: seal})
				data := payload(256)
				b.ReportAllocs()
				b.SetParallelism(inflight / min(inflight, 2))
				if inflight == 1 {
					for i := 0; b.Loop(); i++ {
						appendOne(b, j, i, data)
					}
					return
				}
				var n atomic.Int64
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						appendOne(b, j, int(n.Add(1)), data)
					}
				})
			})
		}
	}
}

func appendOne(b *testing.B, j *journal.Journal, i int, data []byte) {
	_, err := j.Append(context.Background(), &journal.Batch{Events: []journal.Append{{
		Coordinate: causal.Coordinate{Scope: "bench", Entity: fmt.Sprintf("e%d", i%1000)}, Kind: 0x1001, Data: data,
	}}})
	if err != nil {
		b.Error(err)
	}
}
