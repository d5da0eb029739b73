package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"batpak/component/journal"
	"batpak/faultfs"

	"github.com/nats-io/nats-server/v2/server"
)

// natsd is the NATS server that runs in this process, with JetStream on its disk.
type natsd struct {
	*server.Server
	folder io.Closer // of its files
	lock   io.Closer // on them
}

// natsdOptions say what the server is.
type natsdOptions struct {
	listen     string // HOST:PORT; a port of 0 is any that is free
	dir        string // its files; created when missing
	maxMessage int    // bytes
	log        *slog.Logger
}

// Limits of the messages that a server takes, in bytes.
const (
	leastMaxMessage = 1 << 20  // what NATS servers take by default
	mostMaxMessage  = 64 << 20 // what they take at all
)

const natsdStart = 10 * time.Second

// startNATS starts a server and returns when it takes connections. JetStream does not lock its
// files, so this does: a second server on them would destroy them.
func startNATS(o natsdOptions) (*natsd, error) {
	host, port, err := splitListen(o.listen)
	if err != nil {
		return nil, err
	}
	d := &natsd{}
	if err := d.takeFiles(o.dir); err != nil {
		return nil, err
	}
	log := &natsLog{log: o.log}
	d.Server, err = server.NewServer(&server.Options{
		Host: host, Port: port,
		JetStream: true, StoreDir: o.dir,
		// What JetStream has not synced when the machine fails, the relay publishes again: the
		// journal has it. So its default, a sync in two minutes, is right here.
		MaxPayload: int32(min(max(o.maxMessage, leastMaxMessage), mostMaxMessage)),
		NoSigs:     true,
		// Each request has a reply subject of its own, and each new entity a subject of its own: to remember who
		// wants them costs more than to find out again.
		NoSublistCache: true,
	})
	if err != nil {
		d.releaseFiles()
		return nil, fmt.Errorf("nats-server: %w", err)
	}
	d.SetLogger(log, false, false)
	d.Start()
	if log.fatal == "" && !d.ReadyForConnections(natsdStart) {
		log.fatal = "it does not take connections"
	}
	if log.fatal != "" {
		d.stop()
		if strings.Contains(log.fatal, "listen") {
			return nil, fmt.Errorf("cannot listen on %s: %s; take another --listen, or serve on the NATS server that is there with --url", o.listen, log.fatal)
		}
		return nil, fmt.Errorf("nats-server: %s", log.fatal)
	}
	return d, nil
}

// splitListen reads HOST:PORT.
func splitListen(listen string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(listen)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil || port < -1 || port > 65535 {
		return "", 0, usage("--listen %q is not HOST:PORT", listen)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	if host == "" {
		host = "0.0.0.0"
	}
	return host, port, nil
}

// takeFiles makes the server's directory this process's own.
func (d *natsd) takeFiles(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	d.lock, err = faultfs.Dir(root).Lock("LOCK")
	if err != nil {
		root.Close()
		if errors.Is(err, faultfs.ErrLocked) {
			return fmt.Errorf("%s: %w", filepath.Join(dir, "LOCK"), journal.ErrLocked)
		}
		return err
	}
	d.folder = root
	return nil
}

func (d *natsd) releaseFiles() {
	// A lock goes with its file, and nothing can be done about an error of close.
	_ = d.lock.Close()
	_ = d.folder.Close()
}

// stop shuts the server down and waits until it has.
func (d *natsd) stop() {
	d.Shutdown()
	d.WaitForShutdown()
	d.releaseFiles()
}

// natsLog writes the server's log into ours. What it notices about itself is detail here. The
// first fatal error is kept: it comes from within Start, before Start returns.
type natsLog struct {
	log   *slog.Logger
	fatal string
}

func (l *natsLog) write(level slog.Level, format string, v []any) {
	ctx := context.Background()
	if l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, "nats-server: "+fmt.Sprintf(format, v...))
	}
}

func (l *natsLog) Noticef(format string, v ...any) { l.write(slog.LevelDebug, format, v) }
func (l *natsLog) Warnf(format string, v ...any)   { l.write(slog.LevelWarn, format, v) }
func (l *natsLog) Errorf(format string, v ...any)  { l.write(slog.LevelError, format, v) }
func (l *natsLog) Debugf(format string, v ...any)  { l.write(slog.LevelDebug, format, v) }
func (l *natsLog) Tracef(format string, v ...any)  {}
func (l *natsLog) Fatalf(format string, v ...any) {
	if l.fatal == "" {
		l.fatal = fmt.Sprintf(format, v...)
	}
}
