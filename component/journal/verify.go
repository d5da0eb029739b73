package journal

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/bits"
	"runtime"
	"slices"
	"strings"

	"batpak/causal"
	"batpak/codec"
)

// Verification is what a check of the log found good.
type Verification struct {
	Checked uint64      // events
	Bytes   uint64      // of the log that were read for it
	Signed  uint64      // of Checked: events whose group has a signature, which is right
	Groups  uint64      // signed groups that end among the events of Checked
	Signers []string    // who has signed, as public nkeys, in order of their first signature; at most MaxSigners
	Head    uint64      // the last visible sequence when it began
	Hash    causal.Hash // of the event at Head
}

// MaxSigners is how many signers a Verification names.
const MaxSigners = 16

// VerifyError names the first event that is not what it should be, or does not fit what is before it. Of a group
// whose signature is wrong it is the group's first one: one of the group is not what was signed.
type VerifyError struct {
	Seq    uint64
	Before uint64 // of a broken chain: the event before it in its stream. One of the two was changed. Else 0
	Reason string

	damage *DamageError // when it is that
}

func (e *VerifyError) Error() string {
	return fmt.Sprintf("journal: event %d: %s", e.Seq, e.Reason)
}

// Unwrap gives the *DamageError of bytes that are not what was written, if that is what was found.
func (e *VerifyError) Unwrap() error {
	if e.damage == nil {
		return nil
	}
	return e.damage
}

// VerifyOptions say what is checked and how. The zero value is the whole log, as fast as the machine can.
type VerifyOptions struct {
	From, To uint64             // sequences; 0 is the first, and the last visible
	Workers  int                // how many goroutines decode and hash; 0 is one for each core, GOMAXPROCS
	Progress func(Verification) // called in one goroutine, every few thousand events; what it gets is the caller's until it returns
}

// Verify is VerifyWith for the events from from up to to, and nothing else said.
func (j *Journal) Verify(ctx context.Context, from, to uint64) (Verification, error) {
	return j.VerifyWith(ctx, VerifyOptions{From: from, To: to})
}

// VerifyWith reads a range of events and checks each: frame, commit group, canonical envelope, lineage, sequence without
// gap, and the chain of its stream. The first event of a stream in the range is checked against its predecessor in the
// log. Where a group is signed, the signature has to be one by the signer that it names, over the hashes of the group's
// events; a group at an end of the range is read as a whole for that. What the log alone cannot tell is whose the
// signatures should be, and that there were any, or more events behind the last one: that takes the signer's key, and a
// receipt or a head that was kept.
//
// What is wrong with the log is a *VerifyError, the first one in order of sequence, and so is a range that it does not
// reach the end of; other errors mean that it could not be
// read, or that ctx has ended. The Verification is then of what was good before.
//
// It takes memory for the head of each stream in the range, and for each worker about as much as the largest commit group
// and a megabyte.
func (j *Journal) VerifyWith(ctx context.Context, o VerifyOptions) (Verification, error) {
	v := verifier{j: j, found: Verification{Head: j.Visible()}, from: max(o.From, 1), to: o.To, seed: maphash.MakeSeed(), heads: make(map[uint64]*chained)}
	if v.to == 0 || v.to > v.found.Head {
		v.to = v.found.Head
	}
	if o.Workers < 1 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if v.from <= v.to {
		if err := v.run(ctx, o); err != nil {
			return v.found, j.readable(err)
		}
	}
	if v.found.Head > 0 {
		ev, err := j.GetSeq(v.found.Head)
		if err != nil {
			return v.found, finding(v.found.Head, err)
		}
		v.found.Hash = ev.Hash
	}
	if want := max(o.To, v.from-1); want > v.found.Head { // behind the last event a range may begin, with nothing in it
		return v.found, &VerifyError{Seq: v.found.Head + 1,
			Reason: fmt.Sprintf("the journal ends with event %d, before event %d", v.found.Head, want)}
	}
	return v.found, nil
}

// verifier joins what workers have checked, in order.
type verifier struct {
	j        *Journal
	found    Verification
	from, to uint64
	seed     maphash.Seed
	heads    map[uint64]*chained // by a hash of the stream
	signer   string              // of the last signed event
	header   causal.Header       // of the event at hand, as far as the chain looks at it
}

