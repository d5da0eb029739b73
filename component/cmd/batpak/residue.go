package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"batpak/causal"
	"batpak/component/journal"
	"batpak/faultfs"

	"github.com/spf13/cobra"
)

// searching is what the flags of verify --residue say.
type searching struct {
	on                  bool
	entity, event, kind string
	category, person    string
}

const residueHelp = `

With --residue the files of a directory are searched for payloads that can still be had of one entity, kind,
category, event or data subject: payloads in the log that were never sealed, and keys that open those that
were sealed, wherever their bytes are in the folder of the keys, whatever the keyset says of them. A node may
be serving the directory, and nothing is changed. It takes about half a second for each megabyte of keys and
each key. Each finding is printed: what it is (plain; or a key that is live, destroyed or stray), the file,
the offset, the sequence of the first event that can be read with it, and how many there are. To a pipe these
are the fields of a line. The exit code is 4 when there is something, and what was erased leaves nothing.
Copies of the directory, the onward stream and a NATS server's files in it are not searched.`

func (s *searching) bind(cmd *cobra.Command) {
	cmd.Long += residueHelp
	cmd.Use += " | --residue --dir DIR --subject SUBJECT"
	f := cmd.Flags()
	f.BoolVar(&s.on, "residue", false, "search for payloads that can still be had, of one of the following")
	f.StringVar(&s.entity, "entity", "", "of this `SCOPE/ENTITY`")
	f.StringVar(&s.kind, "kind", "", "of this `kind`, such as 0x1001")
	f.StringVar(&s.category, "category", "", "of this `category` of kinds, such as 1")
	f.StringVar(&s.event, "event", "", "of the event with this `id`")
	f.StringVar(&s.person, "subject", "", "of this data `subject`")
}

// used says whether a flag is set that is for --residue alone.
func (s *searching) used() bool {
	return s.entity != "" || s.kind != "" || s.category != "" || s.event != "" || s.person != ""
}

// selector is what is searched for.
func (s *searching) selector() (e journal.Erasure, err error) {
	n := 0
	for _, text := range []string{s.entity, s.kind, s.category, s.event, s.person} {
		if text != "" {
			n++
		}
	}
	if n != 1 {
		return e, usage("--residue needs one of --entity, --kind, --category, --event and --subject")
	}
	switch {
	case s.entity != "":
		at, err := coordinate(s.entity)
		e.Entity = &at
		return e, err
	case s.kind != "":
		kind, err := causal.ParseKind(s.kind)
		if err != nil {
			return e, usage("--kind: %w", err)
		}
		e.Kind = &kind
	case s.category != "":
		n, err := strconv.ParseUint(s.category, 0, 4)
		if err != nil {
			return e, usage("--category %q is not 0 to 15", s.category)
		}
		category := uint8(n)
		e.Category = &category
	case s.event != "":
		if e.Event, err = causal.ParseEventID(s.event); err != nil {
			return e, usage("--event: %w", err)
		}
	default:
		e.Subject = s.person
	}
	return e, nil
}

// residue searches, and tells what it finds.
func (v *verifying) residue(ctx context.Context) error {
	if !v.search.on {
		return usage("--entity, --kind, --category, --event and --subject are for --residue")
	}
	e, err := v.search.selector()
	if err != nil {
		return err
	}
	if v.dir == "" || v.receipts != "" || v.from > 0 || v.to > 0 {
		return usage("--residue goes with --dir, and without --receipts, --from and --to")
	}
	keys, err := v.keys.wrapper(ctx, v.app, askKeys)
	if err != nil {
		return err
	}
	defer forget(keys)
	root, err := os.OpenRoot(v.dir)
	if err != nil {
		return inDir(v.dir, err)
	}
	defer root.Close()
	bar := v.newProgress(-1, "search", "findings")
	defer bar.Finish()
	began := time.Now()
	table := v.screen.table(column{name: "what", style: red}, column{name: "file"}, column{name: "offset", right: true},
		column{name: "sequence", right: true}, column{name: "events", right: true}, column{name: "key", style: dim})
	done, err := journal.FindResidue(ctx, faultfs.Dir(root), keys, e, func(r journal.Residue) error {
		_ = bar.Add(1) // a terminal that cannot be written to shows nothing
		key := ""
		if r.What != journal.ResiduePlain {
			key = r.Key.String()
		}
		if v.screen.form == forMachine {
			return v.screen.object("what", r.What, "file", r.File, "offset", r.Offset, "seq", r.Seq, "events", r.Events, "key", key)
		}
		return table.row(r.What, r.File, strconv.FormatInt(r.Offset, 10), strconv.FormatUint(r.Seq, 10), strconv.FormatUint(r.Events, 10), key)
	})
	if err != nil {
		return inDir(v.dir, err)
	}
	_ = bar.Finish()
	if err := table.flush(); err != nil {
		return err
	}
	if err := v.searched(&done, time.Since(began)); err != nil {
		return err
	}
	if done.Found > 0 {
		return &toldError{exitDamaged}
	}
	return nil
}

// searched sums a search up.
func (v *verifying) searched(done *journal.Searched, took time.Duration) error {
	switch v.screen.form {
	case forMachine:
		return v.screen.object("residue", done.Found > 0, "found", done.Found, "events", done.Of, "keys", done.Keys, "searched", done.Events,
			"ms", took.Milliseconds())
	case forPipe:
		if done.Found == 0 {
			return v.screen.table(column{}).row("none")
		}
		return nil
	}
	word, look := "none", green
	if done.Found > 0 {
		word, look = fmt.Sprintf("%d places", done.Found), red
	}
	return v.screen.pairs(pair{"residue", word, look}, pair{"events", fmt.Sprintf("%s of %s, under %d keys", grouped(done.Of), grouped(done.Events), done.Keys), plain},
		pair{"took", brief(took), plain})
}
