package journal_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"batpak/causal"
	"batpak/component/journal"
)

// What a check of the log costs: 300,000 events with payloads of 256 bytes, in 5,000 streams, not signed, signed in groups
// of 1000 events, and signed by one each (of which there are fewer). Rates are by the clock and, as what the machine does
// beside it does not count there, by the second that a core has worked. Beside it is what SHA-256 alone makes of such bytes.
func BenchmarkVerify(b *testing.B) {
	pair, _ := signer(b, 1)
	data := payload(256)
	for _, c := range []struct {
		what          string
		events, batch int
		signer        journal.Signer
	}{{"plain", 300_000, 1000, nil}, {"signed", 300_000, 1000, pair}, {"signed alone", 3000, 1, pair}} {
		dir := b.TempDir()
		if _, err := os.Stat("/dev/shm"); err == nil {
			if dir, err = os.MkdirTemp("/dev/shm", "batpak"); err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { os.RemoveAll(dir) })
		}
		j := openDir(b, dir, journal.Options{Name: "bench", Signer: c.signer})
		for n := 0; n < c.events; {
			group := &journal.Batch{}
			for range c.batch {
				group.Events = append(group.Events, journal.Append{
					Coordinate: causal.Coordinate{Scope: "bench", Entity: fmt.Sprintf("e%d", n%5000)}, Kind: 0x1001, Data: data,
				})
				n++
			}
			mustAppend(b, j, group)
		}
		b.Run(c.what, func(b *testing.B) {
			b.ReportAllocs()
			before := worked(b)
			for b.Loop() {
				v, err := j.Verify(b.Context(), 0, 0)
				if err != nil || v.Checked != uint64(c.events) {
					b.Fatal(v, err)
				}
			}
			took, events, bytes := b.Elapsed().Seconds(), float64(b.N*c.events), float64(int64(b.N)*j.Stats().Bytes)/1e6
			core := (worked(b) - before).Seconds()
			b.ReportMetric(events/took, "events/s")
			b.ReportMetric(bytes/took, "MB/s")
			b.ReportMetric(events/core, "events/core-s")
			b.ReportMetric(bytes/core, "MB/core-s")
		})
	}
	for _, size := range []int{448, 1 << 20} {
		b.Run(fmt.Sprintf("sha256 of %d", size), func(b *testing.B) {
			block := make([]byte, size)
			before := worked(b)
			n := 0
			for b.Loop() {
				for range 10_000_000 / size {
					sha256.Sum256(block)
					n++
				}
			}
			b.ReportMetric(float64(n*size)/1e6/(worked(b)-before).Seconds(), "MB/core-s")
		})
	}
}

// worked is how long this process has had a core.
func worked(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
