package main

import (
	"strconv"
	"strings"

	"batpak/causal"
	"batpak/codec"

	"github.com/spf13/cobra"
)

// selecting is what flags and argument say of which events are wanted.
type selecting struct {
	cmd     *cobra.Command
	after   uint64
	until   uint64
	kinds   []string
	lane    uint32
	subject string
}

func (s *selecting) bind(cmd *cobra.Command) {
	s.cmd = cmd
	f := cmd.Flags()
	f.Uint64Var(&s.after, "after", 0, "only events behind this `sequence`")
	f.StringSliceVar(&s.kinds, "kind", nil, "only these `kinds`, such as 0x1001")
	f.Uint32Var(&s.lane, "lane", 0, "only this `lane`")
	f.StringVar(&s.subject, "subject", "", "only events of this data `subject`")
}

// selection is what they say. Where is SCOPE or SCOPE/ENTITY.
func (s *selecting) selection(where []string) (codec.Selection, error) {
	sel := codec.Selection{After: s.after, Until: s.until, Subject: s.subject}
	if s.cmd.Flags().Changed("lane") {
		sel.Lane = &s.lane
	}
	for _, text := range s.kinds {
		kind, err := causal.ParseKind(text)
		if err != nil {
			return sel, usage("--kind: %w", err)
		}
		sel.Kinds = append(sel.Kinds, kind)
	}
	if len(where) == 0 {
		return sel, nil
	}
	sel.Scope, sel.Entity, _ = strings.Cut(where[0], "/")
	if err := causal.CheckName("scope", sel.Scope); err != nil {
		return sel, &usageError{err}
	}
	if strings.Contains(where[0], "/") {
		if err := causal.CheckName("entity", sel.Entity); err != nil {
			return sel, &usageError{err}
		}
	}
	return sel, nil
}

// coordinate reads SCOPE/ENTITY. The scope ends at the first slash.
func coordinate(text string) (causal.Coordinate, error) {
	scope, entity, found := strings.Cut(text, "/")
	if !found {
		return causal.Coordinate{}, usage("%q is not SCOPE/ENTITY", text)
	}
	at := causal.Coordinate{Scope: scope, Entity: entity}
	if err := at.Validate(); err != nil {
		return at, &usageError{err}
	}
	return at, nil
}

// sequence reads a sequence; ok is false when the text is none.
func sequence(text string) (seq uint64, ok bool) {
	seq, err := strconv.ParseUint(text, 10, 64)
	return seq, err == nil && seq > 0
}
