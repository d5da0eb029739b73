package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"batpak/component"
	"batpak/component/journal"
	"batpak/keystore"

	"github.com/spf13/cobra"
)

const defaultListen = "127.0.0.1:4222"

// serving is what the flags of serve say.
type serving struct {
	*app
	connection
	keys                      wrapping
	dir, listen, seal, onward string
	signerFile                string
	gates                     string
	requireSubject            bool
	maxPayload, segmentSize   byteSize
	queueEvents               int
	replicas                  int
	keepDenials               int
	drainTime, heads          time.Duration
	logFormat, logLevel       string
	demo                      bool
}

func (a *app) serveCommand() *cobra.Command {
	s := &serving{app: a, maxPayload: component.DefaultMaxPayload, segmentSize: journal.DefaultSegmentBytes}
	cmd := &cobra.Command{
		Use:   "serve --dir DIR [--journal NAME] [--listen HOST:PORT | --url URL]",
		Short: "Serve a journal on NATS",
		Long: `Serve the journal in a directory, which is created when it is missing.

Without --url or --context (or NATS_URL, NATS_CONTEXT) a NATS server with JetStream runs in the same
process, for clients on --listen, with its files in DIR/nats. With them, the journal is served on the
NATS servers that are there.

When the node answers, one line is printed on standard output: ready URL JOURNAL. SIGTERM and SIGINT
drain it: no more appends are taken, what was taken is committed, answered and published onward, and
the exit code is 0. A second signal ends it at once; nothing that was acknowledged is lost then, either.

The payload keys of a journal that seals are in DIR/keys. With --keys-wrap they are wrapped when the
journal is created, and what they were wrapped with has to be given each time. Without it they are in
clear, for whoever reads the directory or a copy of it. batpak rekey changes that.

With --signer, receipts carry a proof that holds without the node: see batpak verify --receipt. The file has
an nkey seed, and must be its owner's alone; batpak signer makes one.

Every --heads the node publishes the journal's head: how many events there are, and a commitment to all of them, signed
with --signer. batpak witness follows them, and tells when history is rewritten.

With --gates appends are judged by the gates in a file, which is read once, at the start; without it all
are permitted. batpak gates check tries a file.

` + wrapHelp,
		Example: `  batpak serve --dir /var/lib/batpak
  batpak serve --dir /var/lib/orders --journal orders --url nats://nats.internal:4222 --creds orders.creds
  batpak serve --dir /var/lib/shop --gates shop.yaml
  batpak serve --dir /var/lib/people --journal people --seal subject --require-subject \
    --keys-wrap key-file:/etc/batpak/people.key`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context(), cmd) },
	}
	s.connection.bind(cmd)
	s.keys.bind(cmd)
	f := cmd.Flags()
	f.Lookup("server").Usage = "serve on the NATS servers at these `URL`s instead; --url is the same ($NATS_URL)"
	f.StringVar(&s.dir, "dir", "", "`directory` of the journal (required)")
	f.StringVar(&s.listen, "listen", defaultListen, "`HOST:PORT` of the NATS server in this process; port 0 is any free one")
	f.StringVar(&s.seal, "seal", "none", "payloads that share a key: none, entity, category, kind, event or subject; fixed when the journal is created")
	f.BoolVar(&s.requireSubject, "require-subject", false, "refuse events that name no data subject; for --seal subject")
	f.StringVar(&s.signerFile, "signer", "", "sign receipts by the nkey seed in this `file` ($"+signerVariable+")")
	f.StringVar(&s.gates, "gates", "", "judge appends by the gates in this `file`; batpak gates check --help has its form")
	f.IntVar(&s.keepDenials, "keep-denials", 0, "`number` of refusals by gates, in a minute, that are kept as events at _batpak/denials")
	f.StringVar(&s.onward, "onward", "jetstream", "where events go: jetstream or none")
	f.IntVar(&s.replicas, "replicas", 1, "`number` of replicas of the onward stream, when it is created")
	f.Var(&s.maxPayload, "max-payload", "largest payload")
	f.Var(&s.segmentSize, "segment-size", "size of a segment file, "+sizeText(journal.MinSegmentBytes)+" to "+sizeText(journal.MaxSegmentBytes)+"; a batch has to fit")
	f.IntVar(&s.queueEvents, "queue-events", journal.DefaultQueueEvents, "`number` of events that may wait to be committed; what comes on top is answered with busy")
	f.DurationVar(&s.drainTime, "drain-timeout", 30*time.Second, "how long a drain may take")
	f.DurationVar(&s.heads, "heads", component.DefaultHeads, "how often to publish the journal's head, for batpak witness; 0 publishes none")
	f.StringVar(&s.logFormat, "log-format", "text", "form of the log on standard error: text or json")
	f.StringVar(&s.logLevel, "log-level", "info", "least level that is logged: debug, info, warn or error")
	f.BoolVar(&s.demo, "demo", false, "judge appends by the gates of the demo, and end with standard input")
	for name, values := range map[string][]string{
		"seal":   {"none", "entity", "category", "kind", "event", "subject"},
		"onward": {"jetstream", "none"}, "log-format": {"text", "json"}, "log-level": {"debug", "info", "warn", "error"},
	} {
		complete(cmd, name, values)
	}
	_ = f.MarkHidden("demo") // it fails for a flag that is not there
	return cmd
}

