package bench

import (
	"math"
	"runtime"
	"slices"
	"time"
)

// A Row is what one run measured. As JSON it has the keys name, inflight,
// ops_per_s, p50_us, p99_us, and errors when there were any.
type Row struct {
	Name     string  `json:"name"`
	Inflight int     `json:"inflight"`
	OpsPerS  float64 `json:"ops_per_s"` // successful operations per second
	P50us    float64 `json:"p50_us"`    // microseconds
	P99us    float64 `json:"p99_us"`    // microseconds

	// Errors counts the operations of the whole run, warm-up included, that
	// failed, were not answered, or were answered more than once. Err is the
	// first of them.
	Errors uint64 `json:"errors,omitempty"`
	Err    error  `json:"-"`

	Ops     uint64        `json:"-"` // what OpsPerS was computed from
	Elapsed time.Duration `json:"-"`

	// AllocsPerOp and BytesPerOp are heap allocations of this whole process
	// while it measured, over Ops: a server or node that runs in the process
	// is in them, one that runs elsewhere is not.
	AllocsPerOp float64 `json:"-"`
	BytesPerOp  float64 `json:"-"`
}

// tenth rounds to what a reader can use: nobody needs a microsecond's ninth
// decimal in a JSON line.
func tenth(x float64) float64 { return math.Round(x*10) / 10 }

func micros(d time.Duration) float64 { return tenth(float64(d) / float64(time.Microsecond)) }

// A Series is the rows of several runs of the same thing.
type Series []Row

// Median is a row whose rate, percentiles and allocations are each the median
// of the series, and whose errors, operations and time are the sums. An empty
// series gives an empty row.
func (s Series) Median() Row {
	if len(s) == 0 {
		return Row{}
	}
	m := Row{
		Name:        s[0].Name,
		Inflight:    s[0].Inflight,
		OpsPerS:     s.median(Rate),
		P50us:       s.median(P50),
		P99us:       s.median(P99),
		AllocsPerOp: s.median(func(r Row) float64 { return r.AllocsPerOp }),
		BytesPerOp:  s.median(func(r Row) float64 { return r.BytesPerOp }),
	}
	for _, r := range s {
		m.Errors += r.Errors
		m.Ops += r.Ops
		m.Elapsed += r.Elapsed
		if m.Err == nil {
			m.Err = r.Err
		}
	}
	return m
}

// Rate, P50 and P99 pick the figure of a row that a ratio is about.
func Rate(r Row) float64 { return r.OpsPerS }

// P50 is the median latency in microseconds.
func P50(r Row) float64 { return r.P50us }

// P99 is the 99th percentile of the latency in microseconds.
func P99(r Row) float64 { return r.P99us }

// Over is how many times a figure of this series is that of the other: the
// median of the quotients of each round, because what disturbs a round mostly
// disturbs both. It is NaN when either is empty.
func (s Series) Over(other Series, figure func(Row) float64) float64 {
	quotients := make([]float64, min(len(s), len(other)))
	for i := range quotients {
		quotients[i] = figure(s[i]) / figure(other[i])
	}
	return median(quotients)
}

func (s Series) median(figure func(Row) float64) float64 {
	figures := make([]float64, len(s))
	for i, r := range s {
		figures[i] = figure(r)
	}
	return median(figures)
}

func median(x []float64) float64 {
	if len(x) == 0 {
		return math.NaN()
	}
	slices.Sort(x)
	mid := len(x) / 2
	if len(x)%2 == 1 {
		return x[mid]
	}
	return (x[mid-1] + x[mid]) / 2
}

// Rounds runs each of the given things once per round, and gives the rows of
// each. Every other round goes backwards, so that none always follows the same
// one, and garbage is collected before each run, so that none pays for what the
// one before has left. It stops at the first error.
func Rounds(rounds int, runs ...func() (Row, error)) ([]Series, error) {
	all := make([]Series, len(runs))
	for round := range rounds {
		for i := range runs {
			if round%2 == 1 {
				i = len(runs) - 1 - i
			}
			runtime.GC()
			row, err := runs[i]()
			if err != nil {
				return all, err
			}
			all[i] = append(all[i], row)
		}
	}
	return all, nil
}
