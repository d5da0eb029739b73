package main

import "github.com/spf13/cobra"
import "batpak/gates"

func (a *app) demoCommand() *cobra.Command { return &cobra.Command{Use: "demo"} }
func demoGates() (*gates.Chain, error)     { return nil, nil }
