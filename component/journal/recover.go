package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"batpak/causal"
	"batpak/faultfs"
)

// load reads what is on disk into j: segments, heads, idempotency keys. The journal's goroutines
// do not run yet, so nothing is locked. It returns where the frames end. Nothing but caches is
// changed on disk before all of it was read and found good.
func (j *Journal) load(ctx context.Context) (end tail, err error) {
	firsts, err := listSegments(j.fsys)
	if err != nil {
		return end, err
	}
	if len(firsts) == 0 || firsts[0] != 1 {
		return end, &DamageError{File: segmentName(1), Offset: -1, Seq: 1, Reason: "missing"}
	}
	for _, first := range firsts {
		s, err := openSegment(j.fsys, first, j.lineage)
		if err != nil {
			return end, err
		}
		j.segs = append(j.segs, s)
	}
	j.loadCheckpoint()
	from := j.visible
	for i, s := range j.segs {
		last := i == len(j.segs)-1
		indexed := !last && j.attachIndex(s, j.segs[i+1].first) == nil
		if indexed && j.segs[i+1].first <= from+1 {
			continue // the checkpoint covers all of it
		}
		if end, err = j.readSegment(ctx, s); err != nil {
			return end, err
		}
		if last {
			break
		}
		if next := j.segs[i+1].first; end.next != next {
			return end, s.damage(end.end, end.next, "segment ends before event %d, the first of the next segment", next)
		}
	}
	if end.next <= from {
		d := end.stop(j.active())
		return end, j.active().damage(d.Offset, d.Seq, "%s, and the checkpoint has seen event %d", d.Reason, from)
	}
	return end, j.restoreClock()
}

// loadCheckpoint takes the state of the checkpoint, if there is a good one.
func (j *Journal) loadCheckpoint() {
	st := state{keys: window{minKeys: j.opts.IdempotencyKeys, minAge: j.opts.IdempotencyAge}}
	size, err := loadCheckpoint(j.fsys, j.lineage, &st)
	switch {
	case err != nil:
	case j.keys == nil && len(st.sealed) > 0:
		err = fmt.Errorf("%w: it has payload keys, and the journal has none", errCheckpoint)
	case j.keys != nil && j.keys.Seen() < st.seq:
		// A keyset from before may lack erasures that only the log can tell.
		err = fmt.Errorf("%w: the keyset has seen event %d, the checkpoint is of event %d", errCheckpoint, j.keys.Seen(), st.seq)
	}
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			j.logger.Warn("checkpoint not used, reading the log", "why", err)
		}
		st = state{keys: window{minKeys: st.keys.minKeys, minAge: st.keys.minAge}}
	}
	j.heads, j.window, j.visible = st.heads, st.keys, st.seq
	for _, k := range st.sealed {
		j.keys.SetEvents(k.id, k.events)
	}
	j.checkpointSize = size
	for s := range j.heads.inLanes() {
		j.noteLane(s)
	}
}

// attachIndex gives a sealed segment its index file, when that fits.
func (j *Journal) attachIndex(s *segment, next uint64) error {
	x, err := openIndex(j.fsys, s)
	if err != nil {
		return err
	}
	if s.first+uint64(x.n) != next {
		err = errIndex
	} else {
		s.end, err = x.offset(x.n - 1) // of its last frame: near enough for a count of bytes
	}
	if err != nil {
		x.file.Close()
		return err
	}
	s.index = newSealedIndex(s, x, j.logger)
	return nil
}

// readSegment reads a segment through: every event goes into the index, unless the segment has one, and
// those that the state does not have yet into the state, with the chain checked.
func (j *Journal) readSegment(ctx context.Context, s *segment) (tail, error) {
	var x *memIndex
	if s.index == nil {
		x = newMemIndex()
		s.index = x
	}
	var terms []uint64
	var ev causal.Event
	end, err := s.scan(ctx, func(e logEvent) error {
		if err := s.decodeInto(e.offset, e.seq, e.envelope, &ev); err != nil {
			return err
		}
		if ev.Lineage != j.lineage {
			return s.damage(e.offset, e.seq, "event of lineage %s", ev.Lineage)
		}
		if x != nil {
			terms = appendTerms(terms[:0], &ev.Header)
			x.add(indexEntry{ev.ID, uint32(e.offset), terms})
		}
		if e.seq <= j.visible {
			return nil
		}
		if err := j.apply(&ev); err != nil {
			return s.damage(e.offset, e.seq, "%v", err)
		}
		return nil
	})
	if err != nil {
		return end, err
	}
	s.end, s.epoch = end.end, end.epoch
	if s != j.active() {
		if end.broken != nil {
			return end, end.broken
		}
		if x != nil {
			// At once: the indexes of many segments would fill the memory. syncNames makes the name durable.
			j.writeIndex(s, faultfs.Replace)
		}
	}
	return end, nil
}

