package component

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"batpak/component/journal"
	"batpak/component/relay"
	"batpak/faultfs"
	"batpak/keystore"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// Node serves one journal on NATS. It is safe for concurrent use.
type Node struct {
	cfg     Config
	nc      *nats.Conn
	log     *slog.Logger
	folder  io.Closer // of cfg.Dir; nil when the caller gave a file system
	journal *journal.Journal
	relay   *relay.Relay // nil when events go nowhere
	held    *heldReplies // nil then too
	heads   *heads       // nil when none are published

	service     micro.Service
	endpoints   []*endpoint
	unknown     *endpoint // for the counters of requests to no endpoint
	strays      []*nats.Subscription
	ownSubjects string // what the subjects of all nodes begin with
	maxPayload  int    // bytes

	reads    chan struct{} // a token for each read that is worked on
	verifies chan struct{}

	ctx    context.Context // ends reads when the node does
	cancel context.CancelFunc

	state   atomic.Int32
	appends load
	others  load
	told    [numCodes]atomic.Int64 // when an error of this code was last logged, in Unix seconds

	ending sync.Once
	done   chan struct{} // closed at the end
	err    error         // why; written before done is closed
}

// States of a node, in the order in which it goes through them.
const (
	stateServing int32 = iota
	stateDraining
	stateClosed
)

// eventRoom is what an event takes beside its payload at most, in bytes, when it goes onward or
// into a reply: the rest of its envelope (meta and causes have limits of their own) and headers.
const eventRoom = 32 << 10

// minMessage is the smallest payload limit of a server, in bytes, that a node works with.
const minMessage = 64 << 10

// Open opens the journal and serves it. It returns when requests are answered. The context is
// for opening alone. Errors match ErrConfig, ErrJournalTaken, or those of journal.Open (ErrLocked,
// ErrForeign, ErrDamaged and the like) and relay.Start; then nothing is left running.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	if have := cfg.Conn.MaxPayload(); have < minMessage {
		return nil, fmt.Errorf("component: %w: the server takes messages of %d bytes, a node needs %d", ErrConfig, have, minMessage)
	}
	if cfg.Name != "" {
		// Before anything is created on disk.
		if err := checkUnanswered(ctx, &cfg, cfg.Name); err != nil {
			return nil, err
		}
	}
	n := &Node{
		cfg: cfg, nc: cfg.Conn, log: cfg.Logger,
		endpoints: endpoints(), unknown: &endpoint{name: "unknown"},
		ownSubjects: cfg.Prefix + ".",
		reads:       make(chan struct{}, cfg.MaxReads),
		verifies:    make(chan struct{}, maxVerifies),
		appends:     load{idle: make(chan struct{}, 1)},
		others:      load{idle: make(chan struct{}, 1)},
		done:        make(chan struct{}),
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	if err := n.open(ctx); err != nil {
		n.end(err)
		return nil, err
	}
	return n, nil
}

// open takes the steps of Open in order; what it got to is taken back by end.
func (n *Node) open(ctx context.Context) error {
	if err := n.openJournal(ctx); err != nil {
		return err
	}
	n.log = n.log.With(slog.String("journal", n.journal.Name()))
	if n.cfg.Name == "" {
		if err := checkUnanswered(ctx, &n.cfg, n.journal.Name()); err != nil {
			return err
		}
	}
	if err := n.claim(ctx); err != nil {
		return err
	}
	if n.cfg.Onward == OnwardJetStream {
		var err error
		n.relay, err = relay.Start(n.ctx, relay.Config{
			Journal: n.journal, Conn: n.nc, Prefix: n.cfg.Prefix, Stream: n.cfg.Stream,
			Replicas: n.cfg.Replicas, MaxPending: n.cfg.RelayPending, Logger: n.log,
		})
		if err != nil {
			return fmt.Errorf("component: start relay: %w", err)
		}
		n.held = newHeldReplies(n.cfg.MaxStreamAcks, n.cfg.AckStreamTimeout, n.relay)
	}
	if err := n.register(); err != nil {
		return err
	}
	if err := flushFor(ctx, n.nc, flushTime); err != nil {
		return fmt.Errorf("component: subscribe: %w", err)
	}
	n.startHeads()
	go n.watch(n.nc.StatusChanged(nats.CLOSED))
	n.log.Info("node serves", slog.String("service", n.service.Info().ID), slog.Uint64("head", n.journal.Visible()))
	return nil
}

