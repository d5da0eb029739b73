package faulttest

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"batpak/faultfs"
)

// Options bounds an exploration. The zero value crashes at every operation of one
// run, and makes each operation fail once.
type Options struct {
	// Schedules is how many orders of concurrent operations are run. The first takes
	// them by name, the others at random, the same in each process. 0 means 1.
	Schedules int

	// Recover is for the crash during a recovery: each Recover-th image that a loss of
	// power left, of those that differ, is recovered from, and that recovery is crashed at every operation.
	// 0 means none, 1 means all. RecoverKills is the same for the images of kills, in
	// which what is not synced is still to be lost.
	Recover, RecoverKills int

	// RecoverFaults is for the recoveries that are explored: each so many of them is also
	// made to fail at every operation, which takes much longer. 0 means all.
	RecoverFaults int

	// NoFaults leaves out the runs in which an operation fails.
	NoFaults bool

	// GoodReads leaves out reads that succeed and give wrong bytes, which a program
	// without checksums cannot notice.
	GoodReads bool

	// EveryFault also crashes runs with a fault at every operation after it. Without it
	// they are crashed at their end.
	EveryFault bool

	// Rules are in force in every run and every check. Their disk is not honest.
	Rules []faultfs.Rule

	// MaxImages ends the exploration after so many images; 0 does not.
	MaxImages int

	// Progress, when not nil, is called every two seconds or so with what was done so far.
	// When it returns false the exploration ends. With [Deep], nil prints a line.
	Progress func(Report) bool

	// KeepGoing does not end at the first failure but counts them.
	KeepGoing bool

	// Quiet returns failures in the report and does not fail the test.
	Quiet bool
}

// Report counts what was explored.
type Report struct {
	Runs        int // without a fault, one for each schedule
	Operations  int // of these, reads included
	Changes     int // of the operations; a crash between two is as one before the second
	CrashPoints int // changes that were crashed before, and runs that were crashed at their end
	Faulted     int // operations that were made to fail in every way
	Images      int // that a crash left
	Distinct    int // of these
	Checks      int // of images, each once with the same promises
	FaultRuns   int
	Recoveries  int // that were crashed at every operation, and some of them made to fail
	Failures    []Failure
	Stopped     bool // by MaxImages, Progress or an interrupt: the rest was not explored
	Elapsed     time.Duration
}

// Complete says whether every operation of the runs was made to fail, and every
// change crashed at.
func (r Report) Complete() bool {
	return !r.Stopped && r.Runs > 0 && r.Faulted == r.Operations && r.CrashPoints == r.Changes+r.Runs
}

// String is the counts without the time, one line each.
func (r Report) String() string {
	var b strings.Builder
	for _, row := range []struct {
		name string
		n    int
	}{
		{"operations", r.Operations}, {"operations made to fail", r.Faulted},
		{"changes", r.Changes}, {"crash points", r.CrashPoints},
		{"fault runs", r.FaultRuns}, {"recoveries explored", r.Recoveries}, {"crash images", r.Images},
		{"distinct images", r.Distinct}, {"checks", r.Checks}, {"failures", len(r.Failures)},
	} {
		fmt.Fprintf(&b, "%-24s %9d\n", row.name, row.n)
	}
	return b.String()
}

// Failure is an experiment in which something was not as it must be.
type Failure struct {
	Token string // replays it
	Story string // what happened, for people
	Err   error
}

func (f Failure) String() string {
	return fmt.Sprintf("%s: %v\nreplay with token %s", f.Story, f.Err, f.Token)
}

// explorer is one exploration.
type explorer struct {
	t      *testing.T
	test   Test
	opts   Options
	began  time.Time
	cores  int
	report Report
	seen   map[[2]uint64]struct{}
	checks map[checkKey]struct{} // that were made
	begins *prefix               // of the promises of all runs
	jobs   []job
	told   time.Time
}

// checkKey is an image with what must be on it.
type checkKey struct {
	digest [2]uint64
	acked  *prefix
}

// job is an image that waits to be checked.
type job struct {
	disk  *faultfs.Disk
	acked []any
	path  path
	story string
}

