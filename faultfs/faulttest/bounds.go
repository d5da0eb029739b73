package faulttest

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"time"
)

var deepFlag = flag.Bool("faultfs.deep", false, "explore as far as the deep bounds go; an interrupt ends it")

// Deep says whether the flag -faultfs.deep was given. An exploration tells how far
// it is then, on stderr, and ends at an interrupt with the report of what it did.
func Deep() bool { return *deepFlag }

// Bounds is what a test explores: quick whenever tests are run, and deep with the
// flag:
//
//	r := faulttest.Explore(t, test, faulttest.Bounds(
//		faulttest.Options{Recover: 100},
//		faulttest.Options{Recover: 1, RecoverKills: 1, Schedules: 4, EveryFault: true}))
func Bounds(quick, deep Options) Options {
	if Deep() {
		return deep
	}
	return quick
}

// interrupted ends this exploration and those that would follow.
var interrupted atomic.Bool

// watch makes an exploration tell how far it is, and end at an interrupt; a second
// one ends the process. Its goroutine ends when stop is called.
func (e *explorer) watch() (stop func()) {
	if e.opts.Progress == nil {
		e.opts.Progress = func(r Report) bool {
			fmt.Fprintln(os.Stderr, e.t.Name()+":", r.line())
			return true
		}
	}
	c, ended := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(c, os.Interrupt)
	go func() {
		defer signal.Stop(c)
		select {
		case <-c:
			interrupted.Store(true)
		case <-ended:
		}
	}()
	return func() { close(ended) }
}

// line is the progress of an exploration.
func (r Report) line() string {
	rate := float64(r.Images) / max(r.Elapsed.Seconds(), 0.001)
	return fmt.Sprintf("%v, %d images (%.0f/s), %d distinct, %d checks, %d fault runs, %d recoveries, %d failures",
		r.Elapsed.Round(time.Second), r.Images, rate, r.Distinct, r.Checks, r.FaultRuns, r.Recoveries, len(r.Failures))
}