// complete gives a flag its values for the shell's completion.
func complete(cmd *cobra.Command, flag string, values []string) {
	// It fails for a flag that is not there or has been given values before; neither is so.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

func (s *serving) run(ctx context.Context, cmd *cobra.Command) error {
	if s.dir == "" {
		return usage("serve needs --dir")
	}
	cfg, err := s.config(cmd)
	if err != nil {
		return err
	}
	if _, _, err := splitListen(s.listen); err != nil {
		return err
	}
	if s.demo {
		ended, end := context.WithCancel(ctx)
		ctx = ended
		go func() { // it ends with standard input, or with the process
			_, _ = io.Copy(io.Discard, s.in)
			end()
		}()
	}
	if err := s.connection.complete(); err != nil {
		return err
	}
	changed := cmd.Flags().Changed
	if changed("listen") {
		if changed("server") || changed("context") {
			return usage("--listen is for the NATS server in this process, and --url and --context are for another one")
		}
		s.server, s.context = "", "" // the environment's
	}
	if err := s.wrap(ctx, &cfg); err != nil {
		return err
	}
	defer forget(cfg.Keys.Wrapper) // at the latest
	signer, err := s.signer(cmd)
	if err != nil {
		return err
	}
	if signer != nil {
		defer signer.Wipe()
		cfg.Signer = signer
	}
	cfg.Logger.Debug("starting", slog.String("dir", s.dir))
	if s.named() {
		return s.elsewhere(ctx, cfg)
	}
	for _, name := range []string{"creds", "nkey", "user", "password", "token", "tlscert", "tlskey", "tlsca"} {
		if changed(name) {
			return usage("--%s is for a NATS server elsewhere: it needs --url or --context", name)
		}
	}
	return s.here(ctx, cfg)
}

// config is the node's, without its connection.
func (s *serving) config(cmd *cobra.Command) (component.Config, error) {
	cfg := component.Config{
		Dir: s.dir, Name: s.journal, Prefix: s.prefix, Replicas: s.replicas,
		MaxPayload: int(s.maxPayload), SegmentBytes: int64(s.segmentSize), QueueEvents: s.queueEvents,
		RequireSubject: s.requireSubject, KeepDenials: s.keepDenials, Heads: s.heads,
	}
	switch {
	case s.heads < 0:
		return cfg, usage("--heads %s is less than nothing", s.heads)
	case s.heads == 0:
		cfg.Heads = component.NoHeads
	}
	var err error
	if cfg.Logger, err = s.logger(); err != nil {
		return cfg, err
	}
	seal, err := keystore.ParseGranularity(s.seal)
	if err != nil {
		return cfg, usage("--seal %q is none of none, entity, category, kind, event, subject", s.seal)
	}
	if cmd.Flags().Changed("seal") { // else a journal that exists goes on as it is
		cfg.Seal = seal
	}
	if s.segmentSize < journal.MinSegmentBytes || s.segmentSize > journal.MaxSegmentBytes {
		return cfg, usage("--segment-size %s is not between %s and %s", &s.segmentSize, sizeText(journal.MinSegmentBytes), sizeText(journal.MaxSegmentBytes))
	}
	switch s.onward {
	case "jetstream":
	case "none":
		cfg.Onward = component.OnwardNone
	default:
		return cfg, usage("--onward %q is neither jetstream nor none", s.onward)
	}
	switch {
	case s.demo && s.gates != "":
		return cfg, usage("--demo has gates of its own")
	case s.demo:
		cfg.Gates, err = demoGates()
	case s.gates != "":
		cfg.Gates, err = readGates(s.gates)
	}
	return cfg, err
}

// wrap says in the config what the payload keys are wrapped with. For a journal that is to be created a
// passphrase is asked for twice: with one that was mistyped it would never be opened again.
func (s *serving) wrap(ctx context.Context, cfg *component.Config) (err error) {
	prompts := []string{askKeys}
	if !hasJournal(s.dir) {
		prompts = askNewKeys
	}
	cfg.Keys.Wrapper, err = s.keys.wrapper(ctx, s.app, prompts...)
	return err
}

func (s *serving) logger() (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.logLevel)); err != nil {
		return nil, usage("--log-level %q is none of debug, info, warn, error", s.logLevel)
	}
	options := &slog.HandlerOptions{Level: level}
	switch s.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(s.err, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(s.err, options)), nil
	}
	return nil, usage("--log-format %q is neither text nor json", s.logFormat)
}