// Explore runs the workload of a test and crashes it at every operation, as kill
// and as loss of power, in every way that the model has within its bounds; makes
// every operation fail in every way that it can; and does the same to recoveries.
// Each disk that comes of it is checked, once. The report says how much that was.
//
// It fails t at the first thing that is not as it must be, with a token that
// replays it, made as simple as it gets. With the flag -faultfs.replay=TOKEN it
// runs that one experiment only.
func Explore(t *testing.T, test Test, opts Options) Report {
	t.Helper()
	if *replayFlag != "" {
		replayToken(t, test, opts, *replayFlag)
		return Report{}
	}
	// Little lives long here: collecting it seldom is a quarter of the time.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	e := newExplorer(t, test, opts)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // as in record
	if Deep() {
		defer e.watch()()
	}
	for schedule := range max(opts.Schedules, 1) {
		if e.done() {
			break
		}
		e.schedule(schedule)
	}
	e.report.Elapsed = time.Since(e.began)
	if opts.Quiet {
		return e.report
	}
	for _, f := range e.report.Failures {
		t.Errorf("%v", e.simplest(f))
		break
	}
	if n := len(e.report.Failures); n > 1 {
		t.Errorf("and %d more failures", n-1)
	}
	return e.report
}

func newExplorer(t *testing.T, test Test, opts Options) *explorer {
	began := time.Now()
	return &explorer{t: t, test: test, opts: opts, began: began, told: began, cores: runtime.GOMAXPROCS(0), begins: new(prefix),
		seen: make(map[[2]uint64]struct{}), checks: make(map[checkKey]struct{})}
}

func (e *explorer) done() bool {
	r := &e.report
	switch {
	case len(r.Failures) > 0 && !e.opts.KeepGoing:
		return true
	case e.opts.MaxImages > 0 && r.Images >= e.opts.MaxImages, interrupted.Load():
		r.Stopped = true
	case e.opts.Progress != nil && time.Since(e.told) > 2*time.Second:
		e.told = time.Now()
		r.Elapsed = time.Since(e.began)
		r.Stopped = r.Stopped || !e.opts.Progress(*r)
	}
	return r.Stopped
}

// schedule explores one order of operations.
func (e *explorer) schedule(schedule int) {
	var at path
	at.add(0, e.test.Steps).add(schedule, max(e.opts.Schedules, 1))
	how := plan{schedule: schedule, rules: e.opts.Rules}
	r := record(e.t, faultfs.NewDisk(e.test.Model), nil, how, e.run(e.test.Steps))
	if r.err != nil { // with Rules too: then the program has noticed
		e.fail(at, "a run without faults", r.err)
		return
	}
	e.report.Runs++
	e.report.Operations += len(r.calls)
	e.report.Changes += len(r.points) - 1
	whole := at
	whole.add(0, len(r.calls)+1)
	e.report.CrashPoints += e.crash(whole, "", r, &e.opts)
	if e.opts.NoFaults {
		return
	}
	for n := range r.calls {
		if e.done() {
			return
		}
		rules := e.opts.faults(r.calls, n+1)
		for i, rule := range rules {
			if e.done() {
				return
			}
			faulty := at
			faulty.add(n+1, len(r.calls)+1).add(i, len(rules))
			story := fmt.Sprintf("%s at %s (operation %d)", rule.Do, r.calls[n], n+1)
			e.report.FaultRuns++
			how.endOnly = !e.opts.EveryFault
			f := record(e.t, faultfs.NewDisk(e.test.Model), nil, how.with(rule), e.run(e.test.Steps))
			if e.violated(faulty, story, f.err) {
				return
			}
			e.crash(faulty, story+", ", f, &Options{})
		}
		e.report.Faulted++
	}
}

func (e *explorer) run(steps int) program {
	return func(fsys faultfs.FS, ack func(any)) error { return e.test.Run(fsys, steps, ack) }
}

func (e *explorer) check(acked []any) program {
	return func(fsys faultfs.FS, ack func(any)) error { return e.test.Check(fsys, acked, ack) }
}

// violated notes an error when it is one that no fault excuses.
func (e *explorer) violated(at path, story string, err error) bool {
	var v *Violation
	if !errors.As(err, &v) {
		return false
	}
	e.fail(at, story, err)
	return true
}

func (e *explorer) fail(at path, story string, err error) {
	e.report.Failures = append(e.report.Failures, Failure{Token: at.token(), Story: story, Err: err})
}

