package component

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"batpak/codec"
	"batpak/component/journal"
)

// headsToken is the subject of heads behind "P.J.".
const headsToken = "heads"

// quietTurns is how many turns a head without news waits for.
const quietTurns = 6

// heads publishes where the journal stands. It is one goroutine, which stop ends; then whoever called stop may publish.
type heads struct {
	cancel context.CancelFunc
	done   chan struct{}
	once   sync.Once // there is one last head

	seq  uint64 // of the last one published
	time uint64 // of the last one published, in milliseconds; 0 when none was
}

// startHeads starts to publish heads, unless the config says not to.
func (n *Node) startHeads() {
	if n.cfg.Heads == NoHeads {
		return
	}
	ctx, cancel := context.WithCancel(n.ctx)
	n.heads = &heads{cancel: cancel, done: make(chan struct{})}
	go n.heads.run(ctx, n)
}

func (h *heads) run(ctx context.Context, n *Node) {
	defer close(h.done)
	tick := time.NewTicker(n.cfg.Heads)
	defer tick.Stop()
	for quiet := quietTurns; ; quiet++ {
		if h.time == 0 || n.journal.Visible() != h.seq || quiet >= quietTurns {
			h.publish(ctx, n)
			quiet = 0
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// publish publishes the head as it is now. The first time this may have to read the log.
func (h *heads) publish(ctx context.Context, n *Node) {
	now := max(uint64(time.Now().UnixMilli()), h.time) // it does not go back while the node serves
	head, err := n.journal.SignHead(ctx, now)
	var body []byte
	if err == nil {
		body, err = codec.Marshal(nil, codec.Msgpack, &head)
	}
	if err == nil {
		err = n.nc.Publish(n.subject(headsToken), body)
	}
	switch {
	case err == nil:
		h.seq, h.time = head.Seq, now
	case ctx.Err() == nil && !errors.Is(err, journal.ErrClosed):
		n.log.Warn("head not published", slog.String("error", err.Error()))
	}
}

// stop ends the goroutine.
func (h *heads) stop() {
	if h != nil {
		h.cancel()
		<-h.done
	}
}

// last publishes the last head of a drain, unless that means to read the log first.
func (h *heads) last(ctx context.Context, n *Node) {
	if h == nil {
		return
	}
	h.once.Do(func() {
		h.stop()
		if h.time > 0 {
			h.publish(ctx, n)
		}
	})
}
