package codec

import (
	"errors"
	"fmt"

	"batpak/causal"

	"github.com/nats-io/nkeys"
)

// ErrUnproved is matched by what VerifyReceipt and Proof.Verify find wrong with bytes that are well-formed.
var ErrUnproved = errors.New("not proved")

func unproved(format string, args ...any) error {
	return fmt.Errorf("codec: %w: %s", ErrUnproved, fmt.Sprintf(format, args...))
}

// VerifyReceipt says, without any node, whether the holder of the private part of signer, a public nkey,
// has signed that the event of an envelope is what the receipt says it became. It returns the event.
// Durable and Duplicate are about the append and not about the event: nothing proves them. Errors
// match ErrMalformed (the envelope) or ErrUnproved.
func VerifyReceipt(r *Receipt, envelope []byte, signer string) (causal.Event, error) {
	ev, err := DecodeEnvelope(envelope)
	if err != nil {
		return ev, err
	}
	if reason := r.Differs(&ev); reason != "" {
		return ev, unproved("%s", reason)
	}
	switch {
	case r.Proof == nil:
		return ev, unproved("the receipt of event %d has no proof", r.Seq)
	case r.Proof.Signer != signer:
		return ev, unproved("event %d is signed by %q, not by %q", r.Seq, r.Proof.Signer, signer)
	}
	return ev, r.Proof.Verify(ev.Lineage, ev.Seq, ev.Hash)
}

// Verify says whether the proof's own signer has signed that the event with this sequence and hash is in
// the journal of this lineage. Whether to believe that signer is for the caller to say. Errors match
// ErrUnproved.
func (p *Proof) Verify(lineage causal.Lineage, seq uint64, hash causal.Hash) error {
	if p.First == 0 || seq < p.First || seq > p.Last {
		return unproved("the proof is about the events %d to %d, not about event %d", p.First, p.Last, seq)
	}
	root, ok := causal.RootOfPath(hash, seq-p.First, p.Last-p.First+1, p.Path)
	if !ok {
		return unproved("the path of event %d has %d hashes, which is not right for the events %d to %d", seq, len(p.Path), p.First, p.Last)
	}
	key, err := nkeys.FromPublicKey(p.Signer)
	if err != nil {
		return unproved("the signer %q is no public nkey", p.Signer)
	}
	if err := key.Verify(causal.AppendRootMessage(nil, lineage, p.First, p.Last, root), p.Sig[:]); err != nil {
		return unproved("the signature over the events %d to %d is not one of %s", p.First, p.Last, p.Signer)
	}
	return nil
}

// Differs says in what a receipt is not about an event; "" when in nothing.
func (r *Receipt) Differs(ev *causal.Event) string {
	for _, check := range []struct {
		what      string
		same      bool
		got, want any
	}{
		{"id", r.ID == ev.ID, r.ID, ev.ID},
		{"lineage", r.Lineage == ev.Lineage, r.Lineage, ev.Lineage},
		{"sequence", r.Seq == ev.Seq, r.Seq, ev.Seq},
		{"version", r.Version == ev.Version, r.Version, ev.Version},
		{"hash", r.Hash == ev.Hash, r.Hash, ev.Hash},
		{"previous hash", r.Prev == ev.Prev, r.Prev, ev.Prev},
		{"time", r.Time == ev.Time.Millis && r.Tick == ev.Time.Tick,
			causal.HLC{Millis: r.Time, Tick: r.Tick}, ev.Time},
	} {
		if !check.same {
			return fmt.Sprintf("the event's %s is %v, not %v", check.what, check.want, check.got)
		}
	}
	return ""
}
