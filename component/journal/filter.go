package journal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"batpak/causal"
	"batpak/codec"
)

const (
	// scanBudget is how many bytes of log a filtered page reads before it comes back with less.
	scanBudget = 32 << 20

	// What costs as much as it takes to read so many more bytes of log in a scan.
	eventCost  = 1 << 10  // reading an event by itself
	lookUpCost = 32 << 10 // looking up a term in an index file

	chunk  = 256 // positions that are read of a term at a time
	fewest = 8   // events that are read rather than another term looked up
)

// filter is terms of which an event must have at least one.
type filter []cursor

// cursor goes through the positions of a term in one segment.
type cursor struct {
	term uint64
	from uint32   // what was not read yet starts here
	list []uint32 // what was read
	all  bool     // and nothing follows it
	buf  []uint32
}

func (c *cursor) read(x index) (err error) {
	if c.buf == nil {
		c.buf = make([]uint32, 0, chunk)
	}
	c.list, err = x.positions(c.buf, c.term, c.from, chunk)
	if c.all = len(c.list) < chunk; !c.all {
		c.from = c.list[chunk-1] + 1
	}
	return err
}

// start goes to a position, and returns how many of the events from there on pass, if that was all of them.
func (f filter) start(x index, from uint32) (n int, all bool, err error) {
	all = true
	for i := range f {
		c := &f[i]
		c.from = from
		if err := c.read(x); err != nil {
			return 0, false, err
		}
		n += len(c.list)
		all = all && c.all
	}
	return n, all, nil
}

// tally is how many events from a position on pass, counted little further than most.
func (f filter) tally(x index, from uint32, most int) (n int, err error) {
	for i := 0; i < len(f) && n < most; i++ {
		more, err := x.tally(f[i].term, from, most-n)
		if err != nil {
			return 0, err
		}
		n += more
	}
	return n, nil
}

// next appends to dst the positions of the next events that pass, ascending: up to chunk in all, or fewer when there
// are no more.
func (f filter) next(x index, dst []uint32) ([]uint32, error) {
	for len(dst) < chunk {
		least, some := uint32(math.MaxUint32), false
		for i := range f {
			c := &f[i]
			if len(c.list) == 0 && !c.all {
				if err := c.read(x); err != nil {
					return nil, err
				}
			}
			if len(c.list) > 0 {
				least, some = min(least, c.list[0]), true
			}
		}
		if !some {
			break
		}
		for i := range f {
			if list := f[i].list; len(list) > 0 && list[0] == least {
				f[i].list = list[1:]
			}
		}
		dst = append(dst, least)
	}
	return dst, nil
}

// visit is one pass through the log for what a selection selects.
type visit struct {
	j       *Journal
	ctx     context.Context
	sel     *codec.Selection
	filters []filter
	terms   int // of all filters
	f       func(seq uint64, ev *causal.Event) bool
	budget  int // bytes of log that it may still read, or what costs as much
	ev      causal.Event
}

// errStop ends a visit from within.
var errStop = errors.New("stop")

// visit calls f with the events after sel.After, up to until, that sel selects, and with nil for some of
// the sequences where it has moved on without one. It ends when f returns false, and after about
// scanBudget bytes of log, or of what costs as much. The event is valid during the call only.
func (j *Journal) visit(ctx context.Context, sel *codec.Selection, until uint64, f func(seq uint64, ev *causal.Event) bool) error {
	v := visit{j: j, ctx: ctx, sel: sel, filters: filtersOf(sel), f: f, budget: scanBudget}
	if err := v.run(until); !errors.Is(err, errStop) {
		return j.readable(err)
	}
	return nil
}

func (v *visit) run(until uint64) (err error) {
	after := v.sel.After
	if len(v.filters) == 0 {
		_, err = v.scan(after, until)
		return err
	}
	for _, f := range v.filters {
		v.terms += len(f)
	}
	for after < until && v.budget > 0 && err == nil {
		after, err = v.segment(after, until)
	}
	return err
}

// scan visits the events after one, up to until, and returns the last one that it looked at.
func (v *visit) scan(after, until uint64) (uint64, error) {
	sel := v.sel
	whole := sel.Scope == "" && sel.Entity == "" && sel.Lane == nil && len(sel.Kinds) == 0 && sel.Subject == ""
	return v.j.scan(v.ctx, after, until, max(1, v.budget), func(seq uint64, envelope []byte) error {
		v.budget -= len(envelope)
		if whole {
			v.ev.Envelope = envelope
		} else if err := codec.DecodeEnvelopeInto(envelope, &v.ev); err != nil {
			return fmt.Errorf("journal: event %d: %w", seq, err)
		}
		return v.take(seq)
	})
}

