package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/bench"
	"batpak/component/journal"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
)

// measuring is one thing that bench --events measures of a journal, in a process that has done nothing else.
type measuring struct {
	*app
	plot plot
	dir  string
	url  string
	took time.Duration // for opening the journal
}

// measureCommand is for bench alone.
func (a *app) measureCommand() *cobra.Command {
	m := &measuring{app: a}
	cmd := &cobra.Command{
		Use:    "measure WHAT",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE:   func(cmd *cobra.Command, args []string) error { return m.run(cmd.Context(), args[0]) },
	}
	f := cmd.Flags()
	f.StringVar(&m.dir, "dir", "", "")
	f.StringVar(&m.url, "url", "", "")
	f.Uint64Var(&m.plot.events, "events", 0, "")
	f.IntVar(&m.plot.size, "size", 0, "")
	return cmd
}

func (m *measuring) run(ctx context.Context, name string) error {
	if name == rowConsumer {
		return m.print(m.pass(ctx, name, m.consume))
	}
	began := time.Now()
	return m.plot.open(ctx, m.dir, func(j *journal.Journal) error {
		m.took = time.Since(began)
		switch name {
		case rowOpen, rowReopen:
			// What the process holds now is what a journal that was only opened takes.
			f := finding{Row: bench.Row{Name: name, Inflight: 1, OpsPerS: 1 / m.took.Seconds()}, Resident: resident()}
			f.P50us = float64(m.took) / float64(time.Microsecond)
			f.P99us = f.P50us
			return m.print(f, nil)
		case rowGet:
			return m.print(m.get(ctx, j))
		case rowStream:
			return m.print(m.calls(ctx, name, 500, func(seq uint64) error { return m.stream(j, seq) }))
		case rowGraph:
			return m.print(m.graph(ctx, j))
		case rowVerify, rowVerifyOne:
			if name == rowVerifyOne {
				runtime.GOMAXPROCS(1)
			}
			return m.print(m.pass(ctx, name, func(ctx context.Context) error {
				v, err := j.Verify(ctx, 0, 0)
				if err == nil && v.Checked != m.plot.events {
					err = fmt.Errorf("%d events of %d were checked", v.Checked, m.plot.events)
				}
				return err
			}))
		case rowReplay:
			return m.print(m.pass(ctx, name, func(ctx context.Context) error { return m.replay(ctx, j) }))
		}
		return usage("nothing is called %q", name)
	})
}

// print writes a finding, unless it failed.
func (m *measuring) print(f finding, err error) error {
	if err == nil {
		err = f.Err
	}
	if err != nil {
		return err
	}
	f.AllocsPerOp, f.BytesPerOp = f.Row.AllocsPerOp, f.Row.BytesPerOp
	return json.NewEncoder(m.out).Encode(f)
}

// calls measures count calls about an event that was drawn, one after the other.
func (m *measuring) calls(ctx context.Context, name string, count uint64, do func(seq uint64) error) (finding, error) {
	row, err := bench.Load{Name: name, Inflight: 1, Count: count}.Calls(ctx, func(int, uint64) error {
		return do(1 + rand.Uint64N(m.plot.events))
	})
	return finding{Row: row}, err
}

// pass measures something that takes every event once.
func (m *measuring) pass(ctx context.Context, name string, do func(context.Context) error) (finding, error) {
	before := spent()
	row, err := bench.Load{Name: name, Inflight: 1, Count: 1}.Calls(ctx, func(int, uint64) error { return do(ctx) })
	f := finding{Row: row}
	if used := spent() - before; used > 0 {
		f.PerCPU = float64(m.plot.events) / used.Seconds()
	}
	f.OpsPerS = float64(m.plot.events) / row.Elapsed.Seconds()
	f.Row.AllocsPerOp /= float64(m.plot.events)
	f.Row.BytesPerOp /= float64(m.plot.events)
	return f, err
}

func (m *measuring) get(ctx context.Context, j *journal.Journal) (finding, error) {
	ids := make([]causal.EventID, min(m.plot.events, 5000)) // drawn before anything is measured
	for i := range ids {
		ev, err := j.GetSeq(1 + rand.Uint64N(m.plot.events))
		if err != nil {
			return finding{}, err
		}
		ids[i] = ev.ID
	}
	return m.calls(ctx, rowGet, uint64(len(ids)), func(drawn uint64) error {
		_, err := j.Get(ids[drawn%uint64(len(ids))])
		return err
	})
}

