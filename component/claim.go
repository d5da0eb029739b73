package component

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// serviceName is the micro service that every node is.
const serviceName = "batpak"

// Keys of the service's metadata.
const (
	metaJournal  = "journal"
	metaLineage  = "lineage"
	metaProtocol = "protocol"
	metaPrefix   = "prefix"
	metaSigner   = "signer"
)

// checkUnanswered returns an error that matches ErrJournalTaken when somebody answers requests
// for the journal. Silence is not an answer: who listens to all subjects hears the request too.
func checkUnanswered(ctx context.Context, cfg *Config, name string) error {
	ctx, cancel := context.WithTimeout(ctx, cfg.ClaimWait)
	defer cancel()
	subject := cfg.Prefix + "." + name + ".status"
	_, err := cfg.Conn.RequestWithContext(ctx, subject, nil)
	switch {
	case err == nil:
		return fmt.Errorf("component: %w: %s: there was a reply on %s", ErrJournalTaken, name, subject)
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, context.DeadlineExceeded):
		return nil
	default:
		return fmt.Errorf("component: ask for %s: %w", subject, err)
	}
}

// checkAlone returns an error that matches ErrJournalTaken when another instance of the service
// says that the journal is its own. It is called when the own service answers already: of two
// nodes that start at the same time, at least one sees the other.
func checkAlone(ctx context.Context, cfg *Config, name, id string) error {
	ctx, cancel := context.WithTimeout(ctx, cfg.ClaimWait)
	defer cancel()
	return eachService(ctx, cfg.Conn, func(info *micro.Info) error {
		if info.ID == id || info.Metadata[metaJournal] != name {
			return nil
		}
		// Another prefix is another set of subjects.
		if other, ok := info.Metadata[metaPrefix]; ok && other != cfg.Prefix {
			return nil
		}
		return fmt.Errorf("component: %w: %s: service %s of version %s", ErrJournalTaken, name, info.ID, info.Version)
	})
}

// flushFor waits until the server has everything that was sent, within ctx and at most d.
func flushFor(ctx context.Context, nc *nats.Conn, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return nc.FlushWithContext(ctx)
}
