package bench_test

import (
	"context"
	"fmt"
	"os"

	"batpak/component/bench"
)

// The echo of a NATS server, which is the bound for what a service on it can do.
func ExampleLoad_Requests() {
	server, err := bench.StartServer(bench.ServerOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	conns, err := bench.Connect(server.URL(), 2)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer bench.Disconnect(conns)
	echo, err := bench.StartEcho(conns[0])
	if err != nil {
		fmt.Println(err)
		return
	}

	body := make([]byte, 256)
	load := bench.Load{Name: "echo", Inflight: 16, Count: 1000}
	row, err := load.Requests(context.Background(), bench.Requests{
		Conns: conns[1:],
		Next:  bench.Same(echo.Subject(), body),
		Check: bench.CheckSame(body),
	})
	fmt.Println(row.Name, row.Ops, "answered,", row.Errors, "errors,", err)
	// Output: echo 1000 answered, 0 errors, <nil>
}

// What a function does when 8 goroutines call it.
func ExampleLoad_Calls() {
	row, err := bench.Load{Name: "nothing", Inflight: 8, Count: 100}.Calls(context.Background(),
		func(worker int, n uint64) error { return nil })
	fmt.Println(row.Ops, err)
	// Output: 100 <nil>
}

func ExamplePrint() {
	rows := []bench.Row{
		{Name: "echo", Inflight: 256, OpsPerS: 201340, P50us: 1190.2, P99us: 4100, AllocsPerOp: 9.2, BytesPerOp: 1417},
		{Name: "append", Inflight: 256, OpsPerS: 92007, P50us: 2600.8, P99us: 6012.5, AllocsPerOp: 21, BytesPerOp: 2890},
	}
	err := bench.Print(os.Stdout, rows, []bench.Ratio{
		{What: "append / echo", Value: 92007.0 / 201340, AtLeast: 0.5},
		{What: "append p50 / (echo p50 + fdatasync p50)", Value: 1.17, AtMost: 1.3},
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// name    in flight   ops/s  p50 µs  p99 µs  allocs/op  B/op  errors
	// echo          256  201340  1190.2  4100.0        9.2  1417       0
	// append        256   92007  2600.8  6012.5       21.0  2890       0
	//
	// ratio                                      is  should be
	// append / echo                            0.46  at least 0.50  MISSED
	// append p50 / (echo p50 + fdatasync p50)  1.17  at most 1.30
}
