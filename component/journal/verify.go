package journal

import (
	"context"
	"fmt"

	"batpak/causal"
	"batpak/codec"
)

// Verification is what a check of the log found good.
type Verification struct {
	Checked uint64      // events
	Head    uint64      // the last visible sequence when it began
	Hash    causal.Hash // of the event at Head
}

// VerifyError names the first event that is not what it should be.
type VerifyError struct {
	Seq    uint64
	Reason string
}

func (e *VerifyError) Error() string {
	return fmt.Sprintf("journal: event %d: %s", e.Seq, e.Reason)
}

// verifyChunk is how many bytes of envelopes are checked between looks at the context.
const verifyChunk = 4 << 20

// Verify reads the events from from up to to (0: from the first, up to the last visible) and checks
// each: frame, canonical envelope, lineage, sequence without gap, and the chain of its stream. The
// first event of a stream in the range is checked against its predecessor in the log. Signatures are left to
// those who hold a receipt and know the signer: the log alone cannot tell whose they should be. What is wrong
// with the log is a *VerifyError; other errors mean that it could not be read.
func (j *Journal) Verify(ctx context.Context, from, to uint64) (Verification, error) {
	v := Verification{Head: j.Visible()}
	if from == 0 {
		from = 1
	}
	if to == 0 || to > v.Head {
		to = v.Head
	}
	heads := make(map[causal.Stream]causal.Head)
	var ev causal.Event
	for at := from - 1; at < to; {
		last, err := j.scan(ctx, at, to, verifyChunk, func(seq uint64, envelope []byte) error {
			if err := codec.DecodeEnvelopeInto(envelope, &ev); err != nil {
				return &VerifyError{Seq: seq, Reason: err.Error()}
			}
			if err := j.verifyEvent(heads, seq, &ev); err != nil {
				return err
			}
			v.Checked++
			return nil
		})
		if err != nil {
			return v, verifyFailure(last+1, err)
		}
		at = last
	}
	if v.Head > 0 {
		ev, err := j.GetSeq(v.Head)
		if err != nil {
			return v, verifyFailure(v.Head, err)
		}
		v.Hash = ev.Hash
	}
	return v, nil
}

func (j *Journal) verifyEvent(heads map[causal.Stream]causal.Head, seq uint64, ev *causal.Event) error {
	switch {
	case ev.Seq != seq:
		return &VerifyError{Seq: seq, Reason: fmt.Sprintf("the envelope says it is event %d", ev.Seq)}
	case ev.Lineage != j.lineage:
		return &VerifyError{Seq: seq, Reason: fmt.Sprintf("the envelope is of lineage %s", ev.Lineage)}
	}
	stream := ev.Stream()
	head, ok := heads[stream]
	if !ok && ev.Version > 1 {
		for before, err := range j.streamEvents(stream, ev.Version-2, ev.Version-1) {
			if err != nil {
				return err
			}
			head = causal.Head{Seq: before.Seq, Version: before.Version, Hash: before.Hash}
		}
	}
	if err := head.Check(&ev.Header); err != nil {
		return &VerifyError{Seq: seq, Reason: err.Error()}
	}
	heads[stream] = head.Next(&ev.Header, ev.Hash)
	return nil
}

// verifyFailure turns damage into a finding.
func verifyFailure(seq uint64, err error) error {
	if d, ok := err.(*DamageError); ok {
		return &VerifyError{Seq: seq, Reason: d.Error()}
	}
	return err
}
