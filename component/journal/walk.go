package journal

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"

	"batpak/causal"
	"batpak/codec"
)

// WalkPage is a part of a stream, backwards.
type WalkPage struct {
	Envelopes [][]byte // the caller's; the event that was asked for is the first
	End       string   // why there are no more: codec.EndGenesis, EndLimit or EndMissing
}

// Walk returns an event and those before it in its stream, the newest first: at most req.Max() of them, and
// at most maxBytes of envelopes, but at least the event itself. Each is the one whose hash the event behind
// it carries; one of that version with another hash is a DamageError. EndMissing says that the journal has
// no event of that version. When there is no event with this id the error is ErrNotFound.
//
// It reads events of the coordinate alone, found by the index: other lanes' as well.
func (j *Journal) Walk(ctx context.Context, req codec.WalkRequest, maxBytes int) (WalkPage, error) {
	ev, err := j.Get(req.ID)
	if err != nil {
		return WalkPage{}, err
	}
	p := WalkPage{Envelopes: [][]byte{ev.Envelope}, End: codec.EndGenesis}
	if ev.Version == 1 {
		return p, nil
	}
	maxBytes -= len(ev.Envelope)
	stream, most := ev.Stream(), req.Max()
	// What the event before has to be.
	version, hash := ev.Version-1, ev.Prev
	for before, err := range j.backwards(ctx, ev.Coordinate, ev.Seq) {
		switch {
		case err != nil:
			return WalkPage{}, err
		case before.Stream() != stream:
			continue
		case before.Version != version:
			p.End = codec.EndMissing
			return p, nil
		case before.Hash != hash:
			return WalkPage{}, &DamageError{File: segmentDir, Offset: -1, Seq: before.Seq,
				Reason: fmt.Sprintf("has hash %s, the next event of its stream says %s", before.Hash, hash)}
		case len(p.Envelopes) == most || maxBytes < len(before.Envelope):
			p.End = codec.EndLimit
			return p, nil
		}
		p.Envelopes = append(p.Envelopes, bytes.Clone(before.Envelope))
		maxBytes -= len(before.Envelope)
		if version, hash = before.Version-1, before.Prev; version == 0 {
			return p, nil
		}
	}
	p.End = codec.EndMissing
	return p, nil
}

// backwards gives the events of a coordinate with a sequence below next, the newest first, by the
// index. An event is valid until the next one. An error ends it.
func (j *Journal) backwards(ctx context.Context, c causal.Coordinate, next uint64) iter.Seq2[*causal.Event, error] {
	return func(yield func(*causal.Event, error) bool) {
		term := coordinateTerm(c)
		buf := frameBuffers.Get().(*[]byte)
		defer frameBuffers.Put(buf)
		var ev causal.Event
		for next > 1 {
			s, x, err := j.segmentOf(next - 1)
			if err != nil {
				yield(nil, j.readable(err))
				return
			}
			positions, err := x.positions(nil, term, 0, math.MaxInt)
			if err != nil {
				yield(nil, j.readable(err))
				return
			}
			upTo, _ := slices.BinarySearch(positions, uint32(next-s.first))
			for _, pos := range slices.Backward(positions[:upTo]) {
				seq := s.first + uint64(pos)
				_, off, body, err := j.readEvent(seq, buf)
				if err == nil {
					err = s.decodeInto(off, seq, body, &ev)
				}
				if err == nil {
					err = ctx.Err()
				}
				if err != nil {
					yield(nil, j.readable(err))
					return
				}
				if ev.Coordinate == c && !yield(&ev, nil) {
					return
				}
			}
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			next = s.first
		}
	}
}
