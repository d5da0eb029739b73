package causal

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"
)

// DefaultMaxAhead is how far the clock of another node may be ahead of ours.
const DefaultMaxAhead = time.Minute

// ErrClockAhead is matched by the error of Clock.Observe for a reading too far ahead.
var ErrClockAhead = errors.New("clock too far ahead")

// HLC is a reading of a hybrid logical clock: milliseconds since 1970, and a counter of
// readings within the millisecond.
type HLC struct {
	Millis uint64
	Tick   uint16
}

// Compare orders readings: -1, 0 or +1.
func (t HLC) Compare(u HLC) int {
	if c := cmp.Compare(t.Millis, u.Millis); c != 0 {
		return c
	}
	return cmp.Compare(t.Tick, u.Tick)
}

// Time returns the milliseconds as a time in UTC; the counter is lost.
func (t HLC) Time() time.Time { return time.UnixMilli(int64(t.Millis)).UTC() }

// String returns "MILLIS.TICK".
func (t HLC) String() string { return fmt.Sprintf("%d.%d", t.Millis, t.Tick) }

// next returns the smallest reading after t.
func (t HLC) next() HLC {
	if t.Tick == math.MaxUint16 {
		return HLC{Millis: t.Millis + 1}
	}
	return HLC{Millis: t.Millis, Tick: t.Tick + 1}
}

// ErrHLC is matched by the errors of ParseHLC.
var ErrHLC = errors.New("bad clock reading")

// ParseHLC reads what String writes, without signs, spaces or needless zeros. Its errors match ErrHLC.
func ParseHLC(s string) (HLC, error) {
	millis, tick, _ := strings.Cut(s, ".")
	m, err1 := strconv.ParseUint(millis, 10, 64)
	n, err2 := strconv.ParseUint(tick, 10, 16)
	t := HLC{Millis: m, Tick: uint16(n)}
	if err1 != nil || err2 != nil || t.String() != s {
		return HLC{}, fmt.Errorf("causal: %w: %.40q is not milliseconds, a dot and ticks", ErrHLC, s)
	}
	return t, nil
}

// ClockOptions configures a Clock; zero values are good.
type ClockOptions struct {
	Now      func() time.Time // the wall clock; time.Now when nil
	MaxAhead time.Duration    // how far ahead of the wall clock a remote reading may be; DefaultMaxAhead when 0 or less
}

// Clock is a hybrid logical clock. It is safe for concurrent use.
type Clock struct {
	now      func() time.Time
	maxAhead time.Duration

	mu   sync.Mutex
	last HLC // the greatest reading given or taken in
}

// NewClock returns a clock that has given no reading yet.
func NewClock(o ClockOptions) *Clock {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxAhead <= 0 {
		o.MaxAhead = DefaultMaxAhead
	}
	return &Clock{now: o.Now, maxAhead: o.MaxAhead}
}

// Now returns a reading later than every one before: the wall clock when that has moved on,
// else the last reading and one tick.
func (c *Clock) Now() HLC {
	wall := c.wall()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = later(HLC{Millis: wall}, c.last)
	return c.last
}

// Observe takes in the reading of another node and returns a reading later than it and than
// every one before: the wall clock when that has moved past both, else the greater of the two and
// one tick (the receive rule). A reading more than MaxAhead ahead of the wall clock is refused
// with an error that matches ErrClockAhead, and changes nothing.
func (c *Clock) Observe(remote HLC) (HLC, error) {
	wall := c.wall()
	if limit := wall + uint64(c.maxAhead.Milliseconds()); remote.Millis > limit {
		return HLC{}, fmt.Errorf("causal: %w: %d ms ahead, the limit is %d ms",
			ErrClockAhead, remote.Millis-wall, c.maxAhead.Milliseconds())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if remote.Compare(c.last) > 0 {
		c.last = remote
	}
	c.last = later(HLC{Millis: wall}, c.last)
	return c.last, nil
}

// Advance makes later readings greater than t, without a check: for the readings of our own
// log when it is opened.
func (c *Clock) Advance(t HLC) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.Compare(c.last) > 0 {
		c.last = t
	}
}

func (c *Clock) wall() uint64 { return uint64(max(c.now().UnixMilli(), 0)) }

// later returns t when it is after last, else the reading after last.
func later(t, last HLC) HLC {
	if t.Compare(last) > 0 {
		return t
	}
	return last.next()
}