// take hands the event over, if it is selected.
func (v *visit) take(seq uint64) error {
	ev := &v.ev
	if !matches(ev, v.sel) {
		ev = nil
	}
	if !v.f(seq, ev) {
		return errStop
	}
	return nil
}

// segment visits events of the segment that has the event after one, by its index, and returns the last one that
// it looked at: at least one, whatever the budget.
func (v *visit) segment(after, until uint64) (uint64, error) {
	if err := v.ctx.Err(); err != nil {
		return after, err
	}
	s, x, err := v.j.segmentOf(after + 1)
	if err != nil {
		return after, err
	}
	last := min(until, s.first+uint64(x.count())-1)
	if last-after <= uint64(fewest*v.terms) {
		return v.scan(after, last)
	}
	rarest, err := v.choose(x, uint32(after+1-s.first))
	if err != nil {
		return after, err
	}
	var some [chunk]uint32
	for {
		candidates, err := rarest.next(x, some[:0])
		if err != nil {
			return after, err
		}
		more := len(candidates) == chunk
		if i, _ := slices.BinarySearch(candidates, uint32(last+1-s.first)); i < len(candidates) {
			candidates, more = candidates[:i], false
		}
		if after, err = v.look(s, x, after, candidates); err != nil || v.budget <= 0 && len(candidates) > 0 {
			return after, err
		}
		if !more {
			if after < last && !v.f(last, nil) {
				err = errStop
			}
			return last, err
		}
	}
}

// choose returns the filter that the fewest events of a segment from a position on pass, as far as is cheap to tell.
func (v *visit) choose(x index, from uint32) (rarest filter, err error) {
	least := math.MaxInt
	for _, f := range v.filters {
		if rarest != nil && least <= fewest*len(f) {
			continue
		}
		v.budget -= lookUpCost * len(f)
		n, all, err := f.start(x, from)
		if err != nil {
			return nil, err
		}
		if all && n < least {
			rarest, least = f, n
		}
	}
	switch {
	case rarest != nil:
		return rarest, nil
	case len(v.filters) == 1:
		return v.filters[0], nil
	}
	least = x.count()
	for _, f := range v.filters {
		n, err := f.tally(x, from, least)
		if err != nil {
			return nil, err
		}
		if n < least || rarest == nil {
			rarest, least = f, n
		}
	}
	return rarest, nil
}

// look visits those of some events of a segment that are selected, and returns the last one that it looked at, or after.
// When they lie close together, it reads them with what lies between.
func (v *visit) look(s *segment, x index, after uint64, candidates []uint32) (uint64, error) {
	if len(candidates) == 0 {
		return after, nil
	}
	first, last := candidates[0], candidates[len(candidates)-1]
	if n := int64(len(candidates)); n > fewest {
		from, err := x.offset(int(first))
		if err != nil {
			return after, err
		}
		to, err := x.offset(int(last))
		if err != nil {
			return after, err
		}
		between := int64(last-first) + 1 - n // events that are not asked for
		if between*((to-from)/int64(last-first)) < n*eventCost {
			return v.scan(s.first+uint64(first)-1, s.first+uint64(last))
		}
	}
	buf := frameBuffers.Get().(*[]byte)
	defer frameBuffers.Put(buf)
	for _, pos := range candidates {
		seq := s.first + uint64(pos)
		_, off, body, err := v.j.readEvent(seq, buf)
		if err == nil {
			err = s.decodeInto(off, seq, body, &v.ev)
		}
		if err == nil {
			err = v.ctx.Err()
		}
		if err != nil {
			return after, err
		}
		if v.budget -= len(body) + eventCost; v.take(seq) != nil {
			return seq, errStop
		}
		if after = seq; v.budget <= 0 {
			break
		}
	}
	return after, nil
}

// matches says whether the filters of sel let an event through. Its range is not looked at.
func matches(ev *causal.Event, sel *codec.Selection) bool {
	return (sel.Scope == "" || sel.Scope == ev.Scope) &&
		(sel.Entity == "" || sel.Entity == ev.Entity) &&
		(sel.Lane == nil || *sel.Lane == ev.Lane) &&
		(len(sel.Kinds) == 0 || slices.Contains(sel.Kinds, ev.Kind)) &&
		(sel.Subject == "" || sel.Subject == ev.Subject)
}