// apply brings the state up to ev, the next event of the log.
func (j *Journal) apply(ev *causal.Event) error {
	stream := ev.Stream()
	head := j.heads.get(stream)
	if err := head.Check(&ev.Header); err != nil {
		return err
	}
	if err := j.learn(ev); err != nil {
		return err
	}
	if head.Version == 0 {
		j.noteLane(stream)
	}
	j.heads.set(stream, head.Next(&ev.Header, ev.Hash))
	if ev.Key != "" {
		j.window.add(hashKey(j.lineage, ev.Scope, ev.Key), ev.Seq, ev.Time.Millis)
	}
	j.visible = ev.Seq
	return nil
}

// restoreClock makes times and ids go on after the last event's, and checks that the last event
// can be read and is the head of its stream.
func (j *Journal) restoreClock() error {
	if j.visible == 0 {
		return nil
	}
	ev, err := j.GetSeq(j.visible)
	if err != nil {
		return err
	}
	if head := j.heads.get(ev.Stream()); head.Seq != ev.Seq || head.Hash != ev.Hash {
		return &DamageError{File: checkpointName, Offset: -1, Seq: ev.Seq, Reason: "differs from the log: remove the file to have it rebuilt"}
	}
	j.clock.Advance(ev.Time)
	j.ids.Observe(ev.ID)
	return nil
}

// syncNames makes durable the names that were found. A process that died between a rename and the
// sync of its folder leaves a name that is readable, and that a loss of power would take along,
// with all that was built upon it. The keyset's name is made durable by the fence.
func (j *Journal) syncNames() error {
	for _, dir := range []string{segmentDir, "."} {
		if err := j.fsys.SyncDir(dir); err != nil {
			return fmt.Errorf("journal: sync the names in folder %s: %w", dir, err)
		}
	}
	return nil
}

// mend makes the active segment ready for appending: it cuts off a torn write, and makes durable
// what a process that died may have left in the system's cache alone.
func (j *Journal) mend(ctx context.Context, s *segment, end tail) error {
	clean, err := s.judge(ctx, end)
	if err == nil && !clean {
		err = s.readAgain(ctx, end)
	}
	if err != nil {
		return err
	}
	// Frames behind the last promise, a mark that makes one included, may be readable without being
	// on disk: a sync that failed leaves pages that look clean. Writing them again makes the next
	// sync cover them.
	if b := make([]byte, end.end-end.synced); len(b) > 0 {
		if _, err := s.file.ReadAt(b, end.synced); err != nil {
			return s.readError(end.synced, 0, err)
		}
		if !s.intact(b) {
			return s.damage(end.synced, end.next, "two readings differ: the frames up to offset %d were good before", end.end)
		}
		if _, err := s.file.WriteAt(b, end.synced); err != nil {
			return fmt.Errorf("journal: recover %s: %w", s.name, err)
		}
	}
	if !clean {
		j.logger.Warn("cutting off a torn write", "segment", s.name, "offset", end.end, "after", j.visible)
		if err := zeroRange(s.file, end.end, s.size, nil); err != nil {
			return fmt.Errorf("journal: recover %s: %w", s.name, err)
		}
		if s.epoch < maxEpoch {
			s.epoch++
		}
	}
	if err := s.file.SyncData(); err != nil {
		return fmt.Errorf("journal: recover %s: sync: %w", s.name, err)
	}
	if clean && end.marked {
		return nil
	}
	return j.mark(s)
}

// readAgain reads the segment once more, before what is behind its frames is cut off. A reading that
// went wrong by itself, in memory or on the way there, would take along what was acknowledged.
func (s *segment) readAgain(ctx context.Context, first tail) error {
	second, err := s.scan(ctx, func(logEvent) error { return nil })
	if err != nil {
		return err
	}
	if first.broken, second.broken = nil, nil; first != second {
		return s.damage(min(first.end, second.end), min(first.next, second.next),
			"two readings differ: the frames end at offset %d of epoch %d, then at offset %d of epoch %d",
			first.end, first.epoch, second.end, second.epoch)
	}
	clean, err := s.judge(ctx, second)
	if err == nil && clean {
		err = s.damage(first.end, first.next, "two readings differ: the frames are followed by other bytes, then by none")
	}
	return err
}

// mark appends a mark frame, which promises that everything before it is durable, and syncs it.
// In a segment without room it does nothing: the next one will promise.
func (j *Journal) mark(s *segment) error {
	if s.end+frameHeader+segmentTail > s.size {
		return nil
	}
	b := make([]byte, frameHeader)
	sealFrame(b, 0, frame{synced: uint32(s.end), epoch: s.epoch, typ: frameMark}, s.crc)
	if _, err := s.file.WriteAt(b, s.end); err != nil {
		return fmt.Errorf("journal: %s: write mark: %w", s.name, err)
	}
	if err := s.file.SyncData(); err != nil {
		return fmt.Errorf("journal: %s: sync mark: %w", s.name, err)
	}
	s.end += frameHeader
	return nil
}
