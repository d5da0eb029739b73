package journal_test

import (
	"fmt"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
)

// What it costs to have every event decoded, and a few at the end: by Replay, and by Scan with DecodeEnvelopeInto in
// its visit. 200,000 events with payloads of 256 bytes, in 5,000 streams.
func BenchmarkReplay(b *testing.B) {
	const events = 200_000
	j := openDir(b, b.TempDir(), journal.Options{Name: "bench"})
	data := payload(256)
	for n := 0; n < events; {
		group := &journal.Batch{}
		for range 1000 {
			group.Events = append(group.Events, journal.Append{
				Coordinate: causal.Coordinate{Scope: "bench", Entity: fmt.Sprintf("e%d", n%5000)}, Kind: 0x1001, Data: data,
			})
			n++
		}
		mustAppend(b, j, group)
	}
	for _, wanted := range []uint64{3, 100, 3000, events} {
		for _, way := range []struct {
			name string
			read func(after uint64, visit func(ev *causal.Event) error) (uint64, error)
		}{
			{"replay", func(after uint64, visit func(ev *causal.Event) error) (uint64, error) {
				return j.Replay(b.Context(), after, visit)
			}},
			{"scan", func(after uint64, visit func(ev *causal.Event) error) (uint64, error) {
				var ev causal.Event
				return j.Scan(b.Context(), after, 1<<40, func(_ uint64, envelope []byte) error {
					if err := codec.DecodeEnvelopeInto(envelope, &ev); err != nil {
						return err
					}
					return visit(&ev)
				})
			}},
		} {
			b.Run(fmt.Sprintf("%d events by %s", wanted, way.name), func(b *testing.B) {
				b.ReportAllocs()
				before, found := worked(b), uint64(0)
				for b.Loop() {
					if _, err := way.read(events-wanted, func(*causal.Event) error { found++; return nil }); err != nil {
						b.Fatal(err)
					}
				}
				if found != uint64(b.N)*wanted {
					b.Fatalf("%d events of %d", found, uint64(b.N)*wanted)
				}
				b.ReportMetric(float64(found)/b.Elapsed().Seconds(), "events/s")
				b.ReportMetric(float64(found)/(worked(b)-before).Seconds(), "events/core-s")
			})
		}
	}
}
