package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"batpak/causal"
	"batpak/codec"

	"github.com/spf13/cobra"
)

// appending is what the flags of append say.
type appending struct {
	*app
	connection
	cmd    *cobra.Command
	kind   string
	schema uint64
	lane   uint32
	key    string
	expect uint64
	meta   []string
	causes []string
	corr   string
	who    string // the data subject
	ack    string
	renew  bool

	ndjson   bool
	inflight int
	stop     bool
	quiet    bool
}

// receiptFields are what a line for a pipe has.
const receiptFields = "sequence, version, id, hash, durable (disk or stream), and new or duplicate"

func (a *app) appendCommand() *cobra.Command {
	s := &appending{app: a}
	cmd := &cobra.Command{
		Use:   "append SCOPE/ENTITY --kind KIND [JSON] | append --ndjson",
		Short: "Append an event, or many",
		Long: `Append an event: its data is JSON, an argument or standard input. The receipt is printed; to a pipe its
fields are: ` + receiptFields + `.

With --ndjson (or - in place of SCOPE/ENTITY) events are read from standard input, one JSON object per
line: the body of an append request with scope and entity in it, such as

  {"scope":"shop","entity":"ada","kind":4097,"data":{"cents":500},"key":"order-1"}

They are sent in order on one connection, up to --inflight of them without waiting for an answer, and
the node takes them in that order. A line that the node was too busy for is sent again; that is the one
case in which it can come behind a later line, and --inflight 1 rules it out. What is refused is
reported with its line, and the rest goes on unless --fail-fast says otherwise. To a pipe, a receipt has
the line's number in front; with --json there is one object per line of input, with "line", and
"error" when it was refused. --key KEY gives each line that has no key of its own the key KEY:LINE, so
that an import that was interrupted can be run again and appends nothing twice.`,
		Example: `  batpak append shop/ada --kind 0x1001 '{"cents":500}' --key payment-81
  date +'{"now":"%s"}' | batpak append clock/tick --kind 0x1001
  batpak append --ndjson --key import-7 < orders.ndjson`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd.Context(), args) },
	}
	s.cmd = cmd
	s.bind(cmd)
	f := cmd.Flags()
	f.StringVar(&s.kind, "kind", "", "`kind`: category and type as 0x1001, or decimal")
	f.Uint64Var(&s.schema, "schema", 0, "`version` of the payload's form")
	f.Uint32Var(&s.lane, "lane", 0, "`lane` of the stream")
	f.StringVar(&s.key, "key", "", "idempotency `key`: a repetition gets the first receipt")
	f.Uint64Var(&s.expect, "expect", 0, "append only if the stream is at this `version`; 0 is empty")
	f.StringArrayVar(&s.meta, "meta", nil, "`name=value` to go with the event; may be repeated")
	f.StringArrayVar(&s.causes, "cause", nil, "`id` of an event that this one follows from, or LINEAGE/ID; may be repeated")
	f.StringVar(&s.corr, "correlation", "", "`id` of the event that a conversation began with")
	f.StringVar(&s.who, "subject", "", "data `subject`: whose personal data it is")
	f.StringVar(&s.ack, "ack", "disk", "answer when it is on disk, or in the onward stream too: disk or stream")
	f.BoolVar(&s.renew, "renew", false, "append into an erased key scope too, under a new key")
	f.BoolVar(&s.ndjson, "ndjson", false, "read events from standard input, one JSON object per line")
	f.IntVar(&s.inflight, "inflight", 256, "with --ndjson: `number` of events on their way at most")
	f.BoolVar(&s.stop, "fail-fast", false, "with --ndjson: send nothing more after the first refusal")
	f.BoolVarP(&s.quiet, "quiet", "q", false, "with --ndjson: print no receipts")
	complete(cmd, "ack", []string{"disk", "stream"})
	return cmd
}

func (s *appending) run(ctx context.Context, args []string) error {
	if s.ack != string(codec.AckDisk) && s.ack != string(codec.AckStream) {
		return usage("--ack %q is neither disk nor stream", s.ack)
	}
	if len(args) == 1 && args[0] == "-" {
		s.ndjson, args = true, nil
	}
	if s.ndjson {
		return s.lines(ctx, args)
	}
	for _, name := range []string{"inflight", "fail-fast", "quiet"} {
		if s.cmd.Flags().Changed(name) {
			return usage("--%s is for --ndjson", name)
		}
	}
	return s.one(ctx, args)
}

