package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"batpak/component/bench"
	"batpak/component/journal"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Names of what is measured of a journal of very many events. Each is measured in a process of its own,
// and is what measureCommand calls it.
const (
	rowHash      = "sha256, 1 MiB"
	rowOpen      = "open"
	rowReopen    = "open, no checkpoint"
	rowGet       = "get"
	rowStream    = "read a stream"
	rowGraph     = "graph"
	rowVerify    = "verify"
	rowVerifyOne = "verify, one core"
	rowReplay    = "replay"
	rowConsumer  = "jetstream replay"
)

// A finding is what a process of its own has measured.
type finding struct {
	bench.Row
	AllocsPerOp float64 `json:"allocs_per_op"`
	BytesPerOp  float64 `json:"bytes_per_op"`
	Resident    int64   `json:"resident"`    // bytes of memory when it ended; 0 is not known
	PerCPU      float64 `json:"ops_per_cpu"` // operations in a second of a core; 0 is not known
}

// generated measures a journal of very many events.
type generated struct {
	ring  *ring
	plot  plot
	dir   string // of the journal
	bytes int64  // of its frames
	url   string // of a server that has the same in a stream
	found map[string][]finding
}

// enterEvents generates a journal in a temporary directory, and sets up what is measured of it.
func (b *benching) enterEvents(r *ring) error {
	home, err := r.home(b.dir)
	if err != nil {
		return err
	}
	e := &generated{
		ring: r, plot: plot{events: uint64(b.events), size: r.size}, dir: filepath.Join(home, "journal"), found: make(map[string][]finding),
	}
	bar := b.newProgress(int64(b.events), "generate", "events")
	defer bar.Finish()
	if err := e.plot.generate(r.ctx, e.dir, bar); err != nil {
		return err
	}
	_ = bar.Finish()
	bar = b.newProgress(int64(b.events), "fill a stream", "events")
	defer bar.Finish()
	s, nc, err := r.server(bench.ServerOptions{StoreDir: filepath.Join(home, "jetstream")})
	if err != nil {
		return err
	}
	e.url = s.URL()
	if err := e.publish(nc, func() { _ = bar.Add(plotBatch) }); err != nil {
		return err
	}
	_ = bar.Finish()
	if err := r.enterDisk(home); err != nil {
		return err
	}
	r.enterHash()
	for _, name := range []string{rowOpen, rowReopen, rowGet, rowStream, rowGraph, rowVerifyOne, rowVerify, rowReplay, rowConsumer} {
		r.entries = append(r.entries, entry{name: name, alone: true, measure: func(bench.Load) (bench.Row, error) {
			return e.measure(name)
		}})
	}
	r.bounds = e.bounds
	return nil
}

// enterHash measures SHA-256 on one core, a MiB at a time.
func (r *ring) enterHash() {
	block := payload(1 << 20)
	r.entries = append(r.entries, entry{name: rowHash, alone: true, measure: func(l bench.Load) (bench.Row, error) {
		return bench.Load{Name: l.Name, Inflight: 1, Count: 200}.Calls(r.ctx, func(int, uint64) error {
			block[0] = sha256.Sum256(block)[0]
			return nil
		})
	}})
}

// scanBytes is how much of the log is read between looks at how far it came.
const scanBytes = 4 << 20

// publish puts the journal's envelopes into a stream.
func (e *generated) publish(nc *nats.Conn, done func()) error {
	ctx := e.ring.ctx
	if err := bench.NewStream(ctx, nc, plotStreamName, plotName+".*"); err != nil {
		return err
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(1024))
	if err != nil {
		return err
	}
	return e.plot.open(ctx, e.dir, func(j *journal.Journal) error {
		e.bytes = j.Stats().Bytes
		for after := uint64(0); after < e.plot.events; {
			after, err = j.Scan(ctx, after, scanBytes, func(seq uint64, envelope []byte) error {
				if seq%plotBatch == 0 {
					done()
				}
				_, err := js.PublishAsync(plotName+"."+e.plot.at(seq).Entity, bytes.Clone(envelope), jetstream.WithStallWait(time.Minute))
				return err
			})
			if err != nil {
				return err
			}
		}
		select {
		case <-js.PublishAsyncComplete():
		case <-ctx.Done():
			return ctx.Err()
		}
		s, err := js.Stream(ctx, plotStreamName)
		if err == nil && s.CachedInfo().State.Msgs != e.plot.events {
			err = fmt.Errorf("the stream has %d events of %d", s.CachedInfo().State.Msgs, e.plot.events)
		}
		return err
	})
}

