package main

import (
	"context"
	"strconv"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"

	"github.com/spf13/cobra"
)

func (a *app) headCommand() *cobra.Command {
	var (
		c    connection
		lane uint32
		save string
	)
	cmd := &cobra.Command{
		Use:   "head SCOPE/ENTITY | --save FILE",
		Short: "Print where a stream stands",
		Long: `Print the version, sequence and hash of a stream's last event; version and sequence are 0, and the
hash is empty, when it has none. To a pipe the fields are: version, sequence, hash.

With --save, read the whole journal and keep where it stands in a file: the last sequence, and a commitment to every
event up to it: what the node publishes too, see batpak witness. When the file is there, the history has to go on from it, else the file is kept and the exit code is 4.
batpak verify --since checks the same later. Printed are sequence and commitment.`,
		Example: "  batpak head shop/ada\n  batpak head --save orders.head",
		Args:    cobra.MaximumNArgs(1),
	}
	cmd.RunE = c.withClient(func(ctx context.Context, client *component.Client, args []string) error {
		if save != "" {
			return a.saveHead(ctx, client, save)
		}
		at, err := coordinate(args[0])
		if err != nil {
			return err
		}
		head, err := client.Head(ctx, causal.Stream{Coordinate: at, Lane: lane})
		if err != nil {
			return err
		}
		if a.screen.form == forMachine {
			return a.screen.body(&codec.HeadReply{Version: head.Version, Seq: head.Seq, Hash: head.Hash})
		}
		hash := ""
		if !head.Hash.IsZero() {
			hash = head.Hash.String()
		}
		t := a.screen.table(column{name: "version", right: true, style: bold}, column{name: "seq", right: true}, column{name: "hash", style: dim})
		if err := t.row(strconv.FormatUint(head.Version, 10), strconv.FormatUint(head.Seq, 10), hash); err != nil {
			return err
		}
		return t.flush()
	})
	ask := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if (save == "") != (len(args) == 1) {
			return usage("head needs one of SCOPE/ENTITY and --save")
		}
		return ask(cmd, args)
	}
	c.bind(cmd)
	cmd.Flags().StringVar(&save, "save", "", "keep the journal's head in this `file`")
	cmd.Flags().Uint32Var(&lane, "lane", 0, "the stream's `lane`")
	return cmd
}
