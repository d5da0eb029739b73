package codec

import "batpak/causal"

// EnvelopeJSON appends an envelope as a JSON object: its keys in their order, with ids as UUID
// text, causes as id or lineage/id, hashes and key ids as lower-case hex, the nonce in
// base64, and data as JSON (see MsgpackToJSON) or, when it is sealed, in base64; and behind them the envelope's
// own bytes in base64 under the key envelope. Its errors are those of DecodeEnvelope.
func EnvelopeJSON(dst, envelope []byte) ([]byte, error) {
	b, err := appendEnvelopeText(make([]byte, 0, 3*len(envelope)), envelope)
	if err != nil {
		return dst, err
	}
	return msgpackToJSON(dst, b, maxBodyDepth)
}

// appendEnvelopeText appends an envelope's object as MessagePack that is ready for JSON.
func appendEnvelopeText(dst, envelope []byte) ([]byte, error) {
	ev, err := DecodeEnvelope(envelope)
	if err != nil {
		return dst, err
	}
	h := &ev.Header
	dst = appendMapHead(dst, envelopeKeys(h)+1)
	dst = append(appendStr(dst, "v"), envelopeVersion)
	dst = appendStr(appendStr(dst, "lineage"), h.Lineage.String())
	dst = appendStr(appendStr(dst, "id"), h.ID.String())
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
	dst = appendTextTail(dst, h)
	if dst = appendStr(dst, dataKey); h.Enc != nil {
		dst = appendBase64(dst, ev.Data)
	} else {
		dst = append(dst, ev.Data...)
	}
	return appendBase64(appendStr(dst, "envelope"), envelope), nil
}

// appendTextTail appends the keys between tick and data.
func appendTextTail(dst []byte, h *causal.Header) []byte {
	if len(h.Causes) > 0 {
		dst = appendArrayHead(appendStr(dst, "causes"), len(h.Causes))
		for i := range h.Causes {
			dst = appendCauseText(dst, &h.Causes[i])
		}
	}
	if !h.Correlation.IsZero() {
		dst = appendStr(appendStr(dst, "corr"), h.Correlation.String())
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
		dst = appendStr(appendStr(dst, "prev"), h.Prev.String())
	}
	if h.Enc != nil {
		dst = appendMapHead(appendStr(dst, "enc"), 3)
		dst = appendStr(appendStr(dst, "alg"), sealAlgorithm)
		dst = appendStr(appendStr(dst, "key"), h.Enc.Key.String())
		dst = appendBase64(appendStr(dst, "nonce"), h.Enc.Nonce[:])
	}
	return dst
}
