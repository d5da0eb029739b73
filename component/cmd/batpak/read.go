package main

import (
	"context"

	"batpak/codec"
	"batpak/component"

	"github.com/spf13/cobra"
)

// eventFields are what a line for a pipe has, for the help of the commands that print events.
const eventFields = "To a pipe, an event's fields are: sequence, time, scope, entity, lane, version, kind, id, hash, data.\n" +
	"The data of a sealed event is sealed:KEYID; opened it is the payload, or shredded, or key_missing."

// pageSize is how many events are asked for at a time.
const pageSize = 500

func (a *app) readCommand() *cobra.Command {
	var (
		c     connection
		sel   selecting
		limit uint64
		open  bool
	)
	cmd := &cobra.Command{
		Use:   "read [SCOPE[/ENTITY]]",
		Short: "Print events",
		Long:  "Print the events that the journal has now, all or those of a scope or an entity.\n\n" + eventFields,
		Example: `  batpak read shop/ada
  batpak read shop --kind 0x1001,0x1002 --after 1000 --limit 20
  batpak read people --open --json`,
		Args: cobra.MaximumNArgs(1),
	}
	cmd.RunE = c.withClient(func(ctx context.Context, client *component.Client, args []string) error {
		s, err := sel.selection(args)
		if err != nil {
			return err
		}
		return a.read(ctx, client, s, limit, open)
	})
	c.bind(cmd)
	sel.bind(cmd)
	f := cmd.Flags()
	f.Uint64Var(&sel.until, "until", 0, "only events up to this `sequence`")
	f.Uint64Var(&limit, "limit", 0, "at most this `number` of events; 0 is all")
	f.BoolVar(&open, "open", false, "open sealed payloads")
	return cmd
}

// read prints what a selection selects, page by page.
func (a *app) read(ctx context.Context, client *component.Client, sel codec.Selection, limit uint64, open bool) error {
	list := a.screen.newEventList()
	sel.Limit = pageSize
	if limit > 0 {
		sel.Limit = min(limit, pageSize)
	}
	var count uint64
	for e, err := range events(ctx, client, sel, open) {
		if err != nil {
			return err
		}
		if err := list.add(&e); err != nil {
			return err
		}
		count++
		if count%pageSize == 0 {
			if err := list.flush(); err != nil {
				return err
			}
		}
		if count == limit {
			break
		}
	}
	return list.flush()
}

// events reads a selection, opened or as it is.
func events(ctx context.Context, client *component.Client, sel codec.Selection, open bool) func(yield func(event, error) bool) {
	return func(yield func(event, error) bool) {
		if open {
			for o, err := range client.Open(ctx, sel) {
				if !yield(openedEvent(o), err) {
					return
				}
			}
			return
		}
		for ev, err := range client.Read(ctx, sel) {
			if !yield(sealedEvent(ev), err) {
				return
			}
		}
	}
}

func openedEvent(o component.Opened) event {
	return event{Event: o.Event, opened: true, state: o.State, payload: o.Payload}
}
