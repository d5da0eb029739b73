package component_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"
	"batpak/component/bench"

	"github.com/nats-io/nats.go"
)

// BenchmarkAppend measures appends of 256 bytes over NATS with a real disk, without and with
// onward publishing, and a bare request and reply beside them.
func BenchmarkAppend(b *testing.B) {
	for _, inflight := range []int{1, 256} {
		b.Run(fmt.Sprintf("echo/%d", inflight), func(b *testing.B) { benchEcho(b, inflight) })
		b.Run(fmt.Sprintf("append/%d", inflight), func(b *testing.B) { benchAppend(b, inflight, component.OnwardNone) })
		b.Run(fmt.Sprintf("onward/%d", inflight), func(b *testing.B) { benchAppend(b, inflight, component.OnwardJetStream) })
	}
}

func benchEcho(b *testing.B, inflight int) {
	url := startServer(b)
	echo, err := bench.StartEcho(connect(b, url))
	if err != nil {
		b.Fatal(err)
	}
	run(b, url, inflight, bench.Same(echo.Subject(), bytes.Repeat([]byte{1}, 256)))
}

func benchAppend(b *testing.B, inflight int, onward component.Onward) {
	url := startServer(b)
	node, err := component.Open(context.Background(), component.Config{
		Conn: connect(b, url), Dir: b.TempDir(), Name: "main", Onward: onward, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer node.Close()
	request, err := codec.Marshal(nil, codec.Msgpack, &codec.Append{Kind: kind, Data: append([]byte{0xc4, 253}, make([]byte, 253)...)})
	if err != nil {
		b.Fatal(err)
	}
	subjects := make([]string, 1000)
	for i := range subjects {
		subjects[i] = fmt.Sprintf("batpak.main.append.shop.order-%d", i)
	}
	run(b, url, inflight, func(slot int, n uint64) (string, []byte) {
		return subjects[(uint64(slot)+n*7)%uint64(len(subjects))], request
	})
	if got := node.Journal().Head(causal.Stream{Coordinate: at("shop", "order-0")}); got.Version == 0 && b.N > len(subjects) {
		b.Fatal("nothing was appended")
	}
}

func run(b *testing.B, url string, inflight int, next func(int, uint64) (string, []byte)) {
	conns, err := bench.Connect(url, min(inflight, 4))
	if err != nil {
		b.Fatal(err)
	}
	defer bench.Disconnect(conns)
	b.ReportAllocs()
	b.ResetTimer()
	row, err := bench.Load{Name: b.Name(), Inflight: inflight, Count: uint64(b.N)}.Requests(
		context.Background(), bench.Requests{Conns: conns, Next: next})
	b.StopTimer()
	if err != nil || row.Errors > 0 {
		b.Fatal(err, row.Err)
	}
	b.ReportMetric(row.OpsPerS, "op/s")
	b.ReportMetric(row.P50us, "p50-µs")
	b.ReportMetric(row.P99us, "p99-µs")
}

func startServer(b *testing.B) (url string) {
	s, err := bench.StartServer(bench.ServerOptions{StoreDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	return s.URL()
}

func connect(b *testing.B, url string) *nats.Conn {
	nc, err := nats.Connect(url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	return nc
}
