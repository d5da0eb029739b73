package main

import (
	"context"
	"strconv"
	"strings"

	"batpak/codec"
	"batpak/component"
	"batpak/keystore"

	"github.com/spf13/cobra"
)

func (a *app) statusCommand() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Print how the node is",
		Long: `Print what the node says of itself. Head is the last sequence that was given, durable the last one on
disk, published the last one in the onward stream. Wrapped is how the payload keys are, when anything is
sealed: clear, or a method. To a pipe, each line has a name and a value.`,
		Args: cobra.NoArgs,
	}
	cmd.RunE = c.withClient(func(ctx context.Context, client *component.Client, _ []string) error {
		st, err := client.Status(ctx)
		if err != nil {
			return err
		}
		if a.screen.form == forMachine {
			return a.screen.body(&st)
		}
		return a.screen.pairs(statusPairs(&st, a.screen.form)...)
	})
	c.bind(cmd)
	return cmd
}

func statusPairs(st *codec.Status, as form) []pair {
	look := green
	switch st.State {
	case codec.NodeServing:
	case codec.NodeDraining:
		look = yellow
	default:
		look = red
	}
	n := func(v uint64) string {
		if as == forTerminal {
			return grouped(v)
		}
		return strconv.FormatUint(v, 10)
	}
	list := []pair{
		{"journal", st.Journal, bold}, {"lineage", st.Lineage.String(), dim}, {"state", st.State, look},
		{"head", n(st.Head), plain}, {"durable", n(st.Durable), plain}, {"published", n(st.Published), plain},
		{"segments", n(st.Segments), plain}, {"bytes", n(st.Bytes), plain},
		{"streams", n(st.Streams), plain}, {"keys", n(st.Keys), plain},
	}
	switch st.Wrapped {
	case "":
	case keystore.Clear:
		list = append(list, pair{"wrapped", st.Wrapped, yellow})
	default:
		list = append(list, pair{"wrapped", st.Wrapped, plain})
	}
	list = append(list, pair{"gates", strings.Join(st.Gates, ", "), plain})
	if st.Signer != "" {
		list = append(list, pair{"signer", st.Signer, plain})
	}
	return append(list, pair{"version", st.Version, plain})
}

// grouped is a number with its thousands set apart.
func grouped(v uint64) string {
	text := strconv.FormatUint(v, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
