package integration

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestKillOnAFullDiskLosesNothing takes a journal's room away, again and again: appends are refused,
// reads go on. It kills the program then, and starts it without room, and wants everything that was
// acknowledged each time, and appends again once there is room.
func TestKillOnAFullDiskLosesNothing(t *testing.T) {
	s := seedOf(t)
	t.Run("limited files", func(t *testing.T) { fullLoop(t, limitedFiles{newDir(t)}, rand.New(rand.NewPCG(s, 0))) })
	t.Run("file system", func(t *testing.T) {
		v, err := mountFileSystem(t)
		if err != nil {
			t.Logf("no file system of its own can be mounted here, so the limit on the size of files has to do: %v", err)
			return
		}
		fullLoop(t, v, rand.New(rand.NewPCG(s, 1)))
	})
}

// operationWithoutRoom is one of new entities, so that it needs room for keys as well as for events.
// The onward stream has no room either, so no operation waits for that.
func operationWithoutRoom(r *rand.Rand, id string) *operation {
	op := operationOfNewEntities(r, id)
	op.stream = false
	return op
}

// mayBeFull are the refusals for want of room: nothing was written, and the same may succeed later.
func mayBeFull(r *refusal) bool { return r.code == "storage" && r.retry }

func fullLoop(t *testing.T, v volume, r *rand.Rand) {
	args := []string{"serve", "--dir", v.dir(), "--listen", "127.0.0.1:0", "--seal", "entity", "--segment-size", "64KiB"}
	l := newLedger(true)
	writers := newWriters(l, r, operationWithoutRoom)
	began, killed, refused := time.Now(), times(3), 0
	for i := range killed {
		p := launch(t, args)
		p.waitReady()
		lookAfterRestart(t, p, l)
		crew := setToWork(p, writers, mayBeFull)
		crew.await(1+r.IntN(100), 0, nil)
		v.fill(p, r.Int64N(512<<10))
		if i%3 < 2 { // else it is killed while the last room goes
			crew.await(0, 1+r.IntN(100), nil)
			crew.await(0, 1, readsGoOn(t, p, l))
		}
		if i%3 == 1 {
			v.makeRoom(p)
			crew.await(2*len(writers), 0, nil)
			v.fill(p, 0)
			crew.await(0, 1, nil)
		}
		crew.kill(time.Duration(r.IntN(3000)) * time.Microsecond)
		refused += crew.refused
		lookWithoutRoom(t, launch(t, args), v, l, writers)
	}
	p := launch(t, args)
	p.waitReady()
	lookAfterRestart(t, p, l)
	haveAll(t, p, writers, (*writer).retry)
	events := lookAfterRestart(t, p, l)
	t.Logf("%d kills as the room went, and as many without any while it answered; %d operations refused; %d events acknowledged, %d in the journal; %.1fs",
		killed, refused, l.count, len(events), time.Since(began).Seconds())
	p.stop()
}

// lookWithoutRoom takes the room of a program that starts, which answers reads and repetitions
// nonetheless, and kills it before it makes room.
func lookWithoutRoom(t *testing.T, p *program, v volume, l *ledger, writers []*writer) {
	t.Helper()
	v.fill(p, 0)
	p.waitReady()
	lookAt(t, within(t), client{p.connect()}, l)
	haveAll(t, p, writers, (*writer).repeat)
	p.kill()
	v.makeRoom(p)
}

// readsGoOn reads the journal from another connection while appends are refused, and sends an error unless all that was
// acknowledged is there.
func readsGoOn(t *testing.T, p *program, l *ledger) <-chan error {
	ctx, c, acknowledged := within(t), client{p.connect()}, l.receipts()
	read := make(chan error, 1)
	go func() {
		events, err := c.all(ctx)
		if err == nil {
			err = checkChain(events)
		}
		if err == nil {
			err = allThere(acknowledged, events)
		}
		read <- err
	}()
	return read
}
