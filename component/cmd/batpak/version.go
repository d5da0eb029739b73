package main

import (
	"runtime"
	"runtime/debug"

	"batpak/component"

	"github.com/spf13/cobra"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			revision := "unknown"
			if info, ok := debug.ReadBuildInfo(); ok {
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						revision = s.Value
					}
				}
			}
			if a.screen.form == forMachine {
				return a.screen.object("version", component.Version, "revision", revision, "go", runtime.Version())
			}
			return a.screen.pairs(pair{name: "version", value: component.Version}, pair{name: "revision", value: revision}, pair{name: "go", value: runtime.Version()})
		},
	}
}
