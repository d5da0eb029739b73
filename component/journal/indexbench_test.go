package journal

import (
	"fmt"
	"testing"

	"batpak/causal"
)

// What the index of the open segment costs an append: its terms, and adding it.
func BenchmarkIndexAdd(b *testing.B) {
	for _, entities := range []int{1000, 1 << 20} {
		b.Run(fmt.Sprintf("entities=%d", entities), func(b *testing.B) {
			names := make([]string, entities)
			for i := range names {
				names[i] = fmt.Sprintf("e%d", i)
			}
			b.ReportAllocs()
			var x *memIndex
			var terms []uint64
			h := causal.Header{Coordinate: causal.Coordinate{Scope: "bench"}, Kind: 0x1001}
			for i := range b.N {
				if i%400_000 == 0 { // about what a segment has
					x = newMemIndex()
				}
				h.Entity = names[i%entities]
				terms = appendTerms(terms[:0], &h)
				x.add(indexEntry{offset: uint32(i), terms: terms})
			}
		})
	}
}
