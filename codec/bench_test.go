package codec

import (
	"strings"
	"testing"

	"batpak/causal"
)

func BenchmarkAppendEnvelope(b *testing.B) {
	h := benchHeader()
	data := appendBin(nil, make([]byte, 256))
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		dst = append(AppendData(AppendPrefix(dst[:0], &h), len(data)), data...)
	}
}

func BenchmarkDecodeEnvelope(b *testing.B) {
	h := benchHeader()
	env := AppendEnvelope(nil, &h, appendBin(nil, make([]byte, 256)))
	b.Run("fresh", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := DecodeEnvelope(env); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("into", func(b *testing.B) {
		var ev causal.Event
		b.ReportAllocs()
		for b.Loop() {
			if err := DecodeEnvelopeInto(env, &ev); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("check", func(b *testing.B) {
		var l Link
		b.ReportAllocs()
		for b.Loop() {
			if err := CheckEnvelope(env, &l); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("route", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := DecodeRoute(env); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func benchHeader() causal.Header {
	return causal.Header{
		Lineage: causal.Lineage{1}, ID: causal.EventID{2}, Seq: 123456,
		Coordinate: causal.Coordinate{Scope: "tenant-a", Entity: "account-12345"},
		Version:    17, Kind: 0x1001, Time: causal.HLC{Millis: 1700000000000, Tick: 3},
		Key: "request-8b1f", Gates: []string{"balance"}, Prev: causal.Hash{3},
	}
}

func BenchmarkReceipt(b *testing.B) {
	plain := Receipt{ID: causal.EventID{1}, Seq: 123456, Version: 17, Time: 1700000000000, Hash: causal.Hash{1}, Prev: causal.Hash{2}, Lineage: causal.Lineage{1}, Durable: AckDisk}
	proved := plain
	proved.Proof = &Proof{Signer: strings.Repeat("U", 56), First: 123400, Last: 123527, Path: make([]causal.Hash, 7)}
	for name, r := range map[string]*Receipt{"plain": &plain, "proved": &proved} {
		var body []byte
		b.Run("marshal/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				body, _ = Marshal(body[:0], Msgpack, r)
			}
		})
		b.Run("unmarshal/"+name, func(b *testing.B) {
			body, _ = Marshal(body[:0], Msgpack, r)
			b.ReportAllocs()
			for b.Loop() {
				var r Receipt
				if err := Unmarshal(body, Msgpack, &r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkUnmarshalAppend(b *testing.B) {
	n := uint64(16)
	body, err := Marshal(nil, Msgpack, &Append{Kind: 0x1001, Data: appendBin(nil, make([]byte, 256)), Key: "request-8b1f", Expect: &n})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		var a Append
		if err := Unmarshal(body, Msgpack, &a); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMarshalReceipt(b *testing.B) {
	r := Receipt{ID: causal.EventID{2}, Seq: 123456, Version: 17, Time: 1700000000000, Hash: causal.Hash{4},
		Prev: causal.Hash{3}, Lineage: causal.Lineage{1}, Durable: AckDisk}
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, err = Marshal(dst[:0], Msgpack, &r); err != nil {
			b.Fatal(err)
		}
	}
}
