package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// latencies are n values that are spread evenly over their magnitudes, from 1 ns
// to 100 s.
func latencies(n int) []time.Duration {
	random := rand.New(rand.NewPCG(1, 2))
	all := make([]time.Duration, n)
	for i := range all {
		all[i] = time.Duration(math.Pow(10, random.Float64()*11))
	}
	return all
}

func TestQuantileIsWithinOnePercentOfTheExactOne(t *testing.T) {
	var h Histogram
	all := latencies(20000)
	for _, d := range all {
		h.Record(d)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1} {
		rank := min(max(int(math.Ceil(q*float64(len(all)))), 1), len(all))
		want := float64(all[rank-1])
		got := float64(h.Quantile(q))
		if math.Abs(got-want) > 0.008*want {
			t.Errorf("quantile %v: %v, exactly %v", q, got, want)
		}
	}
}

func TestEachValueIsInABucketThatStandsForIt(t *testing.T) {
	check := func(v uint64) {
		b := bucketOf(v)
		if b < 0 || b >= buckets {
			t.Fatalf("bucketOf(%d) = %d, of %d buckets", v, b, buckets)
		}
		if off := math.Abs(float64(middle(b)) - float64(v)); off > float64(v)/128 {
			t.Fatalf("%d is in bucket %d, which stands for %d", v, b, middle(b))
		}
		if v > 0 && bucketOf(v-1) > b {
			t.Fatalf("%d is in a higher bucket than %d", v-1, v)
		}
	}
	for v := range uint64(1 << 14) {
		check(v)
	}
	for bits := 14; bits < maxBits; bits++ {
		for _, v := range []uint64{1 << bits, 1<<bits + 1, 3 << (bits - 1), 2<<bits - 1} {
			check(v)
		}
	}
	if bucketOf(maxValue) != buckets-1 {
		t.Fatalf("the largest value is in bucket %d of %d", bucketOf(maxValue), buckets)
	}
}

func TestMergedHistogramsEqualOneOfAll(t *testing.T) {
	var one, a, b Histogram
	for i, d := range latencies(1000) {
		one.Record(d)
		if i%3 == 0 {
			a.Record(d)
		} else {
			b.Record(d)
		}
	}
	a.Merge(&b)
	if a != one {
		t.Fatal("merging two halves is not recording the whole")
	}
}

func TestLatenciesOutOfRangeAreKeptAtItsEnds(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 {
		t.Fatalf("an empty histogram's median is %v", h.Quantile(0.5))
	}
	h.Record(-time.Second)
	h.Record(math.MaxInt64)
	if got := h.Quantile(0); got != 0 {
		t.Errorf("a negative latency became %v", got)
	}
	if got := h.Quantile(1); bucketOf(uint64(got)) != buckets-1 {
		t.Errorf("an endless latency became %v", got)
	}
	if h.Count() != 2 {
		t.Errorf("count %d of 2", h.Count())
	}
}
