package integration

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// ordeal is what a journal goes through while its program is killed again and again.
type ordeal struct {
	name       string
	seal       string
	segment    string // size of its files
	kills      int    // how many, unless the flag says
	operations int    // that are acknowledged before a kill, at most
	invent     func(*rand.Rand, string) *operation
	went       func(*testing.T, passed) // judges whether it was one
}

// passed is what came of an ordeal.
type passed struct {
	kills, inRecovery, rotating, segments, keys int
	events                                      []event
}

var ordeals = []ordeal{
	{"seal none", "none", "512KiB", 13, 1200, randomOperation, rotated(3)},
	{"seal entity", "entity", "512KiB", 13, 1200, randomOperation, rotated(3)},
	{"many rotations", "none", "64KiB", 8, 300, randomOperation, rotated(15)},
	{"many new keys", "entity", "512KiB", 6, 200, operationOfNewEntities, minted},
}

// TestKillLosesNothingAndRepeatsNothing kills the program at random moments, while clients append
// and while it recovers, and looks after each restart for everything that was acknowledged.
func TestKillLosesNothingAndRepeatsNothing(t *testing.T) {
	s := seedOf(t)
	for i, o := range ordeals {
		t.Run(o.name, func(t *testing.T) { killLoop(t, o, rand.New(rand.NewPCG(s, uint64(i)))) })
	}
}

// seedOf is the seed of a test's random choices.
func seedOf(t *testing.T) uint64 {
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", s)
	return s
}

// times is how often to kill: what the flag says, or a few times.
func times(few int) int {
	if *kills > 0 {
		return *kills
	}
	return few
}

// rotated wants so many segments for the kills of a usual run, and fewer for fewer kills.
func rotated(segments int) func(*testing.T, passed) {
	return func(t *testing.T, p passed) {
		if p.segments < min(segments, p.kills) {
			t.Errorf("%d segments: too few to say that rotation survives", p.segments)
		}
	}
}

// minted wants a key for each entity, and many of both.
func minted(t *testing.T, p passed) {
	entities := map[string]bool{}
	for _, e := range p.events {
		entities[e.scope+" "+e.entity] = true
	}
	// More, when a key was flushed and its events were not written.
	if p.keys < len(entities) || len(entities) <= p.kills {
		t.Errorf("%d keys for %d entities in %d events", p.keys, len(entities), len(p.events))
	}
}

// operationOfNewEntities is any operation, all of whose entities are new.
func operationOfNewEntities(r *rand.Rand, id string) *operation {
	op := randomOperation(r, id)
	for i := range op.entries {
		op.entries[i].entity = id + "-" + strconv.Itoa(i)
	}
	return op
}

func killLoop(t *testing.T, o ordeal, r *rand.Rand) {
	dir := newDir(t)
	args := []string{"serve", "--dir", dir, "--listen", "127.0.0.1:0", "--seal", o.seal, "--segment-size", o.segment}
	l := newLedger(o.seal != "none")
	writers := newWriters(l, r, o.invent)
	result := passed{kills: times(o.kills)}
	began := time.Now()
	for killed := range result.kills {
		p := launch(t, args)
		if killed > 0 && r.IntN(4) == 0 {
			if killWhileItStarts(p, time.Duration(r.IntN(400))*time.Millisecond) {
				result.inRecovery++
			}
			continue
		}
		p.waitReady()
		lookAfterRestart(t, p, l)
		crew := setToWork(p, writers, nil)
		crew.await(1+r.IntN(o.operations), 0, nil)
		crew.kill(time.Duration(r.IntN(3000)) * time.Microsecond)
		if rotating(t, dir) {
			result.rotating++
		}
	}
	p := launch(t, args)
	p.waitReady()
	lookAfterRestart(t, p, l)
	haveAll(t, p, writers, (*writer).retry)
	result.events = lookAfterRestart(t, p, l)
	status := client{p.connect()}.status(t)
	result.segments, result.keys = int(status.num("segments")), int(status.num("keys"))
	o.went(t, result)
	t.Logf("%d kills, %d of them before it was ready, %d while it changed segments; %d events acknowledged, %d in the journal, %d segments, %d keys; %.1fs",
		result.kills, result.inRecovery, result.rotating, l.count, len(result.events), result.segments, result.keys, time.Since(began).Seconds())
	p.stop()
}

// killWhileItStarts kills the program a moment after its start, and says whether it was not ready
// yet. It takes some tenths of a second to be.
func killWhileItStarts(p *program, moment time.Duration) (starting bool) {
	p.t.Helper()
	select {
	case <-time.After(moment):
	case <-p.ready:
	case <-p.exited:
	}
	select {
	case <-p.exited:
		p.t.Fatalf("ended by itself: %v\n%s", p.err, p.stderr.String())
	case <-p.ready:
	default:
		starting = true
	}
	p.kill()
	return starting
}

// rotating says whether a journal whose program is gone has a segment that others follow and that
// has no index yet.
func rotating(t testing.TB, dir string) bool {
	t.Helper()
	indexes, err := filepath.Glob(filepath.Join(dir, "segments", "*.idx"))
	if err != nil {
		t.Fatal(err)
	}
	return len(indexes) < len(segmentFiles(t, dir))-1
}

// lookAfterRestart reads the journal and the onward stream, and fails the test unless all is there.
func lookAfterRestart(t *testing.T, p *program, l *ledger) []event {
	t.Helper()
	ctx, c := within(t), client{p.connect()}
	defer c.nc.Close()
	events := lookAt(t, ctx, c, l)
	if err := c.onwardEqualsJournal(ctx, events); err != nil {
		t.Fatal(err)
	}
	return events
}

// lookAt reads the journal, and fails the test unless all is there, opens and is a chain.
func lookAt(t *testing.T, ctx context.Context, c client, l *ledger) []event {
	t.Helper()
	events, err := c.all(ctx)
	if err == nil {
		err = l.check(events)
	}
	if err == nil && l.sealed {
		err = l.checkOpened(ctx, c, events)
	}
	if err != nil {
		t.Fatal(err)
	}
	found, err := c.fields(ctx, "verify", nil)
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	if valid, _ := found.get("valid").(bool); !valid || found.num("checked") != uint64(len(events)) {
		t.Fatalf("verify: %v, of %d events", found, len(events))
	}
	return events
}
