package main

import (
	"context"
	"errors"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"
	"batpak/component/journal"

	"github.com/nats-io/nats.go"
)

// Bounds of what is read before an erasure: it is done to show a number, and the node has other work.
const (
	foreseeTime   = 3 * time.Second
	foreseeEvents = 100_000
)

// errForeseen ends a reading that has seen enough.
var errForeseen = errors.New("seen enough")

// foresee says how many events an erasure covers, as far as that can be known before. An error means that
// there is no node to ask.
func (s *shredding) foresee(ctx context.Context, client *component.Client, r *codec.ShredRequest) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, min(s.timeout, foreseeTime))
	defer cancel()
	gone, err := destroyedKeys(ctx, client)
	count := uint64(0)
	if err == nil {
		count, err = countSealed(ctx, client, r, gone)
	}
	var refusal *component.Error
	switch {
	case err == nil && count == 0:
		return "none that is sealed and not erased yet", nil
	case err == nil:
		return grouped(count) + " that are not erased yet", nil
	case errors.Is(err, component.ErrNoNode), errors.Is(err, context.Canceled):
		return "", err
	case errors.Is(err, component.ErrNotFound):
		return "none: there is no such event", nil
	case errors.As(err, &refusal):
		return "not known: " + explainRefusal(refusal), nil
	case count > 0:
		return grouped(count) + " or more; reading was stopped there", nil
	case errors.Is(err, errForeseen), errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return "not known: reading them takes too long, or is not allowed", nil
	}
	return "not known: " + trim(err), nil
}

// destroyedKeys are the keys that erasures have destroyed.
func destroyedKeys(ctx context.Context, client *component.Client) (map[causal.KeyID]bool, error) {
	gone := make(map[causal.KeyID]bool)
	for ev, err := range client.Read(ctx, erasuresOnRecord()) {
		var e codec.Erasure
		if err == nil {
			e, err = erasureOf(&ev)
		}
		if err != nil {
			return nil, err
		}
		for _, k := range e.Keys {
			gone[k] = true
		}
	}
	return gone, nil
}

// countSealed counts the events of a key scope that are sealed under keys which are not gone.
func countSealed(ctx context.Context, client *component.Client, r *codec.ShredRequest, gone map[causal.KeyID]bool) (count uint64, err error) {
	if !r.Event.IsZero() {
		ev, err := client.Get(ctx, r.Event)
		if err == nil && ev.Enc != nil && !gone[ev.Enc.Key] {
			count = 1
		}
		return count, err
	}
	sel := codec.Selection{Subject: r.Subject, Limit: pageSize}
	if r.Entity != nil {
		sel.Scope, sel.Entity = r.Entity.Scope, r.Entity.Entity
	}
	if r.Kind != nil {
		sel.Kinds = []causal.Kind{*r.Kind}
	}
	seen := 0
	for ev, err := range client.Read(ctx, sel) {
		if err != nil {
			return count, err
		}
		if seen++; seen > foreseeEvents {
			return count, errForeseen
		}
		if ev.Enc != nil && !gone[ev.Enc.Key] && (r.Category == nil || ev.Kind.Category() == *r.Category) {
			count++
		}
	}
	return count, nil
}

// erasuresOnRecord selects the events that have erasures on record.
func erasuresOnRecord() codec.Selection {
	return codec.Selection{Scope: causal.SystemScope, Entity: journal.ErasureEntity, Kinds: []causal.Kind{causal.KindShred}, Limit: pageSize}
}

// erasureOf is what such an event says.
func erasureOf(ev *causal.Event) (codec.Erasure, error) {
	var e codec.Erasure
	err := codec.Unmarshal(ev.Data, codec.Msgpack, &e)
	return e, err
}
