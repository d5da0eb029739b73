package codec

import (
	"batpak/causal"

	"github.com/nats-io/nkeys"
)

// PublishedHead is what a node publishes on P.J.heads of where its journal stands.
type PublishedHead struct {
	Lineage    causal.Lineage
	Seq        uint64      // the last visible sequence; 0 when there are no events
	Time       uint64      // when it was published, in milliseconds since 1970
	Commitment causal.Hash // to the events up to Seq: the root of causal.History
	Signer     string      // the public nkey; empty when the node does not sign
	Sig        [64]byte    // Ed25519 over causal.AppendHeadMessage; zero when the node does not sign
}

func (*PublishedHead) reply() {}

func (h *PublishedHead) fields(f *form) {
	lineageField(f, "lineage", &h.Lineage, required)
	uintField(f, "seq", &h.Seq, required)
	uintField(f, "time", &h.Time, required)
	hashField(f, "commitment", &h.Commitment, required)
	strField(f, "signer", &h.Signer, optional)
	if f.field("sig", optional, h.Signer == "") {
		sigValue(f, &h.Sig)
	}
	if f.mode == decoding && f.has("signer") != f.has("sig") {
		f.reject("sig", "goes with a signer")
	}
}

// Verify says whether the holder of the private part of signer, a public nkey, has signed the head. Errors match
// ErrUnproved.
func (h *PublishedHead) Verify(signer string) error {
	switch h.Signer {
	case signer:
	case "":
		return unproved("the head at event %d is not signed", h.Seq)
	default:
		return unproved("the head at event %d is signed by %q, not by %q", h.Seq, h.Signer, signer)
	}
	key, err := nkeys.FromPublicKey(signer)
	if err != nil {
		return unproved("the signer %q is no public nkey", signer)
	}
	message := causal.AppendHeadMessage(nil, h.Lineage, h.Seq, h.Time, h.Commitment)
	if err := key.Verify(message, h.Sig[:]); err != nil {
		return unproved("the signature over the head at event %d is not one of %s", h.Seq, signer)
	}
	return nil
}
