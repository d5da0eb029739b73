package keystore

import (
	"encoding/binary"
	"testing"

	"batpak/causal"
)

func BenchmarkSeal256(b *testing.B) {
	k := fixedKey(b, 1)
	plaintext, aad, dst := make([]byte, 256), make([]byte, 160), make([]byte, 0, 512)
	enc := new(causal.Enc)
	b.SetBytes(int64(len(plaintext)))
	b.ReportAllocs()
	for b.Loop() {
		enc.Nonce = k.NewNonce()
		if _, err := k.Seal(dst, plaintext, aad, &enc.Nonce); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen256(b *testing.B) {
	k := fixedKey(b, 1)
	aad, dst := make([]byte, 160), make([]byte, 0, 512)
	enc := &causal.Enc{Nonce: k.NewNonce()}
	ct, err := k.Seal(nil, make([]byte, 256), aad, &enc.Nonce)
	must(b, err)
	b.SetBytes(256)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Open(dst, ct, aad, &enc.Nonce); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewNonce(b *testing.B) {
	k := fixedKey(b, 1)
	b.ReportAllocs()
	for b.Loop() {
		_ = k.NewNonce()
	}
}

func BenchmarkGetOrCreateExisting(b *testing.B) {
	s := newStore(b, newDisk(b), Entity)
	h := &causal.Header{Coordinate: causal.Coordinate{Scope: "tenant-a", Entity: "order-4711"}}
	b.ReportAllocs()
	for b.Loop() {
		scope, _ := Entity.Scope(h)
		if _, err := s.GetOrCreate(scope); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFlushOneNewOf10000(b *testing.B) {
	s := newStore(b, newDisk(b), Event)
	next := uint64(0)
	mint := func() {
		next++
		var h causal.Header
		binary.BigEndian.PutUint64(h.ID[:], next)
		scope, _ := Event.Scope(&h)
		mintKey(b, s, scope)
	}
	for range 10_000 {
		mint()
	}
	b.ReportAllocs()
	for b.Loop() {
		mint()
		must(b, s.Flush())
	}
}
