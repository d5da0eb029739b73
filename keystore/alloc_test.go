//go:build !race

// The race detector allocates on its own account.

package keystore

import (
	"testing"

	"batpak/causal"
)

func TestHotPathAllocatesNothing(t *testing.T) {
	s := newStore(t, newDisk(t), Entity)
	h := &causal.Header{Coordinate: causal.Coordinate{Scope: "tenant", Entity: "order-1"}}
	scope, _ := Entity.Scope(h)
	id := mintKey(t, s, scope).ID()
	plaintext, aad := make([]byte, 256), make([]byte, 120)
	dst := make([]byte, 0, 512)
	enc := new(causal.Enc) // as in a header: the nonce is on the heap anyway
	if n := testing.AllocsPerRun(100, func() {
		scope, _ := Entity.Scope(h)
		k, err := s.GetOrCreate(scope)
		if err != nil {
			t.Error(err)
			return
		}
		enc.Nonce = k.NewNonce()
		ct, err := k.Seal(dst, plaintext, aad, &enc.Nonce)
		if err != nil {
			t.Error(err)
		}
		k, err = s.ByID(id)
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := k.Open(ct[:0], ct, aad, &enc.Nonce); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Fatalf("sealing and opening with a key that exists allocate %v times", n)
	}
}
