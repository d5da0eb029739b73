package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/faultfs"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
)

// generating is what the flags of generate say.
type generating struct {
	*app
	events uint64
	size   byteSize
	dir    string
}

func (a *app) generateCommand() *cobra.Command {
	g := &generating{app: a, size: 256}
	cmd := &cobra.Command{
		Use:   "generate --events N --dir DIR",
		Short: "Make a journal of events that mean nothing, to try things on",
		Long: `Make a journal, called "bench", of as many events as --events says, in a directory that has none yet. It is the
journal that bench --events measures:

  - a hundred events in each stream, of the entities stream-0 and so on at scope "bench", all streams in turns;
  - appended a hundred at a time, and each with a cause, the event a hundred before it; the first hundred have none;
  - four kinds, 0x1001 to 0x1004, and on every tenth event one of a thousand data subjects, person-0 and so on;
  - payloads of --size: a map of cents, a number, and note, a text.

The same flags give the same events, but for ids and times. A million events take about 600 MB. When it is
interrupted, what was appended stays. To a pipe the one field is the number of events.`,
		Example: "  batpak generate --events 1000000 --dir ./million\n  batpak verify --dir ./million",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&g.events, "events", 0, "how many")
	f.Var(&g.size, "size", "size of a payload, 32 to 65535")
	f.StringVar(&g.dir, "dir", "", "the journal's `directory`")
	return cmd
}

func (g *generating) run(ctx context.Context) error {
	p := plot{events: g.events, size: int(g.size)}
	if g.dir == "" || g.events == 0 {
		return usage("generate needs --events and --dir")
	}
	if err := p.check(); err != nil {
		return err
	}
	if hasJournal(g.dir) {
		return fmt.Errorf("%s has a journal already", g.dir)
	}
	bar := g.newProgress(int64(p.events), "generate", "events")
	defer bar.Finish()
	if err := p.generate(ctx, g.dir, bar); err != nil {
		return inDir(g.dir, err)
	}
	_ = bar.Finish() // a terminal that cannot be written to shows nothing
	if g.screen.form == forMachine {
		return g.screen.object("events", p.events)
	}
	t := g.screen.table(column{name: "events", right: true, style: bold})
	if err := t.row(fmt.Sprint(p.events)); err != nil {
		return err
	}
	return t.flush()
}

// plot is a journal that can be generated. Events are numbered by their sequence, from 1.
type plot struct {
	events uint64
	size   int // of a payload, in bytes
}

const (
	plotBatch    = 100 // events of a batch, so a cause is so many before its effect
	plotStream   = 100 // events of a stream
	plotKinds    = 4
	plotSubjects = 1000
	plotName     = "bench"
)

func (p plot) check() error {
	if p.size < 32 || p.size > 1<<16-1 {
		return usage("--size must be 32 to 65535 bytes")
	}
	return nil
}

// streams is how many streams there are; they take turns.
func (p plot) streams() uint64 { return max(1, p.events/plotStream) }

// at is the coordinate of an event.
func (p plot) at(seq uint64) causal.Coordinate {
	return causal.Coordinate{Scope: plotName, Entity: fmt.Sprintf("stream-%d", (seq-1)%p.streams())}
}

// lengthOf is how many events there are in the stream of an event.
func (p plot) lengthOf(seq uint64) uint64 {
	nth := (seq - 1) % p.streams()
	return (p.events - nth + p.streams() - 1) / p.streams()
}

// depthOf is how many causes there are behind an event, one behind the other.
func (p plot) depthOf(seq uint64) uint64 { return (seq - 1) / plotBatch }

// centsOf is the number in an event's payload.
func centsOf(seq uint64) uint64 { return uint64(uint32(seq * 2654435761)) }

// cents is the sum of all numbers.
func (p plot) cents() (sum uint64) {
	for seq := uint64(1); seq <= p.events; seq++ {
		sum += centsOf(seq)
	}
	return sum
}

// payload is the cents and a note as MessagePack, of exactly the size.
func (p plot) payload(seq uint64) []byte {
	b := make([]byte, 0, p.size)
	b = append(b, "\x82\xa5cents\xce"...)
	b = binary.BigEndian.AppendUint32(b, uint32(centsOf(seq)))
	b = append(b, "\xa4note\xda"...)
	b = binary.BigEndian.AppendUint16(b, uint16(p.size-len(b)-2))
	x := uint32(seq)
	for len(b) < p.size { // letters that do not compress to nothing
		x = x*1664525 + 1013904223
		b = append(b, 'a'+byte(x>>24)%26)
	}
	return b
}

// generate makes the journal in a directory that has none.
func (p plot) generate(ctx context.Context, dir string, bar *progressbar.ProgressBar) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return p.open(ctx, dir, func(j *journal.Journal) error { return p.fill(ctx, j, bar) })
}

// open opens a plot's journal for a function, and makes it when there is none.
func (p plot) open(ctx context.Context, dir string, do func(j *journal.Journal) error) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	j, err := journal.Open(ctx, faultfs.Dir(root), journal.Options{Name: plotName})
	if err != nil {
		return err
	}
	err = do(j)
	if e := j.Close(); err == nil {
		err = e
	}
	return err
}

// fill appends the events.
func (p plot) fill(ctx context.Context, j *journal.Journal, bar *progressbar.ProgressBar) (err error) {
	var before []codec.Receipt // of the last batch: its events are the causes of this one's
	for seq := uint64(1); seq <= p.events; {
		batch := &journal.Batch{Events: make([]journal.Append, 0, plotBatch)}
		for ; seq <= p.events && len(batch.Events) < plotBatch; seq++ {
			e := journal.Append{Coordinate: p.at(seq), Kind: benchKind + causal.Kind(seq%plotKinds), Data: p.payload(seq)}
			if seq%10 == 0 {
				e.Subject = subjectOf(seq / 10 % plotSubjects)
			}
			if len(before) > 0 {
				e.Causes = []causal.Cause{{ID: before[len(batch.Events)].ID}}
			}
			batch.Events = append(batch.Events, e)
		}
		if before, err = j.Append(ctx, batch); err != nil {
			return err
		}
		_ = bar.Add(len(batch.Events)) // a terminal that cannot be written to shows nothing
	}
	return nil
}
