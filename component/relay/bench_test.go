package relay_test

import (
	"testing"
	"time"

	"batpak/component/internal/journaltest"
)

// BenchmarkRelay publishes a journal that is already there, as after a restart, through a
// socket to a server in this process, whose work is part of what is measured.
func BenchmarkRelay(b *testing.B) {
	_, nc, _, j := setUp(b, 0)
	for left := b.N; left > 0; left -= 1000 {
		journaltest.Fill(b, j, min(left, 1000), 256)
	}
	b.ReportAllocs()
	b.ResetTimer()
	began := time.Now()
	r := start(b, j, nc)
	reach(b, r, uint64(b.N))
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "events/s")
}
