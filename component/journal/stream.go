package journal

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"batpak/causal"
	"batpak/codec"
	"batpak/keystore"
)

// StreamEvents gives the visible events of a stream with a version above after, in order. An error
// ends it. What it yields is the caller's.
func (j *Journal) StreamEvents(stream causal.Stream, after uint64) iter.Seq2[causal.Event, error] {
	return j.streamEvents(stream, after, j.Head(stream).Version)
}

// streamEvents gives the events of a stream with a version above after and up to last.
func (j *Journal) streamEvents(stream causal.Stream, after, last uint64) iter.Seq2[causal.Event, error] {
	return func(yield func(causal.Event, error) bool) {
		if after >= last {
			return
		}
		seqs, err := j.streamSeqs(stream, after, last)
		if err != nil {
			yield(causal.Event{}, err)
			return
		}
		for _, seq := range seqs {
			ev, err := j.GetSeq(seq)
			if err == nil && ev.Stream() != stream || err == nil && ev.Version <= after {
				continue
			}
			if err == nil && ev.Version != after+1 {
				err = &DamageError{File: segmentDir, Offset: -1, Seq: seq, Reason: fmt.Sprintf("version %d of %s follows version %d", ev.Version, stream, after)}
			}
			if !yield(ev, err) || err != nil {
				return
			}
			if after = ev.Version; after == last {
				return
			}
		}
		yield(causal.Event{}, &DamageError{File: segmentDir, Offset: -1, Reason: fmt.Sprintf("version %d of %s is missing", after+1, stream)})
	}
}

// streamSeqs returns the sequences, ascending, that the versions above after up to last of a stream
// are among. It looks back from the newest segment, and no further than it must.
func (j *Journal) streamSeqs(stream causal.Stream, after, last uint64) ([]uint64, error) {
	term := coordinateTerm(stream.Coordinate)
	j.mu.RLock()
	segs, visible := j.segs, j.visible
	j.mu.RUnlock()
	var seqs []uint64 // descending
	for i := len(segs) - 1; i >= 0; i-- {
		positions, err := j.indexOf(segs[i]).positions(nil, term, 0, math.MaxInt)
		if err != nil {
			return nil, j.readable(err)
		}
		before := len(seqs)
		for _, pos := range slices.Backward(positions) {
			if seq := segs[i].first + uint64(pos); seq <= visible {
				seqs = append(seqs, seq)
			}
		}
		if len(seqs) == before {
			continue
		}
		// The oldest one found so far tells whether what is wanted lies further back. It may be of
		// another lane, or of another coordinate with the same term: then go on.
		ev, err := j.GetSeq(seqs[len(seqs)-1])
		if err != nil {
			return nil, err
		}
		if ev.Stream() == stream && ev.Version <= after+1 {
			break
		}
	}
	slices.Reverse(seqs)
	return seqs, nil
}

// Payload returns an event's payload in clear and what became of it. Data is nil when the state is
// Shredded or KeyMissing. A sealed payload that does not open under its key is ErrTampered; when the key
// cannot be read, the error is ErrStorage or ErrDamaged.
func (j *Journal) Payload(ev *causal.Event) (data []byte, state causal.PayloadState, err error) {
	if ev.Enc == nil {
		return ev.Data, causal.Plain, nil
	}
	if j.keys == nil {
		return nil, causal.KeyMissing, nil
	}
	key, err := j.keys.ByID(ev.Enc.Key)
	if err == nil {
		aad := codec.SealContext(nil, codec.EnvelopePrefix(ev))
		data, err = key.Open(nil, ev.Data, aad, &ev.Enc.Nonce)
	}
	switch {
	case err == nil:
		return data, causal.Opened, nil
	case errors.Is(err, keystore.ErrShredded):
		return nil, causal.Shredded, nil
	case errors.Is(err, keystore.ErrKeyMissing):
		return nil, causal.KeyMissing, nil
	case errors.Is(err, keystore.ErrTampered):
		return nil, causal.Opened, fmt.Errorf("journal: event %d (%s): %w", ev.Seq, ev.ID, ErrTampered)
	}
	return nil, causal.Opened, j.readable(fmt.Errorf("journal: event %d: %w", ev.Seq, keyError(err)))
}
