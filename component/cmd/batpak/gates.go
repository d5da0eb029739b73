package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/gates"
	"batpak/gates/cel"
	"batpak/gates/gatefile"

	"github.com/spf13/cobra"
)

func (a *app) gatesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gates",
		Short: "Check the rules of a node before it has them",
	}
	cmd.AddCommand(a.gatesCheckCommand())
	return cmd
}

// checking is what the flags of gates check say.
type checking struct {
	*app
	expr, event string
}

func (a *app) gatesCheckCommand() *cobra.Command {
	c := &checking{app: a}
	cmd := &cobra.Command{
		Use:   "check FILE | --expr EXPRESSION",
		Short: "Check a file of gates, or an expression, and try it on an event",
		Long: `Check a file of gates as serve --gates takes it: each mistake is told with its line, and the exit code is
1 when there is one. Without mistakes the names of the gates are printed, in order. --expr takes a
single expression instead, for the gate "expr".

With --event all gates are asked about an event, as a line of append --ndjson: in JSON, with scope, entity,
kind and data at least; a file, or - for standard input. It is judged as the first event of an empty journal.
What each gate says is printed. To a pipe the fields are: gate, permitted or denied, code, message. The
exit code is 3 when one denies.

The file is YAML:

  gates:
    - name: size
      size: {max_bytes: 4096}
    - name: kinds
      kinds:
        - {scope: "guest-*", allow: [0x1001]}
        - {scope: "*", allow: [0x1000-0x1fff]}
    - name: paid-for
      when: {kinds: [0x2001]}
      causes: {at_least: 1, kinds: [0x1001]}
    - name: guests
      when: {scopes: ["guest-*"]}
      rate: {events: 10, per: 1s, burst: 50}
    - name: limit
      cel: {expr: "data.cents <= 5000", message: "no more than 5000", code: over_limit}`,
		Example: `  batpak gates check gates.yaml
  batpak gates check --expr 'data.cents <= 5000' --event - <<< '{"scope":"a","entity":"b","kind":4097,"data":{"cents":9}}'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return c.run(args) },
	}
	cmd.Flags().StringVar(&c.expr, "expr", "", "check this `expression` instead of a file")
	cmd.Flags().StringVar(&c.event, "event", "", "ask about the event in this `file`, or - for standard input")
	return cmd
}

func (c *checking) run(args []string) error {
	if (len(args) == 1) == (c.expr != "") {
		return usage("gates check needs a FILE or --expr, one of them")
	}
	var chain *gates.Chain
	var err error
	if len(args) == 1 {
		chain, err = readGates(args[0])
	} else {
		chain, err = exprGate(c.expr)
	}
	if err != nil {
		return err
	}
	if c.event != "" {
		return c.try(chain)
	}
	t := c.screen.table(column{name: "gate"})
	for _, name := range chain.Names() {
		if c.screen.form == forMachine {
			err = c.machine(&gates.Verdict{Gate: name}, "")
		} else {
			err = t.row(name)
		}
		if err != nil {
			return err
		}
	}
	return t.flush()
}

// try asks all gates about the event.
func (c *checking) try(chain *gates.Chain) error {
	p, err := c.proposal()
	if err != nil {
		return err
	}
	t := c.screen.table(column{name: "gate"}, column{name: "verdict"}, column{name: "code"}, column{name: "message"})
	denied := false
	for _, v := range chain.Evaluate(p, emptyJournal{}) {
		verdict, code, message := "permitted", "", ""
		if d := v.Denial; d != nil {
			denied, verdict, code, message = true, "denied", d.Code, d.Message
			if d.Err != nil { // the payload is the asker's own
				message += ": " + d.Err.Error()
			}
		}
		if c.screen.form == forMachine {
			err = c.machine(&v, verdict)
		} else {
			err = t.row(v.Gate, verdict, code, printable(message))
		}
		if err != nil {
			return err
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	if denied {
		return &toldError{exitRefused}
	}
	return nil
}

// machine prints a gate, and its verdict when there is one, as JSON.
func (c *checking) machine(v *gates.Verdict, verdict string) error {
	line := []any{"gate", v.Gate}
	if verdict != "" {
		line = append(line, "verdict", verdict)
	}
	if d := v.Denial; d != nil {
		line = append(line, "code", d.Code, "message", d.Message)
		if len(d.Details) > 0 {
			line = append(line, "details", d.Details)
		}
		if d.Err != nil {
			line = append(line, "error", d.Err.Error())
		}
	}
	return c.screen.object(line...)
}

func (c *checking) proposal() (*gates.Proposal, error) {
	in := c.in
	if c.event != "-" {
		f, err := os.Open(c.event)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxLine))
	if err != nil {
		return nil, err
	}
	var b codec.Batch
	line := "[" + strings.TrimSpace(string(text)) + "]"
	if err := codec.Unmarshal([]byte(`{"events":`+line+`}`), codec.JSON, &b); err != nil {
		return nil, fmt.Errorf("the event: %s", strings.TrimPrefix(err.Error(), "codec: "))
	}
	if len(b.Events) != 1 {
		return nil, errors.New("the event: one is needed")
	}
	a := &b.Events[0]
	at := causal.Coordinate{Scope: a.Scope, Entity: a.Entity}
	if err := at.Validate(); err != nil {
		return nil, fmt.Errorf("the event: %w", err)
	}
	return &gates.Proposal{
		Header: causal.Header{
			Coordinate: at, Lane: a.Lane, Version: 1, Seq: 1, Kind: a.Kind, Schema: a.Schema, Key: a.Key,
			Time:   causal.HLC{Millis: uint64(time.Now().UnixMilli())},
			Causes: a.Causes, Correlation: a.Correlation, Subject: a.Subject, Meta: a.Meta,
		},
		Data: a.Data,
	}, nil
}

// readGates reads the gates in a file.
func readGates(name string) (*gates.Chain, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return gatefile.Read(name, f)
}

func exprGate(expr string) (*gates.Chain, error) {
	g, err := cel.New("expr", expr, cel.Options{})
	if err != nil {
		return nil, err
	}
	return gates.NewChain(g)
}

// emptyJournal is the view of a journal without events.
type emptyJournal struct{}

func (emptyJournal) Head(causal.Stream) causal.Head { return causal.Head{} }

func (emptyJournal) Events(causal.Stream, uint64) iter.Seq2[gates.Event, error] {
	return func(func(gates.Event, error) bool) {}
}

func (emptyJournal) Find(causal.EventID) (causal.Header, error) {
	return causal.Header{}, errors.New("the journal is empty")
}
