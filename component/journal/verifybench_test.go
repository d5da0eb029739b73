package journal_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"testing"
	"time"

	"batpak/causal"
	"batpak/component/journal"
)

// What a check of the log costs an event, with and without signatures, on one core and on all: 300,000 events with payloads of
// 256 bytes, in 5,000 streams. Beside it is what SHA-256 alone makes of such bytes.
func BenchmarkVerify(b *testing.B) {
	const events, batch = 300_000, 1000
	pair, _ := signer(b, 1)
	data := payload(256)
	for _, o := range []journal.Options{{Name: "plain"}, {Name: "signed", Signer: pair}} {
		dir := b.TempDir()
		if _, err := os.Stat("/dev/shm"); err == nil {
			if dir, err = os.MkdirTemp("/dev/shm", "batpak"); err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { os.RemoveAll(dir) })
		}
		j := openDir(b, dir, o)
		for n := 0; n < events; {
			group := &journal.Batch{}
			for range batch {
				group.Events = append(group.Events, journal.Append{
					Coordinate: causal.Coordinate{Scope: "bench", Entity: fmt.Sprintf("e%d", n%5000)}, Kind: 0x1001, Data: data,
				})
				n++
			}
			mustAppend(b, j, group)
		}
		b.Run(o.Name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				v, err := j.Verify(b.Context(), 0, 0)
				if err != nil || v.Checked < events {
					b.Fatal(v, err)
				}
			}
			b.ReportMetric(float64(b.N)*events/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(b.N)*float64(j.Stats().Bytes)/b.Elapsed().Seconds()/1e6, "MB/s")
		})
	}
	b.Run("sha256", func(b *testing.B) {
		for _, size := range []int{448, 1 << 20} {
			b.Run(fmt.Sprint(size), func(b *testing.B) {
				block := make([]byte, size)
				b.SetBytes(int64(size))
				began := time.Now()
				for b.Loop() {
					sha256.Sum256(block)
				}
				_ = began
			})
		}
	})
}
