package causal_test

import (
	"crypto/sha256"
	"testing"

	"batpak/causal"
)

func TestHashIsSHA256OverDomainAndEnvelope(t *testing.T) {
	// Reckoned with another program: printf 'batpak.event.v1\0\x81\xa1v\x01' | sha256sum
	const want = "1dfc6fd7fcf001bfb9dfbfe074db904d033ad6adf19961a3626841d102275c20"
	if got := causal.HashEnvelope([]byte("\x81\xa1v\x01")).String(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for _, n := range []int{0, 1, 47, 48, 49, 1024, 100_000} { // the domain and 48 bytes are one block of SHA-256
		envelope := make([]byte, n)
		for i := range envelope {
			envelope[i] = byte(i * 7)
		}
		want := causal.Hash(sha256.Sum256(append([]byte("batpak.event.v1\x00"), envelope...)))
		if got := causal.HashEnvelope(envelope); got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
	}
}

func TestHashEnvelopeDoesNotAllocate(t *testing.T) {
	for _, n := range []int{0, 400, 1024, 100_000} {
		envelope := make([]byte, n)
		if got := testing.AllocsPerRun(100, func() { causal.HashEnvelope(envelope) }); got != 0 {
			t.Errorf("%d bytes: %v allocations", n, got)
		}
	}
}

func BenchmarkHashEnvelope(b *testing.B) {
	for _, n := range []int{512, 4096} {
		envelope := make([]byte, n)
		b.Run(map[int]string{512: "512B", 4096: "4KiB"}[n], func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(n))
			for b.Loop() {
				causal.HashEnvelope(envelope)
			}
		})
	}
}