// one appends one event.
func (s *appending) one(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return usage("append needs SCOPE/ENTITY, or --ndjson")
	}
	at, err := coordinate(args[0])
	if err != nil {
		return err
	}
	body, err := s.body()
	if err != nil {
		return err
	}
	if body.Data, err = s.data(args[1:]); err != nil {
		return err
	}
	nc, client, err := s.client()
	if err != nil {
		return err
	}
	defer nc.Close()
	receipt, err := client.Append(ctx, at, body)
	if err != nil {
		return err
	}
	return s.show(&receipt)
}

// body is an append without its payload.
func (s *appending) body() (codec.Append, error) {
	if s.kind == "" {
		return codec.Append{}, usage("append needs --kind")
	}
	kind, err := causal.ParseKind(s.kind)
	if err != nil {
		return codec.Append{}, usage("--kind: %w", err)
	}
	a := codec.Append{
		Kind: kind, Schema: s.schema, Lane: s.lane, Key: s.key, Subject: s.who,
		Ack: codec.Ack(s.ack), Renew: s.renew,
	}
	if s.cmd.Flags().Changed("expect") {
		a.Expect = &s.expect
	}
	for _, entry := range s.meta {
		name, value, found := strings.Cut(entry, "=")
		if !found {
			return a, usage("--meta %q is not name=value", entry)
		}
		if a.Meta == nil {
			a.Meta = map[string]string{}
		}
		a.Meta[name] = value
	}
	for _, text := range s.causes {
		cause, err := parseCause(text)
		if err != nil {
			return a, usage("--cause: %w", err)
		}
		a.Causes = append(a.Causes, cause)
	}
	if s.corr != "" {
		if a.Correlation, err = causal.ParseEventID(s.corr); err != nil {
			return a, usage("--correlation: %w", err)
		}
	}
	return a, nil
}

// parseCause reads ID or LINEAGE/ID.
func parseCause(text string) (c causal.Cause, err error) {
	lineage, id, found := strings.Cut(text, "/")
	if !found {
		id = lineage
	} else if c.Lineage, err = causal.ParseLineage(lineage); err != nil {
		return c, err
	}
	c.ID, err = causal.ParseEventID(id)
	return c, err
}

// data is the payload: the argument, or standard input.
func (s *appending) data(args []string) ([]byte, error) {
	var text []byte
	if len(args) > 0 {
		text = []byte(args[0])
	} else {
		if _, ok := terminal(s.in); ok {
			return nil, usage("append needs the data: JSON as an argument or on standard input")
		}
		var err error
		if text, err = io.ReadAll(io.LimitReader(s.in, maxLine+1)); err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		if len(text) > maxLine {
			return nil, fmt.Errorf("standard input has more than %s", sizeText(maxLine))
		}
	}
	data, err := codec.JSONToMsgpack(nil, text)
	if err != nil {
		return nil, usage("the data is not JSON: %s", strings.TrimPrefix(err.Error(), "codec: "))
	}
	return data, nil
}

// show prints a receipt.
func (s *appending) show(r *codec.Receipt) error {
	switch s.screen.form {
	case forMachine:
		return s.screen.body(r)
	case forPipe:
		return s.screen.table(make([]column, 6)...).row(receiptCells(r)...)
	}
	durable := "on disk"
	if r.Durable == codec.AckStream {
		durable = "on disk, and in the onward stream"
	}
	list := []pair{
		{"sequence", grouped(r.Seq), bold}, {"version", grouped(r.Version), plain},
		{"id", r.ID.String(), plain}, {"hash", r.Hash.String(), dim}, {"durable", durable, green},
	}
	if r.Duplicate {
		list = append(list, pair{"duplicate", "the key was used before; this is the first receipt", yellow})
	}
	return s.screen.pairs(list...)
}

// receiptCells are a receipt's fields for a pipe.
func receiptCells(r *codec.Receipt) []string {
	fresh := "new"
	if r.Duplicate {
		fresh = "duplicate"
	}
	return []string{
		strconv.FormatUint(r.Seq, 10), strconv.FormatUint(r.Version, 10), r.ID.String(), r.Hash.String(), string(r.Durable), fresh,
	}
}
