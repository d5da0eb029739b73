package projection_test

import (
	"testing"
	"time"
)

// BenchmarkProjection folds a stream that is already there, as a new projection does.
func BenchmarkProjection(b *testing.B) {
	s := setUp(b, 0)
	for left := b.N; left > 0; left -= 10_000 {
		s.add(min(left, 10_000))
	}
	p := s.project()
	b.ReportAllocs()
	b.ResetTimer()
	began := time.Now()
	start(b, p)
	reach(b, p, uint64(b.N))
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "events/s")
}
