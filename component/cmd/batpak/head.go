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
	)
	cmd := &cobra.Command{
		Use:   "head SCOPE/ENTITY",
		Short: "Print where a stream stands",
		Long: `Print the version, sequence and hash of a stream's last event; version and sequence are 0, and the
hash is empty, when it has none. To a pipe the fields are: version, sequence, hash.`,
		Example: "  batpak head shop/ada",
		Args:    cobra.ExactArgs(1),
	}
	cmd.RunE = c.withClient(func(ctx context.Context, client *component.Client, args []string) error {
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
	c.bind(cmd)
	cmd.Flags().Uint32Var(&lane, "lane", 0, "the stream's `lane`")
	return cmd
}
