package faulttest

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"batpak/faultfs"
)

// Verdict says whether a test notices when one call of the program is not done, or
// not in its place.
type Verdict struct {
	Site   string // the functions that make the call
	Op     faultfs.Op
	Effect faultfs.Effect // faultfs.Lie or faultfs.Late
	Caught bool
	How    string // the first thing that was noticed
	Token  string // replays it with Rules of the verdict's Rule
	Images int    // crash images that were looked at
}

// Rule is what was in force.
func (v Verdict) Rule() faultfs.Rule {
	return faultfs.Rule{On: v.Op, Site: v.Site, Do: v.Effect}
}

// String is one line.
func (v Verdict) String() string {
	verdict := "caught"
	if !v.Caught {
		verdict = "MISSED"
	}
	return fmt.Sprintf("%-6s %-4s %-8s %s (%d images)", verdict, v.Effect, v.Op, v.Site, v.Images)
}

// syncPoints is the operations that an order hangs on.
const syncPoints = faultfs.OpSync | faultfs.OpSyncData | faultfs.OpSyncDir | faultfs.OpRename

// Lies tests the test: for each place in the program that syncs a file, syncs a
// folder or renames, it explores with a disk on which that one call says yes and
// does nothing. A place that can lie without being noticed is either needless, or the
// test is blind to it. The places are those that the workload and the checks of its
// images come by; their verdicts come one by one.
func Lies(t *testing.T, test Test, opts Options) iter.Seq[Verdict] {
	return verdicts(t, test, opts, syncPoints, faultfs.Lie())
}

// Orders is as Lies, with a disk on which a call is done after the next one that
// changes something; and for writes too. An order that can be swapped without being
// noticed is one that no promise hangs on.
func Orders(t *testing.T, test Test, opts Options) iter.Seq[Verdict] {
	return verdicts(t, test, opts, syncPoints|faultfs.OpWrite, faultfs.Late())
}

func verdicts(t *testing.T, test Test, opts Options, ops faultfs.Op, effect faultfs.Effect) iter.Seq[Verdict] {
	return func(yield func(Verdict) bool) {
		opts.NoFaults, opts.Quiet, opts.KeepGoing = true, true, false
		for _, p := range places(t, test, ops) {
			v := Verdict{Site: p.site, Op: p.op, Effect: effect}
			opts.Rules = []faultfs.Rule{v.Rule()}
			r := Explore(t, test, opts)
			if r.Stopped && interrupted.Load() { // nobody knows
				return
			}
			v.Images = r.Images
			if len(r.Failures) > 0 {
				f := r.Failures[0]
				v.Caught, v.Token, v.How = true, f.Token, fmt.Sprintf("%s: %v", f.Story, f.Err)
			}
			if !yield(v) {
				return
			}
		}
	}
}

// place is a call site and what it does.
type place struct {
	site string
	op   faultfs.Op
}

// places is the call sites of some operations that a test comes by.
func places(t *testing.T, test Test, ops faultfs.Op) []place {
	t.Helper()
	var found []place
	note := func(r *recording) {
		for _, c := range r.calls {
			if p := (place{c.Site, c.Op}); c.Op&ops != 0 && c.Site != "" && !slices.Contains(found, p) {
				found = append(found, p)
			}
		}
	}
	e := newExplorer(t, test, Options{})
	whole := record(t, faultfs.NewDisk(test.Model), nil, plan{sites: true}, e.run(test.Steps))
	if whole.err != nil {
		t.Fatalf("a run without faults: %v", whole.err)
	}
	note(whole)
	for i := range whole.points {
		if p := &whole.points[i]; i%8 == 0 || i == len(whole.points)-1 {
			note(record(t, p.disk, whole.acked[:p.acked], plan{again: true, sites: true}, e.check(whole.acked[:p.acked])))
			note(record(t, p.disk.Crash(faultfs.Seeded(uint64(i))), whole.acked[:p.acked], plan{again: true, sites: true}, e.check(whole.acked[:p.acked])))
		}
	}
	slices.SortFunc(found, func(a, b place) int { return cmp.Or(strings.Compare(a.site, b.site), cmp.Compare(a.op, b.op)) })
	return found
}
