package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"

	"github.com/spf13/cobra"
)

// shredding is what the flags of shred say.
type shredding struct {
	*app
	connection
	cmd                                   *cobra.Command
	entity, kind, category, event, person string
	reason, actor                         string
	yes                                   bool
}

func (a *app) shredCommand() *cobra.Command {
	s := &shredding{app: a}
	cmd := &cobra.Command{
		Use:   "shred (--entity SCOPE/ENTITY | --kind KIND | --category N | --event ID | --subject ID) --reason TEXT",
		Short: "Erase payloads for good, by destroying their key",
		Long: `Erase the payloads of one key scope: its key is destroyed, and nothing opens them any more, on this node
or from a backup of its keys that the node opens. What to erase is said in the way that the journal seals by.
Events, hashes and chains stay, and so does the erasure with its reason and who asked for it: those are not
erased by anything, so no names of people belong there. What left the node in clear it cannot reach:
copies that readers made, and old copies of the node's keys.

On a terminal it shows first what is going to be erased, and asks. The number of events is what reading
finds within a few seconds; that of the receipt is exact. Scripts say --yes, and then nothing is read
before. Erasing again is safe, also when it is not known whether a first try was done: it is on record once
more then, and destroys nothing.

What was done is printed: the receipt of the event that has it on record, the ids of the keys that were
destroyed, and how many events they had sealed. To a pipe the fields are: sequence, id, hash, events, and
the ids with commas between them.`,
		Example: `  batpak shred --journal people --subject person-81 --reason "request 12 of 3 May" --actor dpo
  batpak shred --entity shop/ada --reason "test data" --yes --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context()) },
	}
	s.cmd = cmd
	s.bind(cmd)
	f := cmd.Flags()
	f.StringVar(&s.entity, "entity", "", "erase the payloads of this `SCOPE/ENTITY`")
	f.StringVar(&s.kind, "kind", "", "erase those of this `kind`, such as 0x1001")
	f.StringVar(&s.category, "category", "", "erase those of this `category` of kinds, such as 1")
	f.StringVar(&s.event, "event", "", "erase that of the event with this `id`")
	f.StringVar(&s.person, "subject", "", "erase those of this data `subject`")
	f.StringVar(&s.reason, "reason", "", "why; it stays on record (required)")
	f.StringVar(&s.actor, "actor", "", "`name` of who asks for it; it stays on record")
	f.BoolVarP(&s.yes, "yes", "y", false, "erase without asking")
	cmd.MarkFlagsOneRequired("entity", "kind", "category", "event", "subject")
	cmd.MarkFlagsMutuallyExclusive("entity", "kind", "category", "event", "subject")
	return cmd
}

func (s *shredding) run(ctx context.Context) error {
	r, err := s.request()
	if err != nil {
		return err
	}
	if _, ok := terminal(s.in); !ok && !s.yes {
		return usage("shred asks before it erases, and standard input is no terminal: --yes erases without asking")
	}
	nc, client, err := s.client()
	if err != nil {
		return err
	}
	defer nc.Close()
	if !s.yes {
		if err := s.confirm(ctx, client, r); err != nil {
			return err
		}
	}
	done, err := client.Shred(ctx, *r)
	if err != nil {
		return err
	}
	return s.show(&done)
}

// request is what the flags ask for.
func (s *shredding) request() (*codec.ShredRequest, error) {
	if strings.TrimSpace(s.reason) == "" {
		return nil, usage("shred needs --reason, which stays on record")
	}
	r := &codec.ShredRequest{Reason: s.reason, Actor: s.actor}
	changed := s.cmd.Flags().Changed
	switch {
	case changed("entity"):
		at, err := coordinate(s.entity)
		if err != nil {
			return nil, usage("--entity: %w", err)
		}
		r.Entity = &at
	case changed("kind"):
		kind, err := causal.ParseKind(s.kind)
		if err != nil {
			return nil, usage("--kind: %w", err)
		}
		r.Kind = &kind
	case changed("category"):
		n, err := strconv.ParseUint(s.category, 0, 4) // 4 bits
		if err != nil {
			return nil, usage("--category %q is not 1 to 15", s.category)
		}
		category := uint8(n)
		r.Category = &category
	case changed("event"):
		id, err := causal.ParseEventID(s.event)
		if err != nil {
			return nil, usage("--event: %w", err)
		}
		r.Event = id
	default:
		if err := causal.CheckName("subject", s.person); err != nil {
			return nil, usage("--subject: %w", err)
		}
		r.Subject = s.person
	}
	return r, nil
}

// confirm shows what is going to be erased, and has it typed once more.
func (s *shredding) confirm(ctx context.Context, client *component.Client, r *codec.ShredRequest) error {
	events, err := s.foresee(ctx, client, r)
	if err != nil {
		return err
	}
	by, which := selector(&codec.Erasure{Entity: r.Entity, Kind: r.Kind, Category: r.Category, Event: r.Event, Subject: r.Subject})
	list := []pair{
		{"journal", s.journal, bold}, {"erase", "every payload that is sealed for " + by + " " + which, red},
		{"events", events, plain}, {"reason", r.Reason, plain},
	}
	if r.Actor != "" {
		list = append(list, pair{"actor", r.Actor, plain})
	}
	aside := s.newScreenOn(s.err)
	if err := aside.pairs(list...); err != nil {
		return err
	}
	if err := aside.close(); err != nil {
		return err
	}
	typed, err := s.ask(ctx, fmt.Sprintf("This cannot be undone. Type %s to erase: ", printable(which)))
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(s.err)
		return err
	case err != nil:
		return fmt.Errorf("nothing was erased: %w", err)
	case typed != which:
		return errors.New("nothing was erased: what was typed is something else")
	}
	return nil
}

// selector says by what an erasure selects, and which one.
func selector(e *codec.Erasure) (by, which string) {
	switch {
	case e.Entity != nil:
		return "entity", e.Entity.String()
	case e.Kind != nil:
		return "kind", e.Kind.String()
	case e.Category != nil:
		return "category", strconv.Itoa(int(*e.Category))
	case !e.Event.IsZero():
		return "event", e.Event.String()
	}
	return "subject", e.Subject
}

// keyList is the ids of keys in one field.
func keyList(keys []causal.KeyID) string {
	list := make([]string, len(keys))
	for i, k := range keys {
		list[i] = k.String()
	}
	return strings.Join(list, ",")
}

func (s *shredding) show(done *codec.ShredReply) error {
	r := &done.Receipt
	switch s.screen.form {
	case forMachine:
		return s.screen.body(done)
	case forPipe:
		return s.screen.table(make([]column, 5)...).row(strconv.FormatUint(r.Seq, 10), r.ID.String(), r.Hash.String(),
			strconv.FormatUint(done.Events, 10), keyList(done.Keys))
	}
	list := []pair{
		{"erased", grouped(done.Events) + " events", green}, {"sequence", grouped(r.Seq), bold},
		{"id", r.ID.String(), plain}, {"hash", r.Hash.String(), dim},
	}
	for _, k := range done.Keys {
		list = append(list, pair{"key", k.String() + " destroyed", plain})
	}
	if len(done.Keys) == 0 {
		list = append(list, pair{"keys", "none: it had been erased before", yellow})
	}
	return s.screen.pairs(list...)
}
