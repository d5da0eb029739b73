package codec

import (
	"slices"

	"batpak/causal"
)

const (
	envelopeVersion = 1
	sealAlgorithm   = "xc20p"
	sealDomain      = "batpak.seal.v1\x00"
	sealOverhead    = 16 // the shortest sealed payload: a tag alone
	dataKey         = "data"
)

// AppendEnvelope appends the canonical envelope of an event with this header and payload.
// The header must hold what DecodeEnvelope asks for; this is not checked here.
func AppendEnvelope(dst []byte, h *causal.Header, data []byte) []byte {
	return append(AppendData(AppendPrefix(dst, h), len(data)), data...)
}

// AppendPrefix appends the part of an envelope before the key data: what SealContext binds a
// sealed payload to. It allocates nothing when dst has room, unless there are more than 16
// meta entries.
func AppendPrefix(dst []byte, h *causal.Header) []byte {
	dst = appendMapHead(dst, envelopeKeys(h))
	dst = append(appendStr(dst, "v"), envelopeVersion)
	dst = appendBin(appendStr(dst, "lineage"), h.Lineage[:])
	dst = appendBin(appendStr(dst, "id"), h.ID[:])
	dst = appendUint(appendStr(dst, "seq"), h.Seq)
	dst = appendStr(appendStr(dst, "scope"), h.Scope)
	dst = appendStr(appendStr(dst, "entity"), h.Entity)
	if h.Lane != 0 {
		dst = appendUint(appendStr(dst, "lane"), uint64(h.Lane))
	}
	dst = appendUint(appendStr(dst, "version"), h.Version)
	dst = appendUint(appendStr(dst, "kind"), uint64(h.Kind))
	if h.Schema != 0 {
		dst = appendUint(appendStr(dst, "schema"), h.Schema)
	}
	dst = appendUint(appendStr(dst, "time"), h.Time.Millis)
	if h.Time.Tick != 0 {
		dst = appendUint(appendStr(dst, "tick"), uint64(h.Time.Tick))
	}
	if len(h.Causes) > 0 {
		dst = appendArrayHead(appendStr(dst, "causes"), len(h.Causes))
		for i := range h.Causes {
			dst = appendCause(dst, &h.Causes[i])
		}
	}
	if !h.Correlation.IsZero() {
		dst = appendBin(appendStr(dst, "corr"), h.Correlation[:])
	}
	if h.Subject != "" {
		dst = appendStr(appendStr(dst, "subject"), h.Subject)
	}
	if h.Key != "" {
		dst = appendStr(appendStr(dst, "key"), h.Key)
	}
	if len(h.Meta) > 0 {
		dst = appendMeta(appendStr(dst, "meta"), h.Meta)
	}
	if len(h.Gates) > 0 {
		dst = appendArrayHead(appendStr(dst, "gates"), len(h.Gates))
		for _, g := range h.Gates {
			dst = appendStr(dst, g)
		}
	}
	if h.Batch != (causal.BatchPos{}) {
		dst = appendArrayHead(appendStr(dst, "batch"), 2)
		dst = appendUint(appendUint(dst, uint64(h.Batch.Index)), uint64(h.Batch.Count))
	}
	if !h.Prev.IsZero() {
		dst = appendBin(appendStr(dst, "prev"), h.Prev[:])
	}
	if h.Enc != nil {
		dst = appendMapHead(appendStr(dst, "enc"), 3)
		dst = appendStr(appendStr(dst, "alg"), sealAlgorithm)
		dst = appendBin(appendStr(dst, "key"), h.Enc.Key[:])
		dst = appendBin(appendStr(dst, "nonce"), h.Enc.Nonce[:])
	}
	return dst
}

// envelopeKeys counts the keys of an envelope, data included.
func envelopeKeys(h *causal.Header) int {
	n := 10 // v, lineage, id, seq, scope, entity, version, kind, time, data
	for _, present := range [...]bool{
		h.Lane != 0, h.Schema != 0, h.Time.Tick != 0, len(h.Causes) > 0, !h.Correlation.IsZero(),
		h.Subject != "", h.Key != "", len(h.Meta) > 0, len(h.Gates) > 0, h.Batch != causal.BatchPos{},
		!h.Prev.IsZero(), h.Enc != nil,
	} {
		if present {
			n++
		}
	}
	return n
}

// AppendData appends the key data and the head of a payload of n bytes, n below 4 GiB. The
// caller appends the n bytes and has the envelope, which lets a payload be sealed in place.
func AppendData(dst []byte, n int) []byte {
	return appendBinHead(appendStr(dst, dataKey), n)
}

// SealContext appends the associated data for sealing the payload of the envelope that starts
// with prefix.
func SealContext(dst, prefix []byte) []byte {
	return append(append(dst, sealDomain...), prefix...)
}

// EnvelopePrefix returns the bytes of a decoded event's envelope before the key data, as
// AppendPrefix made them. They alias ev.Envelope.
func EnvelopePrefix(ev *causal.Event) []byte {
	n := len(ev.Envelope) - len(ev.Data) - binHeadSize(len(ev.Data)) - 1 - len(dataKey)
	if n < 0 {
		return nil // not an event that DecodeEnvelope gave
	}
	return ev.Envelope[:n:n]
}

func appendCause(dst []byte, c *causal.Cause) []byte {
	if c.Lineage.IsZero() {
		return appendBin(dst, c.ID[:])
	}
	dst = appendBinHead(dst, len(c.Lineage)+len(c.ID))
	return append(append(dst, c.Lineage[:]...), c.ID[:]...)
}

// appendMeta appends a map of strings, sorted by key.
func appendMeta(dst []byte, meta map[string]string) []byte {
	var few [16]string
	keys := few[:0]
	for k := range meta {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	dst = appendMapHead(dst, len(keys))
	for _, k := range keys {
		dst = appendStr(appendStr(dst, k), meta[k])
	}
	return dst
}
