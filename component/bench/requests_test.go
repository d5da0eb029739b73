package bench_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"batpak/component/bench"
)

const subject = "ask"

// connect starts a server and gives connections to it.
func connect(t *testing.T, n int) []*nats.Conn {
	t.Helper()
	s, err := bench.StartServer(bench.ServerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	conns, err := bench.Connect(s.URL(), n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bench.Disconnect(conns) })
	return conns
}

// respond answers what is asked, on a connection of its own.
func respond(t *testing.T, nc *nats.Conn, answer nats.MsgHandler) {
	t.Helper()
	if _, err := nc.Subscribe(subject, answer); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

func TestACountedRunCountsExactlyWhatWasAnswered(t *testing.T) {
	conns := connect(t, 4)
	var answered atomic.Uint64
	respond(t, conns[0], func(m *nats.Msg) {
		answered.Add(1)
		_ = m.Respond(m.Data)
	})
	for _, inflight := range []int{1, 2, 3, 7, 64} {
		before := answered.Load()
		row, err := bench.Load{Name: "echo", Inflight: inflight, Count: 500}.Requests(t.Context(), bench.Requests{
			Conns: conns[1:], Next: bench.Same(subject, []byte("hello")), Check: bench.CheckSame([]byte("hello")),
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := answered.Load() - before; row.Ops != 500 || got != 500 || row.Errors != 0 {
			t.Errorf("%d in flight: %d counted, %d answered, %d errors (%v)", inflight, row.Ops, got, row.Errors, row.Err)
		}
		if row.OpsPerS <= 0 || row.P50us <= 0 || row.P99us < row.P50us || row.Inflight != inflight {
			t.Errorf("row %+v", row)
		}
	}
	for _, nc := range conns[1:] {
		if n := nc.NumSubscriptions(); n != 0 {
			t.Errorf("%d subscriptions are left", n)
		}
	}
}

func TestAWarmupIsNotCounted(t *testing.T) {
	conns := connect(t, 2)
	var answered atomic.Uint64
	respond(t, conns[0], func(m *nats.Msg) {
		answered.Add(1)
		_ = m.Respond(m.Data)
	})
	ask := bench.Requests{Conns: conns[1:], Next: bench.Same(subject, nil)}
	row, err := bench.Load{Inflight: 8, Warmup: 20 * time.Millisecond, Count: 300}.Requests(t.Context(), ask)
	if err != nil || row.Ops != 300 {
		t.Errorf("with a count: %d counted, %v", row.Ops, err)
	}
	if answered.Load() <= 300 {
		t.Errorf("%d were answered, warm-up included", answered.Load())
	}
	answered.Store(0)
	row, err = bench.Load{Inflight: 8, Warmup: 20 * time.Millisecond, Duration: 50 * time.Millisecond}.Requests(t.Context(), ask)
	if err != nil || row.Ops == 0 || row.Ops >= answered.Load() || row.Elapsed != 50*time.Millisecond {
		t.Errorf("with a duration: %d counted of %d in %s, %v", row.Ops, answered.Load(), row.Elapsed, err)
	}
}

func TestSlotsKeepTheLoadInFlightAndNoMore(t *testing.T) {
	const inflight, count = 10, 400
	conns := connect(t, 4)
	var out, most atomic.Int64
	// The answers wait until everything that may be in flight is.
	var held []*nats.Msg
	respond(t, conns[0], func(m *nats.Msg) {
		if held = append(held, m); len(held) < inflight && m.Data[1] == 0 {
			return
		}
		for _, h := range held {
			_ = h.Respond(h.Data)
		}
		held = nil
	})
	next := make([]uint64, inflight) // each owned by its slot
	row, err := bench.Load{Inflight: inflight, Count: count}.Requests(t.Context(), bench.Requests{
		Conns: conns[1:],
		Next: func(slot int, n uint64) (string, []byte) {
			if next[slot] != n {
				t.Errorf("slot %d: request %d after %d", slot, n, next[slot])
			}
			next[slot] = n + 1
			now := out.Add(1)
			for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
			}
			return subject, []byte{byte(slot), byte(min(n, 1))}
		},
		Check: func(*nats.Msg) error { out.Add(-1); return nil },
	})
	if err != nil || row.Ops != count || row.Errors != 0 {
		t.Fatalf("%+v, %v", row, err)
	}
	if most.Load() != inflight {
		t.Errorf("%d were in flight of %d", most.Load(), inflight)
	}
	if slices.Min(next) == 0 {
		t.Errorf("a slot made no request: %v", next)
	}
}

var errReply = errors.New("not what I wanted")

func TestErrorRepliesAreReportedAndNotCounted(t *testing.T) {
	conns := connect(t, 2)
	respond(t, conns[0], func(m *nats.Msg) {
		switch string(m.Data) {
		case "service":
			answer := nats.NewMsg(m.Reply)
			answer.Header.Set(micro.ErrorCodeHeader, "429")
			answer.Header.Set(micro.ErrorHeader, "busy")
			_ = m.RespondMsg(answer)
		case "stream":
			_ = m.Respond([]byte(`{"error":{"code":503,"description":"no space"},"stream":"S","seq":0}`))
		case "ack":
			_ = m.Respond([]byte(`{"stream":"S", "seq":7}`))
		default:
			_ = m.Respond(m.Data)
		}
	})
	for _, c := range []struct {
		name, to, body string
		check          func(*nats.Msg) error
		want           error
		text           string
	}{
		{name: "micro error", to: subject, body: "service", want: bench.ErrReply, text: "429 busy"},
		{name: "publish error", to: subject, body: "stream", check: bench.CheckPubAck, want: bench.ErrReply, text: "no space"},
		{name: "publish answered by no stream", to: subject, body: "hm", check: bench.CheckPubAck, want: bench.ErrReply},
		{name: "other bytes", to: subject, body: "x", check: bench.CheckSame([]byte("y")), want: bench.ErrReply},
		{name: "own check", to: subject, body: "x", check: func(*nats.Msg) error { return errReply }, want: errReply},
		{name: "nobody there", to: "nobody", want: nats.ErrNoResponders},
		{name: "publish accepted", to: subject, body: "ack", check: bench.CheckPubAck},
	} {
		t.Run(c.name, func(t *testing.T) {
			row, err := bench.Load{Inflight: 4, Count: 40}.Requests(t.Context(), bench.Requests{
				Conns: conns[1:], Next: bench.Same(c.to, []byte(c.body)), Check: c.check,
			})
			if err != nil {
				t.Fatal(err)
			}
			good, bad := uint64(40), uint64(0)
			if c.want != nil {
				good, bad = bad, good
			}
			if row.Ops != good || row.Errors != bad || !errors.Is(row.Err, c.want) {
				t.Fatalf("%d counted, %d errors, first %v", row.Ops, row.Errors, row.Err)
			}
			if row.Err != nil && !strings.Contains(row.Err.Error(), c.text) {
				t.Fatalf("first error %q does not say %q", row.Err, c.text)
			}
		})
	}
}

func TestASecondAnswerIsAnErrorAndNotAnOperation(t *testing.T) {
	conns := connect(t, 2)
	respond(t, conns[0], func(m *nats.Msg) {
		_ = m.Respond([]byte("first"))
		_ = m.Respond([]byte("second"))
	})
	row, err := bench.Load{Inflight: 1, Count: 50}.Requests(t.Context(), bench.Requests{
		Conns: conns[1:], Next: bench.Same(subject, nil),
		Check: func(m *nats.Msg) error {
			if string(m.Data) != "first" {
				t.Errorf("the %s answer was taken for the next request's", m.Data)
			}
			return nil
		},
	})
	// The last request's second answer may come after the end.
	if err != nil || row.Ops != 50 || row.Errors < 49 {
		t.Fatalf("%d counted, %d errors, %v", row.Ops, row.Errors, err)
	}
}

func TestUnansweredRequestsAreReported(t *testing.T) {
	conns := connect(t, 2)
	respond(t, conns[0], func(m *nats.Msg) {
		if len(m.Data) == 0 {
			_ = m.Respond(m.Data)
		}
	})
	row, err := bench.Load{Inflight: 8, Count: 100}.Requests(t.Context(), bench.Requests{
		Conns:    conns[1:],
		Patience: 50 * time.Millisecond,
		Next: func(slot int, n uint64) (string, []byte) {
			if slot < 3 && n == 4 {
				return subject, []byte("lose this one")
			}
			return subject, nil
		},
	})
	if err != nil || row.Ops != 97 || row.Errors != 3 || !errors.Is(row.Err, bench.ErrUnanswered) {
		t.Fatalf("%d counted, %d errors, first %v; %v", row.Ops, row.Errors, row.Err, err)
	}
}

func TestCancelEndsARunOfRequests(t *testing.T) {
	conns := connect(t, 3)
	respond(t, conns[0], func(m *nats.Msg) { _ = m.Respond(m.Data) })
	ctx, cancel := context.WithCancelCause(t.Context())
	var seen atomic.Int64
	row, err := bench.Load{Inflight: 16, Duration: time.Hour}.Requests(ctx, bench.Requests{
		Conns: conns[1:], Next: bench.Same(subject, nil),
		Check: func(*nats.Msg) error {
			if seen.Add(1) == 200 {
				cancel(errReply)
			}
			return nil
		},
	})
	if !errors.Is(err, errReply) || row.Ops < 200 || row.Errors != 0 {
		t.Fatalf("%d counted, %d errors; %v", row.Ops, row.Errors, err)
	}
}

func TestAClosedConnectionEndsTheRun(t *testing.T) {
	conns := connect(t, 2)
	respond(t, conns[0], func(m *nats.Msg) { _ = m.Respond(m.Data) })
	var seen int
	_, err := bench.Load{Inflight: 4, Duration: time.Hour}.Requests(t.Context(), bench.Requests{
		Conns: conns[1:], Next: bench.Same(subject, nil),
		Check: func(*nats.Msg) error {
			if seen++; seen == 50 {
				conns[1].Close()
			}
			return nil
		},
	})
	if !errors.Is(err, nats.ErrConnectionClosed) {
		t.Fatal(err)
	}
}

func TestALostServerEndsTheRun(t *testing.T) {
	s, err := bench.StartServer(bench.ServerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	conns, err := bench.Connect(s.URL(), 2, nats.NoReconnect())
	if err != nil {
		t.Fatal(err)
	}
	defer bench.Disconnect(conns)
	respond(t, conns[0], func(m *nats.Msg) { _ = m.Respond(m.Data) })
	enough := make(chan struct{})
	go func() { <-enough; s.Close() }()
	var seen int
	_, err = bench.Load{Inflight: 4, Duration: time.Hour}.Requests(t.Context(), bench.Requests{
		Conns: conns[1:], Next: bench.Same(subject, nil), Patience: 50 * time.Millisecond,
		Check: func(*nats.Msg) error {
			if seen++; seen == 50 {
				close(enough)
			}
			return nil
		},
	})
	if err == nil {
		t.Fatal("the run ended well")
	}
}

func TestPublishesArriveInTheStream(t *testing.T) {
	s, err := bench.StartServer(bench.ServerOptions{StoreDir: t.TempDir(), SyncAlways: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	conns, err := bench.Connect(s.URL(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer bench.Disconnect(conns)
	if err := bench.NewStream(t.Context(), conns[0], "S", "s.*"); err != nil {
		t.Fatal(err)
	}
	row, err := bench.Load{Inflight: 16, Count: 100}.Requests(t.Context(), bench.Requests{
		Conns: conns, Next: bench.Spread([]string{"s.a", "s.b", "s.c"}, []byte("body")), Check: bench.CheckPubAck,
	})
	if err != nil || row.Ops != 100 || row.Errors != 0 {
		t.Fatalf("%+v, %v", row, err)
	}
	js, err := jetstream.New(conns[0])
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if state := stream.CachedInfo().State; state.Msgs != 100 || state.NumSubjects != 3 {
		t.Fatalf("the stream has %d messages on %d subjects", state.Msgs, state.NumSubjects)
	}
	if err := bench.NewStream(t.Context(), conns[0], "S", "other"); !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		t.Fatalf("a second stream of the name: %v", err)
	}
}

func TestAnInvalidLoadIsRefused(t *testing.T) {
	conns := connect(t, 1)
	next := bench.Same(subject, nil)
	for _, c := range []struct {
		load bench.Load
		ask  bench.Requests
	}{
		{bench.Load{Inflight: 0, Count: 1}, bench.Requests{Conns: conns, Next: next}},
		{bench.Load{Inflight: bench.MaxInflight + 1, Count: 1}, bench.Requests{Conns: conns, Next: next}},
		{bench.Load{Inflight: 1}, bench.Requests{Conns: conns, Next: next}},
		{bench.Load{Inflight: 1, Count: 1, Duration: 1}, bench.Requests{Conns: conns, Next: next}},
		{bench.Load{Inflight: 1, Count: 1, Warmup: -1}, bench.Requests{Conns: conns, Next: next}},
		{bench.Load{Inflight: 1, Count: 1}, bench.Requests{Next: next}},
		{bench.Load{Inflight: 1, Count: 1}, bench.Requests{Conns: conns}},
	} {
		if _, err := c.load.Requests(t.Context(), c.ask); !errors.Is(err, bench.ErrLoad) {
			t.Errorf("%+v: %v", c.load, err)
		}
	}
}

func TestARowsJSONHasTheKeysOfTheCommand(t *testing.T) {
	row := bench.Row{Name: "echo", Inflight: 16, OpsPerS: 1234.5, P50us: 10.1, P99us: 20.2, Ops: 1, Elapsed: 2, AllocsPerOp: 3, BytesPerOp: 4}
	for errs, want := range map[uint64]string{
		0: `{"name":"echo","inflight":16,"ops_per_s":1234.5,"p50_us":10.1,"p99_us":20.2}`,
		7: `{"name":"echo","inflight":16,"ops_per_s":1234.5,"p50_us":10.1,"p99_us":20.2,"errors":7}`,
	} {
		row.Errors = errs
		if got, err := json.Marshal(row); err != nil || string(got) != want {
			t.Errorf("%s, %v", got, err)
		}
	}
}