// stream reads the stream of an event from end to end.
func (m *measuring) stream(j *journal.Journal, seq uint64) error {
	n := uint64(0)
	for _, err := range j.StreamEvents(causal.Stream{Coordinate: m.plot.at(seq)}, 0) {
		if err != nil {
			return err
		}
		n++
	}
	if n != m.plot.lengthOf(seq) {
		return fmt.Errorf("the stream of event %d has %d events", seq, n)
	}
	return nil
}

// graphDepth is how far a graph goes back.
const graphDepth = 100

func (m *measuring) graph(ctx context.Context, j *journal.Journal) (finding, error) {
	most := uint64(graphDepth)
	if has := m.plot.depthOf(m.plot.events); has < most {
		most = has
	}
	deep := most*plotBatch + 1 // the first event with so much behind it
	return m.calls(ctx, rowGraph, 300, func(drawn uint64) error {
		ev, err := j.GetSeq(deep + drawn%(m.plot.events-deep+1))
		if err != nil {
			return err
		}
		page, err := j.Graph(ctx, codec.GraphRequest{ID: ev.ID, Direction: codec.DirectionCauses, Depth: graphDepth, Limit: codec.MaxLimit}, 64<<20)
		if want := min(m.plot.depthOf(ev.Seq), graphDepth) + 1; err == nil && uint64(len(page.Envelopes)) != want {
			err = fmt.Errorf("the graph of event %d has %d events, not %d", ev.Seq, len(page.Envelopes), want)
		}
		return err
	})
}

// amount is what a fold wants of a payload.
type amount struct {
	Cents uint64 `msgpack:"cents"`
}

// fold adds up the numbers in payloads.
type fold struct {
	registry codec.Registry
	events   uint64
	cents    uint64
}

func newFold() (*fold, error) {
	f := &fold{}
	// All kinds of a plot have this payload, and a type has one kind in a registry: add passes them for that.
	return f, codec.Register[amount](&f.registry, benchKind, 0)
}

// add folds an event, and changes its kind.
func (f *fold) add(ev *causal.Event) error {
	ev.Kind = benchKind
	n, err := codec.Decode[amount](&f.registry, ev, ev.Data)
	f.cents += n.Cents
	f.events++
	return err
}

// check says whether it has seen all of a journal.
func (f *fold) check(p plot) error {
	if f.events != p.events || f.cents != p.cents() {
		return fmt.Errorf("%d events with %d cents were folded, not %d with %d", f.events, f.cents, p.events, p.cents())
	}
	return nil
}

// replay folds the journal.
func (m *measuring) replay(ctx context.Context, j *journal.Journal) error {
	f, err := newFold()
	if err != nil {
		return err
	}
	if _, err := j.Replay(ctx, 0, f.add); err != nil {
		return err
	}
	return f.check(m.plot)
}

// plotStreamName is the JetStream stream that has the journal's envelopes.
const plotStreamName = "BENCH"

// consumerPull is how many messages the consumer asks for at a time: many more than it does by itself, so that it
// does not wait for them.
const consumerPull = 10000

// consume folds the stream, by an ordered consumer.
func (m *measuring) consume(ctx context.Context) error {
	f, err := newFold()
	if err != nil {
		return err
	}
	nc, err := nats.Connect(m.url)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	consumer, err := js.OrderedConsumer(ctx, plotStreamName, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	var ev causal.Event
	// The handler runs in one goroutine, which Stop ends.
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		err := codec.DecodeEnvelopeInto(msg.Data(), &ev)
		if err == nil {
			err = f.add(&ev)
		}
		if err != nil || f.events == m.plot.events {
			select {
			case ended <- err:
			default:
			}
		}
	}, jetstream.PullMaxMessages(consumerPull))
	if err != nil {
		return err
	}
	defer consuming.Stop()
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	return f.check(m.plot)
}

// resident is how many bytes of memory this process has, as the system says; 0 where it does not.
func resident() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
			kB, _ := strconv.ParseInt(f[1], 10, 64)
			return kB << 10
		}
	}
	return 0
}
