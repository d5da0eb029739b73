package main

import (
	"context"

	"batpak/causal"
	"batpak/component"

	"github.com/spf13/cobra"
)

func (a *app) getCommand() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:     "get ID|SEQUENCE",
		Short:   "Print one event",
		Long:    "Print one event, by its id or by its sequence.\n\n" + eventFields,
		Example: "  batpak get 42\n  batpak get 019a8c1e-0b5e-7c3a-9d51-3f6d2a9be001 --json",
		Args:    cobra.ExactArgs(1),
	}
	cmd.RunE = c.withClient(func(ctx context.Context, client *component.Client, args []string) error {
		ev, err := getEvent(ctx, client, args[0])
		if err != nil {
			return err
		}
		return a.list(sealedEvent(ev))
	})
	c.bind(cmd)
	return cmd
}

func (a *app) openCommand() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:   "open ID...",
		Short: "Print events with their payloads in clear",
		Long: `Print events, by their ids or sequences, with sealed payloads opened. To open all that a selection
selects, see batpak read --open.

` + eventFields,
		Args: cobra.MinimumNArgs(1),
	}
	cmd.RunE = c.withClient(func(ctx context.Context, client *component.Client, args []string) error {
		ids := make([]causal.EventID, len(args))
		for i, arg := range args {
			id, err := causal.ParseEventID(arg)
			if err != nil { // it may be a sequence
				ev, err := getEvent(ctx, client, arg)
				if err != nil {
					return err
				}
				id = ev.ID
			}
			ids[i] = id
		}
		var all []event
		for o, err := range client.OpenIDs(ctx, ids...) {
			if err != nil {
				return err
			}
			all = append(all, openedEvent(o))
		}
		return a.list(all...)
	})
	c.bind(cmd)
	return cmd
}

// getEvent asks for an event by what a command line says.
func getEvent(ctx context.Context, client *component.Client, text string) (causal.Event, error) {
	if seq, ok := sequence(text); ok {
		return client.GetSeq(ctx, seq)
	}
	id, err := causal.ParseEventID(text)
	if err != nil {
		return causal.Event{}, usage("%q is neither a sequence nor an event's id", text)
	}
	return client.Get(ctx, id)
}

// list prints a few events.
func (a *app) list(all ...event) error {
	list := a.screen.newEventList()
	for i := range all {
		if err := list.add(&all[i]); err != nil {
			return err
		}
	}
	return list.flush()
}
