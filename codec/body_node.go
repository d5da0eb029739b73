package codec

import "batpak/causal"

// VerifyRequest asks the node to check a receipt, or the chain of a range of sequences.
type VerifyRequest struct {
	Receipt  *Receipt
	From, To uint64 // 0 is absent: from the first, to the last
}

func (v *VerifyRequest) fields(f *form) {
	bodyField(f, "receipt", &v.Receipt)
	uintField(f, "from", &v.From, optional)
	uintField(f, "to", &v.To, optional)
	if f.has("receipt") && f.used > 1 {
		f.reject("receipt", "has no range beside it")
	}
}

// VerifyReply is the finding.
type VerifyReply struct {
	Valid   bool
	Reason  string // why not
	Checked uint64 // how many events were found good
	Head    uint64 // the journal's last visible sequence
	Hash    causal.Hash

	Bytes   uint64   // of the log that were read for it
	Signed  uint64   // how many of Checked are in a group with a signature
	Signers []string // the public nkeys of those signatures, the first 16
}

func (*VerifyReply) reply() {}

func (v *VerifyReply) fields(f *form) {
	boolField(f, "valid", &v.Valid, required)
	strField(f, "reason", &v.Reason, optional)
	uintField(f, "checked", &v.Checked, required)
	uintField(f, "head", &v.Head, required)
	hashField(f, "hash", &v.Hash, required)
	uintField(f, "bytes", &v.Bytes, optional)
	uintField(f, "signed", &v.Signed, optional)
	listField(f, "signers", &v.Signers, optional, unlimited, strValue[string])
}

// StatusRequest has no fields.
type StatusRequest struct{}

func (*StatusRequest) fields(*form) {}

// States of a node.
const (
	NodeServing  = "serving"
	NodePoisoned = "poisoned"
	NodeDraining = "draining"
)

// Status is how a node is.
type Status struct {
	Journal   string
	Lineage   causal.Lineage
	State     string
	Head      uint64 // the last visible sequence
	Durable   uint64 // the last sequence that is on disk
	Published uint64 // the last sequence in the onward stream
	Segments  uint64
	Bytes     uint64
	Streams   uint64
	Keys      uint64
	Wrapped   string // how the payload keys are wrapped at rest, or "clear"; empty when nothing is sealed
	Gates     []string
	Signer    string // the public nkey; empty when receipts are not signed
	Version   string // of the program
}

func (*Status) reply() {}

func (s *Status) fields(f *form) {
	strField(f, "journal", &s.Journal, required)
	lineageField(f, "lineage", &s.Lineage, required)
	strField(f, "state", &s.State, required)
	uintField(f, "head", &s.Head, required)
	uintField(f, "durable", &s.Durable, required)
	uintField(f, "published", &s.Published, required)
	uintField(f, "segments", &s.Segments, required)
	uintField(f, "bytes", &s.Bytes, required)
	uintField(f, "streams", &s.Streams, required)
	uintField(f, "keys", &s.Keys, required)
	strField(f, "wrapped", &s.Wrapped, optional)
	listField(f, "gates", &s.Gates, required, unlimited, strValue[string])
	strField(f, "signer", &s.Signer, optional)
	strField(f, "version", &s.Version, required)
}
