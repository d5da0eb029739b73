package main

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"time"

	"batpak/causal"
	"batpak/component/journal"

	"github.com/spf13/cobra"
)

// erasing prints the erasures on record.
type erasing struct {
	*app
	connection
	keys wrapping
	dir  string
}

func (a *app) erasedCommand() *cobra.Command {
	e := &erasing{app: a}
	cmd := &cobra.Command{
		Use:   "erased [--dir DIR]",
		Short: "Print the erasures that the journal has on record",
		Long: `Print every erasure: when, of what, how many events it covered, which keys it destroyed, who asked for it
and why. To a pipe the fields are: sequence, time, by what (entity, kind, category, event or subject), of
which one, events, the ids of the keys with commas between them, actor, reason. With --json it is the payload
of the event that has the erasure on record, with "seq", "id" and "time" of that event in front.

With --dir they are those of a journal that is not being served. When its payload keys are wrapped,
--keys-wrap says by what, as for serve.`,
		Example: "  batpak erased --journal people\n  batpak erased --dir /var/lib/people --json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return e.run(cmd.Context()) },
	}
	e.connection.bind(cmd)
	e.keys.bind(cmd)
	cmd.Flags().StringVar(&e.dir, "dir", "", "read the journal in this `directory`, which nobody serves")
	return cmd
}

func (e *erasing) run(ctx context.Context) error {
	if e.dir != "" {
		keys, err := e.keys.wrapper(ctx, e.app, askKeys)
		if err != nil {
			return err
		}
		return withJournal(ctx, e.dir, e.onlyName(), keys, func(j *journal.Journal) error {
			return e.list(j.Events(ctx, erasuresOnRecord()))
		})
	}
	nc, client, err := e.client()
	if err != nil {
		return err
	}
	defer nc.Close()
	return e.list(client.Read(ctx, erasuresOnRecord()))
}

// list prints the erasures that events have on record.
func (e *erasing) list(events iter.Seq2[causal.Event, error]) error {
	t := e.screen.table(
		column{name: "seq", right: true, style: bold},
		column{name: "time", style: dim},
		column{name: "erased", style: cyan},
		column{name: "events", right: true},
		column{name: "keys", right: true},
		column{name: "actor"},
		column{name: "reason"},
	)
	rows := 0
	for ev, err := range events {
		if err != nil {
			return err
		}
		if err := e.add(t, &ev); err != nil {
			return fmt.Errorf("event %d: %w", ev.Seq, err)
		}
		if rows++; rows%pageSize == 0 {
			if err := t.flush(); err != nil {
				return err
			}
		}
	}
	return t.flush()
}

func (e *erasing) add(t *table, ev *causal.Event) error {
	erasure, err := erasureOf(ev)
	if err != nil {
		return err
	}
	seq, covered := strconv.FormatUint(ev.Seq, 10), strconv.FormatUint(erasure.Events, 10)
	by, which := selector(&erasure)
	at := time.UnixMilli(int64(ev.Time.Millis))
	switch e.screen.form {
	case forMachine:
		return e.screen.body(&erasure, "seq", seq, "id", `"`+ev.ID.String()+`"`, "time", strconv.FormatUint(ev.Time.Millis, 10))
	case forPipe:
		return t.row(seq, at.UTC().Format("2006-01-02T15:04:05.000Z"), by, which, covered, keyList(erasure.Keys), erasure.Actor, erasure.Reason)
	}
	return t.row(seq, at.Format("2006-01-02 15:04:05"), by+" "+which, covered, strconv.Itoa(len(erasure.Keys)), erasure.Actor, erasure.Reason)
}
