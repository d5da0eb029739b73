package journal

import (
	"fmt"
	"hash/maphash"
	"slices"

	"batpak/causal"
	"batpak/gates"
	"batpak/keystore"
)

// sequencer gives events their place. It is one goroutine, the only one that decides what comes
// next; it runs ahead of the disk by the groups in flight, and its staged state says what the
// journal will be when those are durable.
type sequencer struct {
	j *Journal

	gen     uint64
	next    uint64 // sequence of the next event
	settled uint64 // every event up to here is visible, and is read from the segments

	staged     map[causal.Stream]stagedHead  // streams with events after settled
	keys       map[keyHash]uint64            // idempotency keys used after settled
	successors map[keystore.Scope]*successor // keys of erased scopes that are being renewed, or were refused to be
	lanes      map[causal.Coordinate][]uint32
	flight     []*group    // handed to the committer and not come back, oldest first
	recent     []recentKey // recentKeys of them, by a hash of the scope; none when nothing is sealed
	seed       maphash.Seed
	group      *group // being built
	free       []*group

	pending []*request // taken from the queue, in order, from at on
	at      int

	denials denials

	// Memory for one event at a time.
	proposal gates.Proposal
	judged   gates.Permit
	aad      []byte
	enc      causal.Enc
}

// stagedHead is where a stream stands with everything staged. last points to no event when the
// stream has none that are staged.
type stagedHead struct {
	head causal.Head
	last stagedRef
}

// run takes requests, stages them, and hands a group over whenever the committer is free for one:
// while it writes one group, the next one grows. Run ends when the queue is closed and all of it
// was handed over.
func (s *sequencer) run() {
	j := s.j
	defer close(j.toCommit)
	s.group = s.newGroup()
	closed := false
	for {
		closed = s.fill() || closed
		if len(s.group.reqs) == 0 {
			if closed && len(s.flight) == 0 {
				return
			}
			select {
			case <-j.queue.wake:
			case g := <-j.returned:
				s.settle(g)
			}
			continue
		}
		wake := j.queue.wake
		if s.group.full() {
			wake = nil
		}
		select {
		case j.toCommit <- s.group:
			s.flight = append(s.flight, s.group)
			s.group = s.newGroup()
		case g := <-j.returned:
			s.settle(g)
		case <-wake:
		}
	}
}

// fill stages what is queued, as far as the group has room. An erasure is a barrier: it is staged when
// all before it is settled, and nothing is staged behind it before it is settled itself.
func (s *sequencer) fill() (closed bool) {
	for !s.group.full() && !s.erasing() {
		if s.at == len(s.pending) {
			clear(s.pending)
			s.pending, closed = s.j.queue.take(s.pending[:0])
			s.at = 0
			if len(s.pending) == 0 {
				return closed
			}
		}
		r := s.pending[s.at]
		if r.erasing != nil && (len(s.group.reqs) > 0 || len(s.flight) > 0) {
			return false // handing over, or settling, comes back here
		}
		if !s.group.fits(r.bytes, s.j.opts.SegmentBytes) {
			return false
		}
		s.at++
		s.stage(r)
	}
	return false
}

// erasing says whether an erasure is staged and not settled. It is alone.
func (s *sequencer) erasing() bool {
	return s.group.erasure != nil || len(s.flight) > 0 && s.flight[0].erasure != nil
}

// newGroup returns an empty group. There are few: one being built, one being written, and the
// ones that are on their way back.
func (s *sequencer) newGroup() *group {
	g := &group{}
	if n := len(s.free); n > 0 {
		g, s.free = s.free[n-1], s.free[:n-1]
	}
	g.gen = s.gen
	if s.j.signing != nil {
		g.tree = s.j.trees.Get().(*causal.Tree)
	}
	g.reqs = *s.j.requestSlices.Get().(*[]*request)
	return g
}

// settle takes back a group from the committer.
func (s *sequencer) settle(g *group) {
	if g.err != nil {
		s.rollBack(g)
		return
	}
	s.flight = s.flight[1:]
	if g.erasure != nil {
		clear(s.recent)
	}
	for i := range g.events {
		e := &g.events[i]
		if !e.later {
			delete(s.staged, e.stream)
		}
		s.settled = e.head.Seq
	}
	for _, k := range g.keys {
		delete(s.keys, k.hash)
	}
	for _, scope := range g.renewed {
		delete(s.successors, scope) // the keyset has it
	}
	g.reset()
	s.free = append(s.free, g)
}

