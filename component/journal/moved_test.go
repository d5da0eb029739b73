package journal_test

import (
	"errors"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/keystore"
)

// A ciphertext opens in the event that it was sealed for, and in no other: not when it is moved to another
// event, key, journal or position, nor when anything else that its envelope says is changed.
func TestACiphertextOpensNowhereElse(t *testing.T) {
	t.Parallel()
	j := openFS(t, newDisk(t), journal.Options{Name: "moved", Seal: keystore.Entity, SegmentBytes: small})
	for _, entity := range []string{"a", "b"} {
		for i := range uint64(2) {
			mustAppend(t, j, one(event(entity, i)))
		}
	}
	get := func(seq uint64) causal.Event {
		ev, err := j.GetSeq(seq)
		if err != nil {
			t.Fatal(err)
		}
		return ev
	}
	open := func(h causal.Header, ciphertext []byte) error {
		ev, err := codec.DecodeEnvelope(codec.AppendEnvelope(nil, &h, ciphertext))
		if err != nil {
			t.Fatalf("not an envelope: %v", err)
		}
		data, _, err := j.Payload(&ev)
		if err == nil && data == nil {
			err = errors.New("no payload")
		}
		return err
	}
	own, sameKey, otherKey := get(2), get(1), get(4)
	if err := open(own.Header, own.Data); err != nil { // the control
		t.Fatal(err)
	}
	for what, change := range map[string]func(h *causal.Header){
		"another event":       func(h *causal.Header) { enc := *h.Enc; *h = sameKey.Header; h.Enc = &enc },
		"another event's key": func(h *causal.Header) { enc := *h.Enc; enc.Key = otherKey.Enc.Key; h.Enc = &enc },
		"another nonce":       func(h *causal.Header) { enc := *h.Enc; enc.Nonce[0]++; h.Enc = &enc },
		"another journal":     func(h *causal.Header) { h.Lineage[0]++ },
		"another id":          func(h *causal.Header) { h.ID[15]++ },
		"another position":    func(h *causal.Header) { h.Seq++ },
		"another version":     func(h *causal.Header) { h.Version++ },
		"another scope":       func(h *causal.Header) { h.Coordinate.Scope += "x" },
		"another entity":      func(h *causal.Header) { h.Entity += "x" },
		"another lane":        func(h *causal.Header) { h.Lane++ },
		"another kind":        func(h *causal.Header) { h.Kind++ },
		"another schema":      func(h *causal.Header) { h.Schema++ },
		"another time":        func(h *causal.Header) { h.Time.Millis++ },
		"another cause":       func(h *causal.Header) { h.Causes = []causal.Cause{{ID: sameKey.ID}} },
		"another subject":     func(h *causal.Header) { h.Subject = "x" },
		"another meta":        func(h *causal.Header) { h.Meta = map[string]string{"a": "b"} },
		"another predecessor": func(h *causal.Header) { h.Prev[0]++ },
		"another gate":        func(h *causal.Header) { h.Gates = []string{"x"} },
	} {
		h := own.Header
		change(&h)
		if err := open(h, own.Data); !errors.Is(err, journal.ErrTampered) {
			t.Errorf("%s: %v, want ErrTampered", what, err)
		}
	}
	for _, other := range []causal.Event{sameKey, otherKey} {
		if err := open(own.Header, other.Data); !errors.Is(err, journal.ErrTampered) {
			t.Errorf("another event's ciphertext: %v, want ErrTampered", err)
		}
	}
}
