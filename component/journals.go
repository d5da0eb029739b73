package component

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"batpak/causal"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// Journal is what a node says of the journal that it serves.
type Journal struct {
	Name    string
	Lineage causal.Lineage
	Prefix  string // of its subjects
}

// Journals asks every node on the client's connection which journal it serves, and returns what was said within wait, or
// until ctx is done. It takes that long: nobody knows how many there are. Nothing is checked but that names and lineages
// are ones; what a journal is shows in its events. The error is the connection's.
func (c *Client) Journals(ctx context.Context, wait time.Duration) ([]Journal, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var found []Journal
	err := eachService(ctx, c.nc, func(info *micro.Info) error {
		lineage, err := causal.ParseLineage(info.Metadata[metaLineage])
		j := Journal{Name: info.Metadata[metaJournal], Lineage: lineage, Prefix: info.Metadata[metaPrefix]}
		setDefault(&j.Prefix, DefaultPrefix)
		if err == nil && validToken(j.Name) && validPrefix(j.Prefix) && len(found) < maxJournals {
			found = append(found, j)
		}
		return nil
	})
	return found, err
}

// maxJournals is how many Journals returns at most, so that nobody fills its memory.
const maxJournals = 10_000

// eachService calls f with what each node says of its service, until ctx is done or f returns an error.
func eachService(ctx context.Context, nc *nats.Conn, f func(*micro.Info) error) error {
	subject, err := micro.ControlSubject(micro.InfoVerb, serviceName, "")
	if err != nil {
		return fmt.Errorf("component: %w", err)
	}
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return fmt.Errorf("component: gather services: %w", err)
	}
	defer sub.Unsubscribe()
	if err := nc.PublishRequest(subject, inbox, nil); err != nil {
		return fmt.Errorf("component: gather services: %w", err)
	}
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		switch {
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrNoResponders):
			return nil
		case err != nil:
			return fmt.Errorf("component: gather services: %w", err)
		}
		var info micro.Info
		if json.Unmarshal(msg.Data, &info) != nil {
			continue
		}
		if err := f(&info); err != nil {
			return err
		}
	}
}
