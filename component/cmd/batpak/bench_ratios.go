package main

import (
	"fmt"

	"batpak/component/bench"
)

type measured struct {
	name     string
	inflight int
}

// results are the rounds of all that was measured.
type results map[measured]bench.Series

// promise is a rate that should be at least so many times another one, or a p50 that should be at most so many.
type promise struct {
	ours, theirs string
	inflight     int
	atLeast      float64
	atMost       float64
}

var promises = []promise{
	{ours: rowAppend, theirs: rowJetStream, inflight: promisedInflight, atLeast: 16},
	{ours: rowAppend, theirs: rowEcho, inflight: promisedInflight, atLeast: 0.5},
	{ours: rowOnward, theirs: rowJetStream, inflight: promisedInflight, atLeast: 10},
	{ours: rowSealed, theirs: rowAppend, inflight: promisedInflight, atLeast: 0.85},
	{ours: rowNewKey, theirs: rowSealed, inflight: promisedInflight, atLeast: 0.75},
	{ours: rowNewKey, theirs: rowSealed, inflight: 1, atMost: 1.25},
	{ours: rowMany, theirs: rowFew, inflight: promisedInflight, atLeast: 0.9},
	{ours: rowShred, theirs: rowDisk, inflight: 1, atMost: 20},
}

const promisedInflight = 256

// aloneAtMost bounds the latency of an append that shares its sync with no other: a round trip and
// one sync are what it cannot do without.
const aloneAtMost = 1.3

// summary is a row of medians for each run, the ratios between them, and the bounds of what was measured.
func (r *ring) summary(all []bench.Series) ([]bench.Row, []bench.Ratio) {
	rows := make([]bench.Row, len(all))
	found := results{}
	for i, series := range all {
		rows[i] = series.Median()
		found[measured{rows[i].Name, rows[i].Inflight}] = series
	}
	ratios := found.ratios()
	if r.bounds != nil {
		ratios = append(ratios, r.bounds(found)...)
	}
	return rows, ratios
}

// ratios are the promises of which all sides were measured.
func (r results) ratios() []bench.Ratio {
	var ratios []bench.Ratio
	for _, p := range promises {
		ours, theirs := r[measured{p.ours, p.inflight}], r[measured{p.theirs, p.inflight}]
		if len(ours) == 0 || len(theirs) == 0 {
			continue
		}
		what, figure := "ops/s", bench.Rate
		if p.atMost != 0 {
			what, figure = "p50", bench.P50
		}
		ratios = append(ratios, bench.Ratio{
			What:    fmt.Sprintf("%s / %s, %s, %d in flight", p.ours, p.theirs, what, p.inflight),
			Value:   ours.Over(theirs, figure),
			AtLeast: p.atLeast,
			AtMost:  p.atMost,
		})
	}
	ours, trip, sync := r[measured{rowAppend, 1}], r[measured{rowEcho, 1}], r[measured{rowDisk, 1}]
	if least := added(trip, sync); len(ours) > 0 && len(least) > 0 {
		ratios = append(ratios, bench.Ratio{
			What:   fmt.Sprintf("%s / (%s + %s), p50, 1 in flight", rowAppend, rowEcho, rowDisk),
			Value:  ours.Over(least, bench.P50),
			AtMost: aloneAtMost,
		})
	}
	return ratios
}

// added has the sums of two latencies, round by round.
func added(a, b bench.Series) bench.Series {
	sum := make(bench.Series, min(len(a), len(b)))
	for i := range sum {
		sum[i].P50us = a[i].P50us + b[i].P50us
	}
	return sum
}

// quickSync is a sync, in microseconds, that no disk does.
const quickSync = 3

// notes are what else there is to say of what was measured.
func (r *ring) notes(rows []bench.Row) []string {
	notes := r.said
	for _, row := range rows {
		switch {
		case row.Name == rowDisk && row.P50us < quickSync:
			notes = append(notes, "syncs cost nothing here: the directory is not on a disk, and the durable rows mean nothing; see --dir")
		case row.Err != nil:
			notes = append(notes, fmt.Sprintf("%s, %d in flight: %d errors, the first: %v", row.Name, row.Inflight, row.Errors, row.Err))
		}
	}
	for _, row := range rows {
		if row.Name == rowOnward {
			notes = append(notes, fmt.Sprintf("onward: at most %s events behind at the end of a load; published %s later", grouped(r.lag), brief(r.caughtUp)))
			break
		}
	}
	return notes
}