// chained is where the chain of a stream has come to.
type chained struct {
	stream causal.Stream
	head   causal.Head
	next   *chained // with the same hash
}

// chainOf returns where the chain of an event's stream has come to, nil when there was no event before.
func (v *verifier) chainOf(l *codec.Link, hash uint64) *chained {
	c := v.heads[hash]
	for c != nil && (c.stream.Entity != string(l.Entity) || c.stream.Scope != string(l.Scope) || c.stream.Lane != l.Lane) {
		c = c.next
	}
	return c
}

// run has workers check the range and joins what they find. It ends at the first error.
func (v *verifier) run(ctx context.Context, o VerifyOptions) error {
	c := cutter{j: v.j, seq: v.from, to: v.to}
	worker := func() func(*piece) { return (&checker{lineage: v.j.lineage}).check }
	return c.run(ctx, o.Workers, worker, func(p *piece) error {
		err := v.join(ctx, p)
		if err == nil && o.Progress != nil {
			o.Progress(v.found)
		}
		return err
	})
}

// join takes in the events of a piece that follows the last one.
func (v *verifier) join(ctx context.Context, p *piece) error {
	signed := p.signed
	for i := range p.links {
		seq := p.first + uint64(i)
		if seq < v.from || seq > v.to {
			continue // of a group at an end of the range
		}
		if err := v.follows(ctx, seq, &p.links[i]); err != nil {
			return err
		}
		v.found.Checked++
		for len(signed) > 0 && signed[0].last < seq {
			signed = signed[1:]
		}
		if len(signed) == 0 || seq < signed[0].first {
			continue
		}
		v.found.Signed++
		if seq == signed[0].last {
			v.found.Groups++
		}
		if by := signed[0].signer; by != v.signer {
			v.signer = by
			if !slices.Contains(v.found.Signers, by) && len(v.found.Signers) < MaxSigners {
				v.found.Signers = append(v.found.Signers, by)
			}
		}
	}
	v.found.Bytes += uint64(len(p.buf))
	return p.err
}

// follows checks an event against the one before it in its stream.
func (v *verifier) follows(ctx context.Context, seq uint64, l *codec.Link) error {
	hash := maphash.Bytes(v.seed, l.Entity) ^ bits.RotateLeft64(maphash.Bytes(v.seed, l.Scope), 1) ^ uint64(l.Lane)
	c := v.chainOf(l, hash)
	if c == nil {
		c = &chained{stream: causal.Stream{Coordinate: causal.Coordinate{Scope: string(l.Scope), Entity: string(l.Entity)}, Lane: l.Lane}}
		if l.Version > 1 && v.from > 1 {
			var err error
			if c.head, err = v.j.headBefore(ctx, c.stream, seq); err != nil {
				return finding(seq, err)
			}
		}
		c.next = v.heads[hash]
		v.heads[hash] = c
	}
	h := &v.header
	h.Coordinate, h.Lane, h.Seq, h.Version, h.Prev = c.stream.Coordinate, c.stream.Lane, seq, l.Version, l.Prev
	if err := c.head.Check(h); err != nil {
		return &VerifyError{Seq: seq, Before: c.head.Seq, Reason: err.Error()}
	}
	c.head = c.head.Next(h, l.Hash)
	return nil
}

// headBefore returns where a stream stood before an event, by the index.
func (j *Journal) headBefore(ctx context.Context, stream causal.Stream, seq uint64) (causal.Head, error) {
	for ev, err := range j.backwards(ctx, stream.Coordinate, seq) {
		if err != nil {
			return causal.Head{}, err
		}
		if ev.Stream() == stream {
			return causal.Head{Seq: ev.Seq, Version: ev.Version, Hash: ev.Hash}, nil
		}
	}
	return causal.Head{}, nil
}

// finding turns damage into what is wrong with an event.
func finding(seq uint64, err error) error {
	var d *DamageError
	if !errors.As(err, &d) {
		return err
	}
	if d.Seq > 0 {
		seq = d.Seq // the one that is damaged of those that were read for it
	}
	return &VerifyError{Seq: seq, Reason: strings.TrimPrefix(d.Error(), "journal: "), damage: d}
}