// measure has a process of its own measure one thing.
func (e *generated) measure(name string) (bench.Row, error) {
	program, err := os.Executable()
	if err != nil {
		return bench.Row{}, err
	}
	if name == rowReopen {
		if err := os.Remove(filepath.Join(e.dir, "checkpoint")); err != nil {
			return bench.Row{}, err
		}
	}
	cmd := exec.CommandContext(e.ring.ctx, program, "measure", name, "--dir", e.dir, "--url", e.url,
		"--events", strconv.FormatUint(e.plot.events, 10), "--size", strconv.Itoa(e.plot.size))
	cmd.Env = withoutNATS(os.Environ())
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		if e.ring.ctx.Err() != nil {
			return bench.Row{}, e.ring.ctx.Err()
		}
		if cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == exitInterrupted { // the terminal interrupts both
			return bench.Row{}, context.Canceled
		}
		return bench.Row{}, fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(said.Bytes()))
	}
	var f finding
	if err := json.Unmarshal(out.Bytes(), &f); err != nil {
		return bench.Row{}, fmt.Errorf("%s: %w", name, err)
	}
	if f.Errors > 0 {
		return bench.Row{}, errors.New(name + ": went wrong") // a row with errors is not printed by its process
	}
	f.Row.AllocsPerOp, f.Row.BytesPerOp = f.AllocsPerOp, f.BytesPerOp
	e.found[name] = append(e.found[name], f)
	return f.Row, nil
}

// What a journal of a million events should keep to, where a sync takes 0.15 ms and SHA-256 goes through
// 1 GB in a second: times in milliseconds.
const (
	openAtMost     = 150
	reopenAtMost   = 2500
	getAtMost      = 0.1
	streamAtMost   = 2
	graphAtMost    = 5
	verifyAtLeast  = 800_000 // events in a second of a core, or
	verifyBytes    = 400e6   // bytes, whichever are fewer events
	replayAtLeast  = 2       // times the rate of an ordered consumer
	residentAtMost = 64 << 20
	residentStream = 200 // bytes for each stream, beside that
)

// bounds hold what was found against what is wanted.
func (e *generated) bounds(found results) []bench.Ratio {
	var bounds []bench.Ratio
	for _, w := range []struct {
		row, what string
		atMost    float64
	}{
		{rowOpen, "open, ms", openAtMost},
		{rowReopen, "open without checkpoint, ms", reopenAtMost},
		{rowGet, "get by id, p50, ms", getAtMost},
		{rowStream, "read of a stream of 100 events, p50, ms", streamAtMost},
		{rowGraph, "graph to depth 100, p50, ms", graphAtMost},
	} {
		p50 := found[measured{w.row, 1}].Median().P50us
		bounds = append(bounds, bench.Ratio{What: w.what, Value: p50 / 1000, AtMost: w.atMost})
	}
	const mib = 1 << 20
	atMost := math.Round((residentAtMost+residentStream*float64(e.plot.streams()))/mib*100) / 100
	for _, name := range []string{rowOpen, rowReopen} {
		if resident := e.median(name, func(f finding) float64 { return float64(f.Resident) }); resident > 0 {
			bounds = append(bounds, bench.Ratio{What: "memory after " + name + ", MiB", Value: resident / mib, AtMost: atMost})
		}
	}
	size := float64(e.bytes) / float64(e.plot.events)
	one := found[measured{rowVerifyOne, 1}].Median().OpsPerS
	bounds = append(bounds, bench.Ratio{What: "verify, events/s on one core", Value: one, AtLeast: math.Round(min(verifyAtLeast, verifyBytes/size))})
	e.ring.said = append(e.ring.said, fmt.Sprintf("verify: %.0f MB/s on one core, %.0f on all", one*size/1e6, found[measured{rowVerify, 1}].Median().OpsPerS*size/1e6))
	if perCPU := e.median(rowReplay, perCPUOf); perCPU > 0 {
		e.ring.said = append(e.ring.said, fmt.Sprintf("replay: %s events in a second of a core; by the consumer: %s, without the server's part",
			grouped(uint64(perCPU)), grouped(uint64(e.median(rowConsumer, perCPUOf)))))
	}
	e.ring.said = append(e.ring.said, fmt.Sprintf("journal: %s events in %s streams, %s bytes of frames; sha256: %.2f GB in a second of a core",
		grouped(e.plot.events), grouped(e.plot.streams()), grouped(uint64(e.bytes)), found[measured{rowHash, 1}].Median().OpsPerS*mib/1e9))
	return append(bounds, bench.Ratio{
		What:    rowReplay + " / " + rowConsumer + ", events/s",
		Value:   found[measured{rowReplay, 1}].Over(found[measured{rowConsumer, 1}], bench.Rate),
		AtLeast: replayAtLeast,
	})
}

// perCPUOf is how many events a core took in a second.
func perCPUOf(f finding) float64 { return f.PerCPU }

// median is that of a figure over the rounds.
func (e *generated) median(name string, figure func(finding) float64) float64 {
	series := make(bench.Series, len(e.found[name]))
	for i, f := range e.found[name] {
		series[i].OpsPerS = figure(f)
	}
	return series.Median().OpsPerS
}
