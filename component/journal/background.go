package journal

import (
	"io/fs"
	"iter"

	"batpak/causal"
	"batpak/faultfs"
)

// background writes the caches: the index files of sealed segments, and the checkpoint. It is one
// goroutine, started by Open; Close closes work and waits for it. What it fails at is logged and
// costs speed only.
func (j *Journal) background() {
	defer close(j.idle)
	for s := range j.work {
		j.writeIndex(s, faultfs.Publish)
		if j.checkpointDue() {
			j.writeCheckpoint()
		}
	}
}

// indexLater asks for a sealed segment's index file. Until it is there the index stays in memory.
func (j *Journal) indexLater(s *segment) {
	select {
	case j.work <- s:
	default: // far behind: the index is written when the journal is opened next
	}
}

// writeIndex writes a sealed segment's index file, by Publish, or by Replace when the folder is synced
// later.
func (j *Journal) writeIndex(s *segment, publish func(faultfs.FS, string, []byte, fs.FileMode) error) {
	x := s.index.(*memIndex) // the segment is sealed, and only this goroutine replaces its index
	if err := publish(j.fsys, s.indexName(), x.encode(s), 0o600); err != nil {
		j.logger.Warn("index not written, keeping it in memory", "segment", s.name, "why", err)
		return
	}
	file, err := openIndex(j.fsys, s)
	if err != nil {
		j.logger.Warn("index not usable, keeping it in memory", "segment", s.name, "why", err)
		return
	}
	j.mu.Lock()
	s.index = newSealedIndex(s, file, j.logger)
	j.mu.Unlock()
}

// checkpointDue says whether the log has grown enough since the last checkpoint.
func (j *Journal) checkpointDue() bool {
	j.mu.RLock()
	defer j.mu.RUnlock()
	grown := int64(len(j.segs)-1-j.checkpointSegs) * j.opts.SegmentBytes
	return grown >= max(checkpointEvery, checkpointRatio*j.checkpointSize)
}

// writeCheckpoint publishes the state as it is visible now.
func (j *Journal) writeCheckpoint() {
	j.mu.RLock()
	st := state{seq: j.visible, heads: j.heads.snapshot(), keys: j.window.clone()}
	var counts iter.Seq2[causal.KeyID, uint64]
	if j.keys != nil {
		counts = j.keys.AllEvents() // as they are now: they change with visible, under the lock
	}
	segs := len(j.segs) - 1
	j.mu.RUnlock()
	if counts != nil { // they may be very many, and nothing is committed while the lock is held
		for id, n := range counts {
			st.sealed = append(st.sealed, sealedUnder{id, n})
		}
	}
	if err := j.keysSeen(st.seq); err != nil {
		j.logger.Warn("checkpoint not written", "why", err)
		return
	}
	b := encodeCheckpoint(j.lineage, &st)
	if err := faultfs.Publish(j.fsys, checkpointName, b, 0o600); err != nil {
		j.logger.Warn("checkpoint not written", "why", err)
		return
	}
	j.mu.Lock()
	j.checkpointSize, j.checkpointSegs = int64(len(b)), segs
	j.mu.Unlock()
}

// keysSeen makes durable that the keyset has what the log says up to seq. Without that a checkpoint of
// seq would hide the log from a keyset that still has to learn from it.
func (j *Journal) keysSeen(seq uint64) error {
	if j.keys == nil {
		return nil
	}
	j.keys.SetSeen(seq)
	return j.keys.Flush()
}
