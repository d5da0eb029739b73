package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"batpak/component/bench"

	"github.com/spf13/cobra"
)

// benching is what the flags of bench say.
type benching struct {
	*app
	connection
	inflight []int
	size     byteSize
	rounds   int
	duration time.Duration
	dir      string
	keys     int
	events   int
}

func (a *app) benchCommand() *cobra.Command {
	b := &benching{app: a, size: 256}
	cmd := &cobra.Command{
		Use:   "bench [--url URL] [--inflight 1,16,64,256,1024] [--size 256]",
		Short: "Measure appends, beside what they are made of",
		Long: `Measure, in rounds that take turns, over real sockets on loopback, and print the medians:

  fdatasync         a write and a sync on this disk, one after the other
  echo              a bare NATS request and reply
  jetstream-always  a JetStream publish with sync_interval: always, one replica on disk
  append            a durable append, onward publishing off
  append+onward     a durable append, while events are published onward into JetStream
  append sealed     a durable append whose payload is sealed, under keys that exist

and the ratios between them that batpak wants to keep. All servers and nodes run in this process, each
in a temporary directory, which is removed at the end. The directory should be on the disk that is to
be measured, and nothing else should use the machine meanwhile.

With --keys, what payload keys cost is measured instead: appends under keys that exist and in key scopes
that are new, with few keys and with as many as --keys says, erasures, and how a keyset that large opens.

With --events, a journal of as many events is generated, as batpak generate does, and measured, each time by a
process that does nothing else: how it opens with and without its checkpoint, and in how much memory; get by id, a
read of one stream, a causal graph to depth 100; verify; and a replay into a fold, beside that of the same bytes by
a JetStream ordered consumer. A row of verify or of a replay has events per second, and the time of all of them.
A million events take about 1.2 GB of disk.

With --url or --context, appends to the node there are measured, and nothing else. They stay in its
journal, at scope "bench".

To a pipe the fields of a line are: name, in flight, operations per second, p50 and p99 in
microseconds; behind them lines of ratios: "ratio", what, value, bound, and kept or missed. With --json
standard output has the rows alone, and the ratios go to standard error.`,
		Example: "  batpak bench\n  batpak bench --inflight 1,256 --rounds 5 --dir /mnt/disk\n  batpak bench --keys 1000000\n  batpak bench --events 1000000\n  batpak bench --url nats://127.0.0.1:4222 --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if b.keys > 0 && !cmd.Flags().Changed("inflight") {
				b.inflight = []int{1, promisedInflight}
			}
			if changed := cmd.Flags().Changed; b.events > 0 && (b.keys > 0 || changed("inflight") || changed("duration")) {
				return usage("--events goes with neither --keys, --inflight nor --duration")
			}
			return b.run(cmd.Context())
		},
	}
	b.bind(cmd)
	f := cmd.Flags()
	f.Lookup("server").Usage = "measure the node on the NATS servers at these `URL`s; --url is the same ($NATS_URL)"
	f.IntSliceVar(&b.inflight, "inflight", []int{1, 16, 64, 256, 1024}, "`numbers` of operations in flight")
	f.Var(&b.size, "size", "size of a payload")
	f.IntVar(&b.rounds, "rounds", 3, "`number` of rounds; a row is the median of them")
	f.DurationVar(&b.duration, "duration", time.Second, "how long one measurement takes")
	f.IntVar(&b.keys, "keys", 0, "measure payload keys, and keysets of so many at the most; with 1 and 256 in flight by default")
	f.IntVar(&b.events, "events", 0, "measure a journal of so many events, at least 1000")
	f.StringVar(&b.dir, "dir", "", "where the temporary `directory` goes (default: the system's)")
	return cmd
}

func (b *benching) run(ctx context.Context) error {
	if err := b.complete(); err != nil {
		return err
	}
	for _, n := range b.inflight {
		if n < 1 || n > 1<<16 {
			return usage("--inflight %d is not 1 to 65536", n)
		}
	}
	switch {
	case len(b.inflight) == 0 || b.rounds < 1 || b.duration <= 0:
		return usage("--inflight, --rounds and --duration must be more than nothing")
	case b.size > 1<<20:
		return usage("--size must be at most 1MiB")
	case b.keys < 0:
		return usage("--keys must not be negative")
	case b.events != 0 && b.events < 1000:
		return usage("--events must be at least 1000")
	case b.events > 0 && b.named():
		return usage("--events is measured of a journal of its own: it goes with neither --url nor --context")
	case b.keys > 0 && b.named():
		return usage("--keys is measured at nodes of its own: it goes with neither --url nor --context")
	}
	if b.events > 0 {
		if err := (plot{size: int(b.size)}).check(); err != nil {
			return err
		}
	}
	r := &ring{ctx: ctx, size: int(b.size)}
	enter := b.enterAll
	switch {
	case b.named():
		enter = b.enterThere
	case b.keys > 0:
		enter = b.enterKeys
	case b.events > 0:
		enter = b.enterEvents
	}
	err := enter(r)
	if err == nil {
		err = b.measure(r)
	}
	if e := r.close(); err == nil {
		err = e
	}
	return err
}

// measure runs the rounds and prints what they found.
func (b *benching) measure(r *ring) error {
	runs := r.runs(b.inflight, b.duration)
	bar := b.newProgress(int64(len(runs)*b.rounds), "measure", "runs")
	defer bar.Finish()
	for i, run := range runs {
		runs[i] = func() (bench.Row, error) {
			row, err := run()
			_ = bar.Add(1) // a terminal that cannot be written to shows nothing
			return row, err
		}
	}
	all, err := bench.Rounds(b.rounds, runs...)
	if err != nil {
		return err
	}
	_ = bar.Finish()
	rows, ratios := r.summary(all)
	if err := b.show(rows, ratios); err != nil {
		return err
	}
	for _, note := range r.notes(rows) {
		fmt.Fprintln(b.err, note)
	}
	return nil
}

func (b *benching) show(rows []bench.Row, ratios []bench.Ratio) error {
	number := func(x float64) string { return strconv.FormatFloat(x, 'f', 1, 64) }
	switch b.screen.form {
	case forTerminal:
		return bench.Print(b.screen.w, rows, ratios)
	case forMachine:
		for _, r := range rows {
			if err := b.screen.object("name", r.Name, "inflight", r.Inflight, "ops_per_s", r.OpsPerS,
				"p50_us", r.P50us, "p99_us", r.P99us, "errors", r.Errors); err != nil {
				return err
			}
		}
		for _, r := range ratios {
			fmt.Fprintln(b.err, ratioText(r, ": "))
		}
		return nil
	}
	t := b.screen.table(make([]column, 5)...)
	for _, r := range rows {
		if err := t.row(r.Name, strconv.Itoa(r.Inflight), number(r.OpsPerS), number(r.P50us), number(r.P99us)); err != nil {
			return err
		}
	}
	for _, r := range ratios {
		if err := t.row(ratioText(r, "\t")); err != nil {
			return err
		}
	}
	return nil
}

// ratioText is a ratio in a line of fields.
func ratioText(r bench.Ratio, between string) string {
	bound := fmt.Sprintf("at least %g", r.AtLeast)
	if r.AtMost != 0 {
		bound = fmt.Sprintf("at most %g", r.AtMost)
	}
	kept := "kept"
	if !r.Kept() {
		kept = "missed"
	}
	return "ratio" + between + r.What + between + strconv.FormatFloat(r.Value, 'f', 2, 64) + between + bound + between + kept
}
