package faulttest

import (
	"cmp"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"

	"batpak/faultfs"
)

// recording is what one run did, with the disk as it was before each change.
type recording struct {
	calls   []faultfs.Call
	points  []point // before each change, and at the end
	skipped int     // points before them that were not kept
	acked   []any   // what came before the run included
	err     error
}

// point is a moment at which the program may die.
type point struct {
	disk  *faultfs.Disk // with what is not synced in the cache
	acked int           // promises by then
	call  string        // that did not happen any more; "" at the end
}

// program is Run or Check, with their other arguments in place.
type program func(fsys faultfs.FS, ack func(any)) error

// plan is how a program is run.
type plan struct {
	schedule int
	again    bool // it runs on what another run left, and draws other random numbers
	rules    []faultfs.Rule
	sites    bool // note who calls
	endOnly  bool // of the points, only the end
}

func (p plan) with(rule faultfs.Rule) plan {
	p.rules = slices.Concat(p.rules, []faultfs.Rule{rule})
	return p
}

// record runs a program in a bubble, one operation on the disk at a time: each
// waits until nothing else can go on, and then one of those that wait is let
// through, by order. What goroutines do between their operations is left to the
// scheduler of the runtime, with one core for all, which takes them in the order in which
// they became ready. So a run with the same schedule is the same run, unless a
// goroutine is preempted after ten milliseconds, or the race detector is on: then the
// runtime takes goroutines in any order.
func record(t *testing.T, disk *faultfs.Disk, before []any, p plan, run program) (r *recording) {
	r = new(recording)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		seed := uint64(p.schedule) << 1
		if p.again {
			seed++
		}
		cryptotest.SetGlobalRandom(t, seed)
		m := disk.Mount()
		in := inject(m, p)
		acked := promises{list: slices.Clone(before)}
		s := newScheduler(p.schedule)
		s.change = func(c faultfs.Call) {
			if p.endOnly {
				r.skipped++
			} else {
				r.points = append(r.points, point{m.Snapshot(), acked.count(), c.String()})
			}
		}
		in.Before(s.turn)
		go s.run()
		r.err = guarded(func() error { return run(in, acked.add) })
		s.end()
		r.points = append(r.points, point{disk: m.Snapshot(), acked: acked.count()})
		r.calls, r.acked = in.Trace(), acked.list
	})
	return r
}

// inject is the FS of a plan.
func inject(m *faultfs.Mount, p plan) *faultfs.Injector {
	in := faultfs.Inject(m, p.rules...)
	if p.sites || slices.ContainsFunc(p.rules, func(r faultfs.Rule) bool { return r.Site != "" }) {
		in.NoteSites()
	}
	return in
}

// attempt runs a program without recording it, as fast as it goes.
func attempt(disk *faultfs.Disk, before []any, rules []faultfs.Rule, run program) error {
	fsys := faultfs.FS(disk.Mount())
	if len(rules) > 0 {
		fsys = inject(disk.Mount(), plan{rules: rules})
	}
	acked := promises{list: slices.Clone(before)}
	return guarded(func() error { return run(fsys, acked.add) })
}

// promises is what was acknowledged.
type promises struct {
	mu   sync.Mutex // guards list
	list []any
}

func (p *promises) add(promise any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, promise)
}

func (p *promises) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.list)
}

// prefix is what was promised up to a moment: runs that promised the same, in the
// same order, have the same one.
type prefix struct {
	last any
	next []*prefix // with one promise more
}

// all is the prefixes of a list under p, the empty one first.
func (p *prefix) all(acked []any) []*prefix {
	prefixes := []*prefix{p}
	for _, promise := range acked {
		i := slices.IndexFunc(p.next, func(n *prefix) bool { return reflect.DeepEqual(n.last, promise) })
		if i < 0 {
			i = len(p.next)
			p.next = append(p.next, &prefix{last: promise})
		}
		p = p.next[i]
		prefixes = append(prefixes, p)
	}
	return prefixes
}

// scheduler lets operations through one at a time. Its goroutine is started by
// record and ended by end.
type scheduler struct {
	change   func(faultfs.Call) // called before each change, when everything waits
	choices  *faultfs.Choices   // among those that wait; nil takes the first
	arrivals chan waiter
	stop     chan struct{}
	stopped  chan struct{}
	waiting  []waiter // of run alone
}

type waiter struct {
	call faultfs.Call
	key  string
	pass chan struct{}
}

func newScheduler(schedule int) *scheduler {
	s := &scheduler{arrivals: make(chan waiter, 256), stop: make(chan struct{}), stopped: make(chan struct{})}
	if schedule > 0 {
		s.choices = faultfs.Seeded(uint64(schedule))
	}
	return s
}

// turn waits for the operation's turn. Many may call it.
func (s *scheduler) turn(c faultfs.Call) {
	w := waiter{c, c.String(), make(chan struct{})}
	s.arrivals <- w
	<-w.pass
}

func (s *scheduler) run() {
	defer close(s.stopped)
	for {
		if len(s.waiting) == 0 {
			select {
			case w := <-s.arrivals:
				s.waiting = append(s.waiting, w)
			case <-s.stop:
				return
			}
		}
		synctest.Wait()
		for len(s.arrivals) > 0 {
			s.waiting = append(s.waiting, <-s.arrivals)
		}
		at := 0
		if len(s.waiting) > 1 {
			slices.SortStableFunc(s.waiting, func(a, b waiter) int { return cmp.Compare(a.key, b.key) })
			if s.choices != nil {
				at = s.choices.Intn(len(s.waiting))
			}
		}
		w := s.waiting[at]
		s.waiting = slices.Delete(s.waiting, at, at+1)
		if w.call.Op&faultfs.OpChange != 0 {
			s.change(w.call)
		}
		close(w.pass)
	}
}

func (s *scheduler) end() {
	close(s.stop)
	<-s.stopped
}
