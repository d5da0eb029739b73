package faulttest

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"testing"

	"batpak/faultfs"
)

var replayFlag = flag.String("faultfs.replay", "", "run the one experiment of this `token`, instead of exploring")

// path is the choices that led somewhere. It is a value: adding to one leaves
// others as they are. Like [faultfs.Choices.Intn], it has nothing of a choice among
// one.
type path struct{ choices []int }

// add makes a choice v among n.
func (p *path) add(v, n int) *path {
	if n > 1 {
		*p = p.with(v)
	}
	return p
}

func (p path) with(choices ...int) path { return path{slices.Concat(p.choices, choices)} }

func (p path) token() string { return faultfs.Token(p.choices) }

// again turns a path whose last choice was to check an image into one that chose to
// crash the recovery.
func (p path) again() path {
	q := p.with()
	q.choices[len(q.choices)-1] = 1
	return q
}

// experiment runs a test once, as the choices say: how many steps, in which order,
// with which fault, with a crash where and how, and again during recovery. It is
// nil when all was well. What is chosen is in the order of Explore's paths.
func experiment(t *testing.T, test Test, opts Options, c *faultfs.Choices) (story string, err error) {
	steps := test.Steps - c.Intn(test.Steps)
	schedule := c.Intn(max(opts.Schedules, 1))
	disk, acked := faultfs.NewDisk(test.Model), []any(nil)
	run := program(func(fsys faultfs.FS, ack func(any)) error { return test.Run(fsys, steps, ack) })
	story = fmt.Sprintf("%d steps", steps)
	for depth := 0; ; depth++ {
		how := plan{schedule: schedule, again: depth > 0, rules: opts.Rules}
		r := record(t, disk, acked, how, run)
		if r.err != nil {
			return story, r.err
		}
		fault := c.Intn(len(r.calls) + 1)
		if fault > 0 {
			rules := opts.faults(r.calls, fault)
			rule := rules[c.Intn(len(rules))]
			story += fmt.Sprintf(", %s at %s (operation %d)", rule.Do, r.calls[fault-1], fault)
			r = record(t, disk, acked, how.with(rule), run)
			if errors.As(r.err, new(*Violation)) {
				return story, r.err
			}
		}
		i := c.Intn(len(r.points))
		p := &r.points[(i-1+len(r.points))%len(r.points)]
		disk, acked = p.disk, r.acked[:p.acked:p.acked]
		moment := "at the end"
		if p.call != "" {
			moment = "before " + p.call
		}
		if c.Intn(2) == 1 {
			disk = disk.Crash(c)
			story += ", power lost " + moment
		} else {
			story += ", killed " + moment
		}
		before := acked
		run = func(fsys faultfs.FS, ack func(any)) error { return test.Check(fsys, before, ack) }
		if depth > 0 || c.Intn(2) == 0 {
			return story, attempt(disk, acked, opts.Rules, run)
		}
		schedule = 0
		story += ", and recovering"
	}
}

func replayToken(t *testing.T, test Test, opts Options, token string) {
	t.Helper()
	c, err := faultfs.Replay(token)
	if err != nil {
		t.Fatal(err)
	}
	story, err := experiment(t, test, opts, c)
	if err != nil {
		t.Errorf("%s: %v", story, err)
		return
	}
	t.Logf("%s: all is well", story)
}

// Replay runs the one experiment of a token, and returns what was not as it must be:
// a defect that was found once stays found.
func Replay(t *testing.T, test Test, opts Options, token string) error {
	t.Helper()
	c, err := faultfs.Replay(token)
	if err != nil {
		return err
	}
	story, err := experiment(t, test, opts, c)
	if err != nil {
		return fmt.Errorf("%s: %w", story, err)
	}
	return nil
}

// Fuzz lets the bytes of the fuzzer be the choices of experiments.
func Fuzz(f *testing.F, test Test, opts Options) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 40, 1, 1, 0, 1})
	f.Add([]byte{2, 0, 30, 1, 9, 1, 1, 1, 1, 1, 0, 20, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		c := faultfs.FromBytes(b)
		if story, err := experiment(t, test, opts, c); err != nil {
			t.Errorf("%s: %v\nreplay with token %s", story, err, c.Token())
		}
	})
}

// maxShrinks bounds the experiments that simplest does.
const maxShrinks = 400

// simplest makes the choices of a failure fewer and smaller, as long as it fails:
// each choice becomes 0 when it can be, or else half of what it was; and the
// workload loses as many steps from its end as it can.
func (e *explorer) simplest(f Failure) Failure {
	choices, err := faultfs.ParseToken(f.Token)
	if err != nil {
		return f
	}
	tries := 0
	fails := func(candidate []int) bool {
		if tries++; tries > maxShrinks {
			return false
		}
		c := faultfs.Given(candidate...)
		story, err := experiment(e.t, e.test, e.opts, c)
		if err == nil {
			return false
		}
		taken := c.Taken()
		f, choices = Failure{Token: faultfs.Token(taken), Story: story, Err: err}, taken
		return true
	}
	if !fails(choices) {
		f.Story += " (it did not fail again when it was replayed)"
		return f
	}
	for again := true; again && tries <= maxShrinks; {
		again = false
		for i := len(choices) - 1; i >= 1; i-- {
			for v := 0; i < len(choices) && v < choices[i]; v = (v + choices[i] + 1) / 2 {
				candidate := slices.Clone(choices)
				candidate[i] = v
				if fails(candidate) {
					again = true
					break
				}
			}
		}
		for drop := e.test.Steps - 1; len(choices) > 0 && e.test.Steps > 1 && drop > choices[0]; drop-- {
			candidate := slices.Clone(choices)
			candidate[0] = drop
			if fails(candidate) {
				again = true
				break
			}
		}
	}
	return f
}
