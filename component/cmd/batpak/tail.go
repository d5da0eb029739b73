package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"batpak/codec"
	"batpak/component"
	"batpak/component/relay"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
)

// tailing prints events as they come.
type tailing struct {
	*app
	connection
	selecting
	client *component.Client
	list   *eventList
	sel    codec.Selection
	stream string
	poll   time.Duration
	open   bool
}

func (a *app) tailCommand() *cobra.Command {
	t := &tailing{app: a}
	cmd := &cobra.Command{
		Use:   "tail [SCOPE[/ENTITY]]",
		Short: "Print events as they come, until interrupted",
		Long: `Print events as they come, from now on or with --after from there on, until interrupted. They come from
the journal's onward stream when there is one, and else by asking the node again and again.

` + eventFields,
		Example: "  batpak tail\n  batpak tail shop --after 0 --json",
		Args:    cobra.MaximumNArgs(1),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if t.sel, err = t.selection(args); err != nil {
			return err
		}
		nc, client, err := t.connection.client()
		if err != nil {
			return err
		}
		defer nc.Close()
		t.client = client
		err = t.run(cmd.Context(), nc)
		if cmd.Context().Err() != nil {
			return nil // this is how it ends
		}
		return err
	}
	t.connection.bind(cmd)
	t.selecting.bind(cmd)
	f := cmd.Flags()
	f.Lookup("after").Usage = "begin behind this `sequence`, 0 for the first event (default: now)"
	f.StringVar(&t.stream, "stream", "", "`name` of the onward stream (default BATPAK_ and the journal's name in upper case)")
	f.DurationVar(&t.poll, "poll", 500*time.Millisecond, "how often to ask when there is no onward stream")
	f.BoolVar(&t.open, "open", false, "open sealed payloads")
	return cmd
}

func (t *tailing) run(ctx context.Context, nc *nats.Conn) error {
	if t.poll <= 0 {
		return usage("--poll must be more than nothing")
	}
	if t.stream == "" {
		t.stream = relay.StreamName(t.connection.journal)
	}
	t.list = t.screen.newEventList()
	stream, err := t.onward(ctx, nc)
	if err != nil {
		return err
	}
	if stream != nil {
		return t.follow(ctx, stream)
	}
	return t.ask(ctx)
}

// onward returns the journal's onward stream, nil when there is none.
func (t *tailing) onward(ctx context.Context, nc *nats.Conn) (jetstream.Stream, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	stream, err := js.Stream(ctx, t.stream)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("stream %s: %w", t.stream, err)
	}
	if of := stream.CachedInfo().Config.Metadata[relay.MetadataJournal]; of != t.connection.journal {
		return nil, fmt.Errorf("stream %s is of journal %q, not %q", t.stream, of, t.connection.journal)
	}
	return stream, nil
}

// follow prints what the onward stream has and gets.
func (t *tailing) follow(ctx context.Context, stream jetstream.Stream) error {
	cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy}
	if t.cmd.Flags().Changed("after") {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, t.sel.After+1
	}
	if t.sel.Scope != "" {
		subject := t.prefix + "." + t.connection.journal + ".events." + codec.EscapeToken(t.sel.Scope) + "."
		if t.sel.Entity != "" {
			subject += codec.EscapeToken(t.sel.Entity) + "."
		}
		cfg.FilterSubjects = []string{subject + ">"}
	}
	consumer, err := stream.OrderedConsumer(ctx, cfg)
	if err != nil {
		return fmt.Errorf("stream %s: %w", t.stream, err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		return fmt.Errorf("stream %s: %w", t.stream, err)
	}
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	defer messages.Stop()
	for {
		m, err := messages.Next()
		if err != nil {
			return fmt.Errorf("stream %s: %w", t.stream, err)
		}
		ev, err := codec.DecodeEnvelope(m.Data())
		if err != nil {
			return fmt.Errorf("stream %s: %w", t.stream, err)
		}
		e := sealedEvent(ev)
		if !t.wanted(&e) {
			continue
		}
		if err := t.print(ctx, &e); err != nil {
			return err
		}
	}
}

// wanted applies the filters that a subject does not have.
func (t *tailing) wanted(e *event) bool {
	return (t.sel.Lane == nil || *t.sel.Lane == e.Lane) &&
		(t.sel.Subject == "" || t.sel.Subject == e.Subject) &&
		(len(t.sel.Kinds) == 0 || slices.Contains(t.sel.Kinds, e.Kind))
}

// print prints an event of the stream at once.
func (t *tailing) print(ctx context.Context, e *event) error {
	if t.open {
		for o, err := range t.client.OpenIDs(ctx, e.ID) {
			if err != nil {
				return err
			}
			*e = openedEvent(o)
		}
	}
	if err := t.list.add(e); err != nil {
		return err
	}
	return t.list.flush()
}

// ask prints what the node has, and asks again.
func (t *tailing) ask(ctx context.Context) error {
	if !t.cmd.Flags().Changed("after") {
		st, err := t.client.Status(ctx)
		if err != nil {
			return err
		}
		t.sel.After = st.Durable
	}
	t.sel.Limit = pageSize
	tick := time.NewTicker(t.poll)
	defer tick.Stop()
	for {
		for e, err := range events(ctx, t.client, t.sel, t.open) {
			if err != nil {
				return err
			}
			t.sel.After = e.Seq
			if err := t.list.add(&e); err != nil {
				return err
			}
		}
		if err := t.list.flush(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
