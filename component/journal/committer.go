package journal

import (
	"errors"
	"fmt"

	"batpak/keystore"
)

// committer makes groups durable and visible, one after the other. It is one goroutine, the only
// one that writes to the open segment.
type committer struct {
	j         *Journal
	failedGen uint64 // groups up to this generation were built on one that was not written
	failed    bool
	prep      preparer
	reserve   reserver
	entries   []indexEntry    // scratch
	used      []*keystore.Key // scratch
}

// run ends when the sequencer has closed toCommit.
func (c *committer) run() {
	j := c.j
	defer close(j.replies)
	for g := range j.toCommit {
		reqs := g.reqs
		if c.failed && g.gen <= c.failedGen {
			g.redo, g.err = true, ErrStorage
			j.returned <- g
			continue
		}
		var signed *signedGroup
		if signed, g.err = c.write(g); g.err != nil {
			c.failed, c.failedGen = true, g.gen
			for _, r := range reqs {
				r.receipts, r.err = nil, g.err
			}
		}
		j.replies <- outcome{reqs, signed}
		j.returned <- g
		if j.keys != nil && j.keys.Low() {
			c.reserve.want()
		}
	}
	c.prep.close()
	c.reserve.close()
}

// write takes a group through fence, write and sync, and makes it visible. An error means that
// nobody will see any of it. The signature is nil when the group has none.
func (c *committer) write(g *group) (*signedGroup, error) {
	j := c.j
	if err := j.Poisoned(); err != nil {
		return nil, err
	}
	if len(g.events) == 0 {
		return nil, nil
	}
	signed, err := c.signGroup(g)
	if err != nil {
		return nil, err
	}
	// The fence: a key is durable before any ciphertext under it is written. When this fails the
	// keyset stays dirty, so the next group that seals comes here again.
	if g.sealed && j.keys.Dirty() {
		if err := j.keys.Flush(); err != nil {
			return nil, fmt.Errorf("journal: %w: flush keys: %w", ErrStorage, err)
		}
	}
	s, err := c.room(g.diskSize())
	if err != nil {
		return nil, err
	}
	frames := g.finish(s, g.events[0].head.Seq, signed)
	if _, err := s.file.WriteAt(frames, s.end); err != nil {
		return nil, j.poisonWith(fmt.Errorf("write %s at offset %d: %w", s.name, s.end, err))
	}
	// A sync that failed is not tried again: the system may have dropped the pages and say yes.
	if err := s.file.SyncData(); err != nil {
		return nil, j.poisonWith(fmt.Errorf("sync %s: %w", s.name, err))
	}
	if g.erasure != nil {
		if err := c.erase(g.erasure); err != nil {
			return nil, j.poisonWith(err)
		}
	}
	c.publish(s, g, len(frames))
	if g.erasure != nil {
		c.finishErasure(g.erasure)
	}
	return signed, nil
}

// publish makes a durable group of size bytes visible, all of it at once.
func (c *committer) publish(s *segment, g *group, size int) {
	j := c.j
	c.entries = c.entries[:0]
	for i := range g.events {
		e := &g.events[i]
		c.entries = append(c.entries, indexEntry{id: e.id, offset: uint32(s.end) + uint32(e.off), terms: e.terms})
	}
	s.index.(*memIndex).add(c.entries...) // beyond visible, so nobody looks at them yet
	s.end += int64(size)

	j.mu.Lock()
	for i := range g.events {
		e := &g.events[i]
		j.heads.set(e.stream, e.head)
		if e.key != nil {
			c.used = append(c.used, e.key)
		}
	}
	if len(c.used) > 0 {
		j.keys.Used(c.used...)
		clear(c.used)
		c.used = c.used[:0]
	}
	for _, k := range g.keys {
		j.window.add(k.hash, k.seq, k.millis)
	}
	j.visible = g.events[len(g.events)-1].head.Seq
	if j.moved != nil {
		close(j.moved)
		j.moved = nil
	}
	j.mu.Unlock()
	j.durableEnd.Store(s.end)
	j.history.leave(g)
	if s.end > s.size/2 {
		c.prep.want()
	}
}

// room returns the open segment if n bytes fit, else a new one.
func (c *committer) room(n int64) (*segment, error) {
	j := c.j
	old := j.active()
	if old.end+n+segmentSlack <= old.size {
		return old, nil
	}
	f, err := c.prep.take()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	if n > segmentRoom(c.prep.size) { // check and fits see to it that this cannot be
		f.Close()
		return nil, fmt.Errorf("journal: %w: a batch of %d bytes does not fit a segment", ErrStorage, n)
	}
	s, err := publishSegment(j.fsys, f, c.prep.size, old.last()+1, j.lineage)
	if err != nil {
		f.Close()
		if errors.Is(err, ErrStorage) {
			return nil, err
		}
		return nil, j.poisonWith(err)
	}
	j.mu.Lock()
	j.segs = append(j.segs, s)
	j.mu.Unlock()
	j.logger.Info("segment sealed", "name", old.name, "last", old.last(), "bytes", old.end)
	j.indexLater(old)
	return s, nil
}

// active is the segment that is written to. Only the committer adds one.
func (j *Journal) active() *segment { return j.segs[len(j.segs)-1] }

// poisonWith stops all later appends, and returns the error they get.
func (j *Journal) poisonWith(cause error) error {
	err := fmt.Errorf("journal: %w: %w", ErrPoisoned, cause)
	j.poison.CompareAndSwap(nil, &err)
	j.logger.Error("journal is poisoned: appends fail until it is opened again", "name", j.name, "why", cause)
	return err
}

// Poisoned returns why appends fail until the journal is opened again, nil while they do not. It
// matches ErrPoisoned.
func (j *Journal) Poisoned() error {
	if err := j.poison.Load(); err != nil {
		return *err
	}
	return nil
}

// outcome is what the committer tells of a group.
type outcome struct {
	reqs   []*request
	signed *signedGroup // nil when nothing was signed
}

// reply answers requests, in order. It is one goroutine, so that the committer is at the disk again
// while the answers to its last group go out. It ends when the committer does.
func (j *Journal) reply() {
	defer close(j.replied)
	p := prover{j: j}
	for o := range j.replies {
		reqs := o.reqs
		for _, r := range reqs {
			p.prove(r, o.signed)
			r.done(r.receipts, r.err)
		}
		if o.signed != nil {
			o.signed.tree.Truncate(0)
			j.trees.Put(o.signed.tree)
		}
		clear(reqs)
		reqs = reqs[:0]
		j.requestSlices.Put(&reqs)
	}
}
