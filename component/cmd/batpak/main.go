package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	tuneRuntime()
	os.Exit(run(os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// run executes a command line and returns the exit code.
func run(args []string, s streams) int {
	ctx, stop := interruptible()
	defer stop()

	a := &app{streams: s}
	root := a.command()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if a.screen != nil {
		if e := a.screen.close(); err == nil {
			err = e
		}
	}
	return a.report(err)
}

// interruptible returns a context that the first signal ends. By the time it has ended, a second signal
// ends the program at once.
func interruptible() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
		case <-ctx.Done():
		}
		signal.Stop(signals)
		cancel()
	}()
	return ctx, cancel
}

// app is one run of the program.
type app struct {
	streams
	screen  *screen // how standard output is written; nil before the command line was understood
	json    bool
	noColor bool
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "batpak",
		Short: "A durable, gated, tamper-evident event journal on NATS",
		Long: `batpak keeps events in a journal and answers for it on NATS: an append is acknowledged when gates
have permitted it and it is on disk, and goes onward into JetStream.

Begin with "batpak demo".`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(flagTrouble)
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print one JSON object per line")
	root.PersistentFlags().BoolVar(&a.noColor, "no-color", false, "no colour on a terminal (also NO_COLOR)")
	root.AddCommand(
		a.demoCommand(), a.serveCommand(),
		a.appendCommand(), a.readCommand(), a.tailCommand(), a.getCommand(), a.openCommand(),
		a.headCommand(), a.graphCommand(), a.statusCommand(), a.verifyCommand(), a.witnessCommand(), a.gatesCommand(),
		a.backupCommand(), a.restoreCommand(),
		a.shredCommand(), a.erasedCommand(), a.keysCommand(), a.rekeyCommand(), a.signerCommand(),
		a.importCommand(), a.benchCommand(), a.generateCommand(), a.measureCommand(), a.versionCommand(),
	)
	a.prepare(root)
	return root
}

// prepare has the commands of a command make the screen first.
func (a *app) prepare(of *cobra.Command) {
	for _, cmd := range of.Commands() {
		if do := cmd.RunE; do != nil {
			cmd.RunE = func(cmd *cobra.Command, args []string) error {
				// Flags and arguments are understood: errors before this are about the command line.
				a.screen = a.newScreen()
				return do(cmd, args)
			}
		}
		a.prepare(cmd)
	}
}
