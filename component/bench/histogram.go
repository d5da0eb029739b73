package bench

import (
	"math"
	"math/bits"
	"time"
)

// A Histogram keeps latencies in buckets whose width grows with the latency:
// exact below 128 ns, and at most 1/64 of the value above that, so a quantile
// is off by less than 0.8%. It has a fixed size (about 18 KiB), allocates nothing
// and is not safe for concurrent use. The zero value is empty.
type Histogram struct {
	count   uint64
	buckets [buckets]uint64
}

const (
	subBits  = 6 // 64 buckets for each power of two
	linear   = 1 << (subBits + 1)
	maxBits  = 40 // latencies of 2^40 ns (18 minutes) and more share the last bucket
	buckets  = linear + (maxBits-subBits-1)<<subBits
	maxValue = 1<<maxBits - 1
)

// bucketOf is the bucket that holds v, which is at most maxValue.
func bucketOf(v uint64) int {
	if v < linear {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return shift<<subBits + int(v>>shift)
}

// middle is the value that stands for all values of a bucket.
func middle(bucket int) uint64 {
	if bucket < linear {
		return uint64(bucket)
	}
	shift := bucket>>subBits - 1
	low := uint64(bucket-shift<<subBits) << shift
	return low + 1<<shift/2
}

// Record adds one latency. A negative one counts as zero.
func (h *Histogram) Record(d time.Duration) {
	h.count++
	h.buckets[bucketOf(uint64(min(max(d, 0), maxValue)))]++
}

// Merge adds all that other holds.
func (h *Histogram) Merge(other *Histogram) {
	h.count += other.count
	for i, n := range other.buckets {
		h.buckets[i] += n
	}
}

// Count is how many latencies were recorded.
func (h *Histogram) Count() uint64 { return h.count }

// Quantile is the latency that the share q of all latencies does not exceed: 0.5
// is the median. q is held within 0 and 1; an empty histogram answers 0.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.count == 0 {
		return 0
	}
	rank := uint64(math.Ceil(min(max(q, 0), 1) * float64(h.count)))
	rank = min(max(rank, 1), h.count)
	var seen uint64
	for i, n := range h.buckets {
		if seen += n; seen >= rank {
			return time.Duration(middle(i))
		}
	}
	return maxValue
}
