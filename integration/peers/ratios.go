package main

import (
	"fmt"

	"batpak/component/bench"
)

type key struct {
	name     string
	inflight int
}

// results are the rounds of all that was measured.
type results map[key]bench.Series

// A goal is a rate that should be at least so many times another one.
type goal struct {
	ours, theirs string
	inflight     int
	atLeast      float64
}

var goals = []goal{
	{appendDurable, jetStreamAlways, 256, 16},
	{appendDurable, echo, 256, 0.5},
	{appendOnward, jetStreamAlways, 256, 10},
	{appendSealed, appendDurable, 256, 0.85},
	{journalAppend, pebbleSync, 256, 0.8},
	{journalSealed, journalAppend, 256, 0.85},
}

// aloneAtMost bounds the latency of an append that shares its sync with no other:
// a round trip and one sync are what it cannot do without.
const aloneAtMost = 1.3

// ratios are the goals of which all sides were measured.
func (r results) ratios() []bench.Ratio {
	var ratios []bench.Ratio
	for _, g := range goals {
		ours, theirs := r[key{g.ours, g.inflight}], r[key{g.theirs, g.inflight}]
		if len(ours) == 0 || len(theirs) == 0 {
			continue
		}
		ratios = append(ratios, bench.Ratio{
			What:    fmt.Sprintf("%s / %s, ops/s, %d in flight", g.ours, g.theirs, g.inflight),
			Value:   ours.Over(theirs, bench.Rate),
			AtLeast: g.atLeast,
		})
	}
	ours, least := r[key{appendDurable, 1}], roundTripAndSync(r[key{echo, 1}], r[key{disk, 1}])
	if len(ours) > 0 && len(least) > 0 {
		ratios = append(ratios, bench.Ratio{
			What:   fmt.Sprintf("%s / (%s + %s), p50, 1 in flight", appendDurable, echo, disk),
			Value:  ours.Over(least, bench.P50),
			AtMost: aloneAtMost,
		})
	}
	if floor := r[key{echoSynced, 1}]; len(ours) > 0 && len(floor) > 0 {
		ratios = append(ratios, bench.Ratio{
			What:   fmt.Sprintf("%s / %s, p50, 1 in flight", appendDurable, echoSynced),
			Value:  ours.Over(floor, bench.P50),
			AtMost: aloneAtMost,
		})
	}
	return ratios
}

// roundTripAndSync adds the two latencies of each round.
func roundTripAndSync(trip, sync bench.Series) bench.Series {
	sum := make(bench.Series, min(len(trip), len(sync)))
	for i := range sum {
		sum[i].P50us = trip[i].P50us + sync[i].P50us
	}
	return sum
}