func (n *Node) openJournal(ctx context.Context) error {
	fsys := n.cfg.FS
	if fsys == nil {
		if err := os.MkdirAll(n.cfg.Dir, 0o700); err != nil {
			return fmt.Errorf("component: make the journal's directory: %w", err)
		}
		root, err := os.OpenRoot(n.cfg.Dir)
		if err != nil {
			return fmt.Errorf("component: open the journal's directory: %w", err)
		}
		n.folder, fsys = root, faultfs.Dir(root)
	}
	var err error
	n.journal, err = journal.Open(ctx, fsys, journal.Options{
		Name: n.cfg.Name, Seal: n.cfg.Seal, Keys: n.cfg.Keys, RequireSubject: n.cfg.RequireSubject,
		Gates: n.cfg.Gates, KeepDenials: n.cfg.KeepDenials, Signer: n.cfg.Signer,
		SegmentBytes: n.cfg.SegmentBytes, MaxPayload: n.cfg.MaxPayload,
		QueueEvents: n.cfg.QueueEvents, QueueBytes: n.cfg.QueueBytes,
		IdempotencyKeys: n.cfg.IdempotencyKeys, IdempotencyAge: n.cfg.IdempotencyAge,
		Clock: n.cfg.Clock, Logger: n.log,
	})
	if err != nil {
		return fmt.Errorf("component: open the journal: %w", err)
	}
	n.tellKeys()
	room := int(n.nc.MaxPayload()) - eventRoom
	for _, name := range n.journal.GateNames() {
		room -= len(name) + 3 // they are in every envelope
	}
	if n.journal.Seal() != keystore.None {
		room /= 2 // the envelope, and the payload in clear beside it
	}
	n.maxPayload = min(n.cfg.MaxPayload, room)
	return nil
}

// tellKeys logs how the payload keys are protected, as they are and not as the config would have them.
func (n *Node) tellKeys() {
	switch method := n.journal.KeyMethod(); method {
	case "":
		if n.cfg.Keys.Wrapper != nil {
			n.log.Warn("nothing is sealed in this journal: the key-encryption key has no use")
		}
	case keystore.Clear:
		n.log.Warn("payload keys are stored in clear: who reads the journal's directory can open all that is sealed",
			slog.String("change", "stop the node, wrap them with batpak rekey --to (journal.Rekey), and serve with --keys-wrap (Config.Keys)"))
	default:
		n.log.Info("payload keys are wrapped", slog.String("method", method))
	}
}

// claim adds the service, still without endpoints, and makes sure that it is the only one for the
// journal. Requests are taken after that, so none goes to two nodes.
func (n *Node) claim(ctx context.Context) error {
	var err error
	n.service, err = micro.AddService(n.nc, micro.Config{
		Name:               serviceName,
		Version:            n.cfg.Version,
		Description:        "durable, gated event journal",
		QueueGroupDisabled: true,
		StatsHandler:       n.statsOf,
		Metadata:           n.metadata(),
		ErrorHandler: func(_ micro.Service, err *micro.NATSError) {
			n.log.Warn("subscription failed", slog.String("subject", err.Subject), slog.String("error", err.Description))
		},
	})
	if err != nil {
		return fmt.Errorf("component: add the service: %w", err)
	}
	if err := flushFor(ctx, n.nc, flushTime); err != nil {
		return fmt.Errorf("component: add the service: %w", err)
	}
	return checkAlone(ctx, &n.cfg, n.journal.Name(), n.service.Info().ID)
}

func (n *Node) metadata() map[string]string {
	m := map[string]string{
		metaJournal:  n.journal.Name(),
		metaLineage:  n.journal.Lineage().String(),
		metaProtocol: "1",
		metaPrefix:   n.cfg.Prefix,
	}
	if signer := n.journal.Signer(); signer != "" {
		m[metaSigner] = signer
	}
	return m
}

// subject returns a subject behind "P.J.".
func (n *Node) subject(rest string) string {
	return n.cfg.Prefix + "." + n.journal.Name() + "." + rest
}

// watch ends the node when the connection is closed. It is a goroutine, and ends with the node.
func (n *Node) watch(closed chan nats.Status) {
	defer n.nc.RemoveStatusListener(closed)
	select {
	case <-closed:
		n.end(fmt.Errorf("component: %w", nats.ErrConnectionClosed))
	case <-n.done:
	}
}

// Journal is the node's journal. It is closed with the node.
func (n *Node) Journal() *journal.Journal { return n.journal }

// Done is closed when the node has ended: after Drain, after Close, or because its connection was
// closed.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err says why the node ended: nil after Drain or Close, and while it has not.
func (n *Node) Err() error {
	select {
	case <-n.done:
		return n.err
	default:
		return nil
	}
}

// Drain ends the node gently. From now on appends are refused with ErrUnavailable; those that
// were taken in are committed and answered, and the relay publishes what is committed. Reads are
// answered until then. When ctx ends before, Drain returns its error, and the node has ended all
// the same: everything that was acknowledged is on disk, and the next Open goes on with the rest.
func (n *Node) Drain(ctx context.Context) error {
	n.state.CompareAndSwap(stateServing, stateDraining)
	n.log.Info("node drains")
	err := n.appends.settle(ctx)
	if err == nil && n.relay != nil {
		err = n.relay.Wait(ctx, n.journal.Visible())
	}
	n.heads.last(ctx, n)
	if err != nil {
		err = fmt.Errorf("component: drain: %w", err)
	}
	return errors.Join(err, n.Close())
}

// Close ends the node at once: what was taken in is committed and answered, and nothing is waited
// for besides. The connection stays open. It may be called more than once.
func (n *Node) Close() error {
	n.end(nil)
	return n.err
}