// crash looks at every image that a crash of the recording leaves, and explores the
// recoveries that recover asks for. It returns how many points it is done with.
func (e *explorer) crash(at path, story string, r *recording, recover *Options) (points int) {
	defer e.checkJobs()
	kills, lost := 0, make(map[checkKey]bool)
	promised := e.begins.all(r.acked)
	all := r.skipped + len(r.points)
	for i := len(r.points) - 1; i >= 0; i-- { // the end is choice 0
		p := &r.points[i]
		here := at
		here.add((r.skipped+i+1)%all, all)
		for im := range e.images(here, story, p, r.acked) {
			e.report.Images++
			digest := im.disk.Digest()
			_, known := e.seen[digest]
			if !known {
				e.seen[digest] = struct{}{}
				e.report.Distinct++
			}
			key := checkKey{digest, promised[p.acked]}
			if _, checked := e.checks[key]; !checked {
				e.checks[key] = struct{}{}
				e.jobs = append(e.jobs, im)
			}
			switch kill := im.disk == p.disk; {
			case kill:
				if kills++; recover.RecoverKills > 0 && kills%recover.RecoverKills == 0 {
					e.recovery(im)
				}
			case recover.Recover > 0 && !lost[key]:
				lost[key] = true // it may have been known, from what another recovery left
				if len(lost)%recover.Recover == 0 {
					e.recovery(im)
				}
			}
			if len(e.jobs) >= 1024 {
				e.checkJobs()
			}
			if e.done() {
				return points
			}
		}
		points++
	}
	return points
}

// images is what may be found after a crash at a point: the disk of a kill, then
// those of a loss of power.
func (e *explorer) images(at path, story string, p *point, acked []any) func(yield func(job) bool) {
	return func(yield func(job) bool) {
		moment := "at the end"
		if p.call != "" {
			moment = "before " + p.call
		}
		killed := at
		killed.add(0, 2).add(0, 2)
		if !yield(job{p.disk, acked[:p.acked:p.acked], killed, story + "killed " + moment}) {
			return
		}
		lost := at
		lost.add(1, 2)
		for c := range faultfs.AllChoices() {
			disk := p.disk.Crash(c)
			here := lost
			here = here.with(c.Taken()...)
			here.add(0, 2)
			if !yield(job{disk, acked[:p.acked:p.acked], here, story + "power lost " + moment}) {
				return
			}
		}
	}
}

// recovery crashes the check of an image at every operation, and makes every
// operation of it fail.
func (e *explorer) recovery(im job) {
	e.report.Recoveries++
	at := im.path.again()
	how := plan{again: true, rules: e.opts.Rules}
	r := record(e.t, im.disk, im.acked, how, e.check(im.acked))
	whole := at
	whole.add(0, len(r.calls)+1)
	if r.err != nil {
		e.fail(whole, im.story+", and recovering", r.err)
		return
	}
	e.crash(whole, im.story+", and recovering ", r, &Options{})
	if e.opts.NoFaults || e.report.Recoveries%max(e.opts.RecoverFaults, 1) != 0 {
		return
	}
	for n := range r.calls {
		rules := e.opts.faults(r.calls, n+1)
		for i, rule := range rules {
			if e.done() {
				return
			}
			faulty := at
			faulty.add(n+1, len(r.calls)+1).add(i, len(rules))
			story := fmt.Sprintf("%s, and recovering with %s at %s", im.story, rule.Do, r.calls[n])
			e.report.FaultRuns++
			how.endOnly = true
			f := record(e.t, im.disk, im.acked, how.with(rule), e.check(im.acked))
			if e.violated(faulty, story, f.err) {
				return
			}
			e.crash(faulty, story+", ", f, &Options{})
		}
	}
}

// checkJobs checks the images that wait, on all cores.
func (e *explorer) checkJobs() {
	jobs := e.jobs
	e.jobs = nil
	if len(jobs) == 0 {
		return
	}
	if len(jobs) > 1 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(e.cores))
	}
	e.report.Checks += len(jobs)
	errs := make([]error, len(jobs))
	next := make(chan int, len(jobs))
	for i := range jobs {
		next <- i
	}
	close(next)
	var wg sync.WaitGroup
	for range e.cores {
		wg.Go(func() {
			for i := range next {
				errs[i] = attempt(jobs[i].disk, jobs[i].acked, e.opts.Rules, e.check(jobs[i].acked))
			}
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil && (e.opts.KeepGoing || len(e.report.Failures) == 0) {
			e.fail(jobs[i].path, jobs[i].story, err)
		}
	}
}
