package gates

import (
	"fmt"
	"math"
	"sync"
	"time"

	"batpak/causal"
)

// RateCounts is how many scopes or coordinates a rate gate counts at a time. The count of the one
// that was idle longest is dropped for a new one.
const RateCounts = 1 << 16

// rateUndo is how many events a rate gate can take back. A journal never has as many in flight.
const rateUndo = 1 << 16

// Rate is how many events there may be. It is a token bucket: Burst events at once, and after that
// Events in each Per.
type Rate struct {
	Events int
	Per    time.Duration
	Burst  int  // 0 means Events
	Entity bool // count each coordinate by itself, not each scope
}

// MaxRate makes a gate that denies, with CodeRate, what comes faster than the rate. NewChain
// refuses it when the rate is not positive, or Per is too short to be divided by Events or too
// long to be multiplied by Burst.
//
// Time is the proposals' own (Header.Time, in milliseconds), which never goes back, so how long
// an append waited in a queue or how fast a disk is does not matter. An event counts when it is
// appended: a proposal that a later gate denies, or whose batch is given up or rolled back, takes
// nothing. The gate is a Rewinder, and knows it by Header.Seq too: a proposal for a sequence says that
// nothing that was judged for this one, or a later one, came about. A proposal without a sequence
// is judged and takes nothing.
//
// Only events that were judged count: not those of a bypass. The counts are in memory, and full
// again when the journal is opened. The gate must not be in the chains of two journals.
func MaxRate(name string, r Rate) Gate {
	if r.Burst == 0 {
		r.Burst = r.Events
	}
	g := &rate{name: name, Rate: r, due: newLRU[causal.Coordinate, int64](RateCounts)}
	if g.defect() == "" {
		g.step = int64(r.Per) / int64(r.Events)
		g.ahead = g.step * int64(r.Burst)
	}
	return g
}

// rate keeps for each count one time, when its bucket is full again (the generic cell rate
// algorithm): an event moves it on by a step, and it may be ahead of now by so much.
type rate struct {
	name string
	Rate
	step, ahead int64 // nanoseconds

	mu    sync.Mutex // guards what follows
	due   *lru[causal.Coordinate, int64]
	taken []taken // by ascending sequence
}

// taken is what one event did, so that it can be undone.
type taken struct {
	seq    uint64
	count  causal.Coordinate
	before int64
}

func (g *rate) Name() string { return g.name }

func (g *rate) defect() string {
	switch {
	case g.Events <= 0 || g.Per <= 0 || g.Burst < 0:
		return "has no positive rate"
	case int64(g.Per) < int64(g.Events):
		return "has a rate of more than one event in a nanosecond"
	case int64(g.Per)/int64(g.Events) > math.MaxInt64/4/int64(g.Burst):
		return "has a rate that takes centuries to fill up"
	}
	return ""
}

func (g *rate) Judge(p *Proposal, _ View) *Denial {
	count := p.Header.Coordinate
	if !g.Entity {
		count.Entity = ""
	}
	now := int64(min(p.Header.Time.Millis, math.MaxInt64/4/uint64(time.Millisecond))) * int64(time.Millisecond)

	g.mu.Lock()
	defer g.mu.Unlock()
	if p.Header.Seq > 0 {
		g.undo(p.Header.Seq)
	}
	before, _ := g.due.get(count)
	due := max(before, now) + g.step
	if late := due - now - g.ahead; late > 0 {
		return g.deny(count, late)
	}
	if p.Header.Seq > 0 {
		g.due.put(count, due)
		g.remember(taken{seq: p.Header.Seq, count: count, before: before})
	}
	return nil
}

// Rewind takes back the events from seq on.
func (g *rate) Rewind(seq uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.undo(seq)
}

// undo takes back the events from seq on: one that is proposed for seq comes in their place.
func (g *rate) undo(seq uint64) {
	n := len(g.taken)
	for n > 0 && g.taken[n-1].seq >= seq {
		n--
		g.due.put(g.taken[n].count, g.taken[n].before)
	}
	clear(g.taken[n:])
	g.taken = g.taken[:n]
}

func (g *rate) remember(t taken) {
	if len(g.taken) == 2*rateUndo { // the older half is durable long since
		n := copy(g.taken, g.taken[rateUndo:])
		clear(g.taken[n:])
		g.taken = g.taken[:n]
	}
	g.taken = append(g.taken, t)
}

func (g *rate) deny(count causal.Coordinate, late int64) *Denial {
	details := map[string]any{
		"scope": count.Scope, "events": g.Events, "per_ms": g.Per.Milliseconds(), "burst": g.Burst,
		"retry_after_ms": (late + int64(time.Millisecond) - 1) / int64(time.Millisecond),
	}
	of := count.Scope
	if g.Entity {
		of = count.String()
		details["entity"] = count.Entity
	}
	return &Denial{
		Code:    CodeRate,
		Message: fmt.Sprintf("%s has had its %d events in %s", of, g.Events, g.Per),
		Details: details,
	}
}
