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

// promise is a rate that should be at least so many times another one.
type promise struct {
	ours, theirs string
	atLeast      float64
}

// promises are about 256 operations in flight.
var promises = []promise{
	{rowAppend, rowJetStream, 16},
	{rowAppend, rowEcho, 0.5},
	{rowOnward, rowJetStream, 10},
	{rowSealed, rowAppend, 0.85},
}

const promisedInflight = 256

// aloneAtMost bounds the latency of an append that shares its sync with no other: a round trip and
// one sync are what it cannot do without.
const aloneAtMost = 1.3

// summary is a row of medians for each run, and the ratios between them.
func summary(all []bench.Series) ([]bench.Row, []bench.Ratio) {
	rows := make([]bench.Row, len(all))
	found := results{}
	for i, series := range all {
		rows[i] = series.Median()
		found[measured{rows[i].Name, rows[i].Inflight}] = series
	}
	return rows, found.ratios()
}

// ratios are the promises of which all sides were measured.
func (r results) ratios() []bench.Ratio {
	var ratios []bench.Ratio
	for _, p := range promises {
		ours, theirs := r[measured{p.ours, promisedInflight}], r[measured{p.theirs, promisedInflight}]
		if len(ours) == 0 || len(theirs) == 0 {
			continue
		}
		ratios = append(ratios, bench.Ratio{
			What:    fmt.Sprintf("%s / %s, ops/s, %d in flight", p.ours, p.theirs, promisedInflight),
			Value:   ours.Over(theirs, bench.Rate),
			AtLeast: p.atLeast,
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
	var notes []string
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