// here serves on a NATS server in this process.
func (s *serving) here(ctx context.Context, cfg component.Config) error {
	l, err := openLocal(ctx, s.listen, cfg)
	if err != nil {
		return err
	}
	forget(cfg.Keys.Wrapper)
	if err := s.ready(l.nats.ClientURL(), l.node); err != nil {
		return errors.Join(err, l.close())
	}
	return s.until(ctx, l.node, l.drain, l.close)
}

// elsewhere serves on NATS servers that are there.
func (s *serving) elsewhere(ctx context.Context, cfg component.Config) error {
	nc, err := s.connect(nodeConnection(cfg.Logger)...)
	if err != nil {
		return err
	}
	defer nc.Close()
	cfg.Conn = nc
	node, err := component.Open(ctx, cfg)
	if err != nil {
		return inDir(s.dir, err)
	}
	forget(cfg.Keys.Wrapper)
	if err := s.ready(nc.ConnectedUrlRedacted(), node); err != nil {
		return errors.Join(err, node.Close())
	}
	drain := func(ctx context.Context) error { return drainNode(ctx, node, nc) }
	return s.until(ctx, node, drain, node.Close)
}

// ready says that the node answers. It is the one line on standard output.
func (s *serving) ready(url string, node *component.Node) error {
	_, err := fmt.Fprintf(s.out, "ready %s %s\n", url, node.Journal().Name())
	return err
}

// until serves until the context or the node ends.
func (s *serving) until(ctx context.Context, node *component.Node, drain func(context.Context) error, end func() error) error {
	select {
	case <-node.Done():
		return errors.Join(node.Err(), end())
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.drainTime)
	defer cancel()
	err := drain(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		fmt.Fprintf(s.err, "batpak: the drain took longer than %s and was given up; what was acknowledged is on disk, and the next serve publishes the rest\n", s.drainTime)
		return &toldError{exitFailed}
	}
	return err
}
