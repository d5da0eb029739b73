package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"batpak/component"

	"github.com/nats-io/nats.go"
)

// local is a node with a NATS server of its own, in this process.
type local struct {
	nats *natsd
	conn *nats.Conn // the node's
	node *component.Node
}

// openLocal starts a server with its files in DIR/nats and a node on DIR. The config's Conn is
// filled in, and its Dir, MaxPayload and Logger are needed. Nothing is left running after an error.
func openLocal(ctx context.Context, listen string, cfg component.Config) (*local, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, inDir(cfg.Dir, err)
	}
	l := &local{}
	var err error
	l.nats, err = startNATS(natsdOptions{
		listen: listen,
		dir:    filepath.Join(cfg.Dir, "nats"),
		// An opened event is in a message twice, as its envelope and in clear.
		maxMessage: 2*cfg.MaxPayload + messageRoom,
		log:        cfg.Logger,
	})
	if err != nil {
		return nil, inDir(cfg.Dir, err)
	}
	l.conn, err = l.nats.connect(cfg.Logger)
	if err == nil {
		cfg.Conn = l.conn
		l.node, err = component.Open(ctx, cfg)
	}
	if err != nil {
		l.close()
		return nil, inDir(cfg.Dir, err)
	}
	return l, nil
}

// messageRoom is what a message needs beside payloads, in bytes, at most.
const messageRoom = 128 << 10

// connect gives the node its connection to the server in the same process. It goes over loopback:
// the server's in-process connection is a pipe without a buffer, and with many appends in flight
// each write then waits for its reader. On two cores, with 256 appends in flight from another
// process, the pipe was a quarter slower; with one in flight there was no difference to see.
func (d *natsd) connect(log *slog.Logger) (*nats.Conn, error) {
	return nats.Connect(d.ClientURL(), nodeConnection(log)...)
}

// nodeConnection are the options of a node's connection, wherever its server is: it never gives
// up, and what happens to it is logged.
func nodeConnection(log *slog.Logger) []nats.Option {
	return []nats.Option{
		nats.Name("batpak node"),
		nats.MaxReconnects(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil: it was closed
				log.Warn("connection lost", slog.Any("error", err))
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info("connected again", slog.String("server", nc.ConnectedUrlRedacted()))
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			log.Warn("connection error", slog.String("subject", subject), slog.Any("error", err))
		}),
	}
}

// drain ends the node gently, then everything.
func (l *local) drain(ctx context.Context) error {
	return errors.Join(drainNode(ctx, l.node, l.conn), l.close())
}

// drainNode drains a node, then its connection: requests that had come in and that the node had
// not looked at are answered too.
func drainNode(ctx context.Context, node *component.Node, nc *nats.Conn) error {
	err := node.Drain(ctx)
	closed := nc.StatusChanged(nats.CLOSED)
	if nc.Drain() != nil { // not connected: nobody is there to be answered
		nc.Close()
		return err
	}
	select {
	case <-closed:
	case <-ctx.Done():
		nc.Close()
	}
	return err
}

// close ends everything at once.
func (l *local) close() error {
	var err error
	if l.node != nil {
		err = l.node.Close()
	}
	if l.conn != nil {
		l.conn.Close()
	}
	l.nats.stop()
	return err
}