// rollBack returns to what is durable after a group was not written. Groups behind it were built
// upon it and are staged again, in their order; those whose requests were answered are not.
func (s *sequencer) rollBack(failed *group) {
	j := s.j
	redo := []*group{failed}
	for len(redo) < len(s.flight) {
		redo = append(redo, <-j.returned)
	}
	redo = append(redo, s.group)
	s.group.redo = true

	var again []*request
	for _, g := range redo {
		s.denials.dropped += g.denials.dropped
		if g.redo {
			again = append(again, g.reqs...)
		}
	}
	s.pending = append(again, s.pending[s.at:]...)
	s.at = 0
	clear(s.staged)
	clear(s.keys)
	for _, next := range s.successors {
		next.staged = false
	}
	s.flight = nil
	s.next = s.settled + 1
	j.chain.Rewind(s.next)
	s.gen++
	s.group = s.newGroup()
	j.logger.Warn("rolled back to the durable state", "head", s.settled, "again", len(again), "why", failed.err)
}

// stage judges one request. What it refuses leaves no trace but the request's error.
func (s *sequencer) stage(r *request) {
	g := s.group
	mark := s.mark()
	r.receipts, r.err = nil, nil
	try := s.try
	if r.erasing != nil {
		try = s.erase
	}
	if err := try(r); err != nil {
		s.undo(mark)
		r.receipts, r.err = nil, err
		s.keepDenial(r, err)
	}
	g.reqs = append(g.reqs, r)
}

// stageMark is where a group stood before a request. An idempotency key is staged last, when nothing can
// fail any more, so there is none to take back.
type stageMark struct {
	events, terms, buf, clear, renewed int
	next                               uint64
}

func (s *sequencer) mark() stageMark {
	g := s.group
	return stageMark{events: len(g.events), terms: len(g.terms), buf: len(g.buf), clear: len(g.clear), renewed: len(g.renewed), next: s.next}
}

func (s *sequencer) undo(m stageMark) {
	g := s.group
	for i := len(g.events) - 1; i >= m.events; i-- {
		e := &g.events[i]
		if before := e.prev; before.group == nil {
			delete(s.staged, e.stream)
		} else {
			before.event().later = false
			s.staged[e.stream] = stagedHead{head: before.event().head, last: before}
		}
	}
	clear(g.events[m.events:])
	clear(g.clear[m.clear:])
	g.events, g.terms, g.buf, g.clear = g.events[:m.events], g.terms[:m.terms], g.buf[:m.buf], g.clear[:m.clear]
	if g.tree != nil {
		g.tree.Truncate(m.events)
	}
	for _, scope := range g.renewed[m.renewed:] {
		s.successors[scope].staged = false
	}
	g.renewed = g.renewed[:m.renewed]
	s.next = m.next
	s.j.chain.Rewind(s.next)
}

func (s *sequencer) stagedHead(stream *causal.Stream) stagedHead {
	if st, ok := s.staged[*stream]; ok {
		return st
	}
	return stagedHead{head: s.j.Head(*stream)}
}

// head is where a stream stands with everything staged.
func (s *sequencer) head(stream causal.Stream) causal.Head { return s.stagedHead(&stream).head }

// coordinateSeq is the sequence of the last event of a coordinate, whatever its lane.
func (s *sequencer) coordinateSeq(c causal.Coordinate) uint64 {
	seq := s.head(causal.Stream{Coordinate: c}).Seq
	for _, lane := range s.lanes[c] {
		seq = max(seq, s.head(causal.Stream{Coordinate: c, Lane: lane}).Seq)
	}
	return seq
}

// noteLane remembers the lanes other than 0 that a coordinate may have events in.
func (j *Journal) noteLane(stream causal.Stream) {
	if stream.Lane == 0 {
		return
	}
	if lanes := j.seq.lanes[stream.Coordinate]; !slices.Contains(lanes, stream.Lane) {
		j.seq.lanes[stream.Coordinate] = append(lanes, stream.Lane)
	}
}

// unsettled returns the groups that have staged events, oldest first.
func (s *sequencer) unsettled() []*group {
	return append(s.flight[:len(s.flight):len(s.flight)], s.group)
}

// stagedAt returns the staged event with a sequence after settled.
func (s *sequencer) stagedAt(seq uint64) (*group, *stagedEvent, error) {
	for _, g := range s.unsettled() {
		if n := len(g.events); n > 0 && seq <= g.events[n-1].head.Seq && seq >= g.events[0].head.Seq {
			return g, &g.events[seq-g.events[0].head.Seq], nil
		}
	}
	return nil, nil, fmt.Errorf("journal: event %d: %w", seq, ErrNotFound)
}

// stagedID returns the staged event with an id, nil when there is none.
func (s *sequencer) stagedID(id causal.EventID) (*group, *stagedEvent) {
	for _, g := range s.unsettled() {
		i, ok := slices.BinarySearchFunc(g.events, id, func(e stagedEvent, id causal.EventID) int { return e.id.Compare(id) })
		if ok {
			return g, &g.events[i]
		}
	}
	return nil, nil
}
