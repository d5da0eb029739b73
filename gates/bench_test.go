package gates

import (
	"testing"

	"batpak/causal"
)

// BenchmarkJudge is what the sequencer pays for one append.
func BenchmarkJudge(b *testing.B) {
	p := &Proposal{Header: causal.Header{Coordinate: causal.Coordinate{Scope: "bank", Entity: "alice"}, Version: 1, Kind: 0x1001}, Data: make([]byte, 256)}
	permits := New("permits", func(*Proposal, View) *Denial { return nil })
	for _, c := range []struct {
		name  string
		gates []Gate
	}{{"empty", nil}, {"one", []Gate{permits}}} {
		chain, err := NewChain(c.gates...)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var permit Permit
			for b.Loop() {
				if err := chain.JudgeInto(&permit, p, nil); err != nil {
					b.Fatal(err)
				}
				if _, _, err := permit.Use(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
