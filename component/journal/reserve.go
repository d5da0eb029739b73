package journal

import (
	"log/slog"
	"sync"
	"sync/atomic"

	"batpak/keystore"
)

// reserver keeps keys durable ahead of need, so that appends into new key scopes find one without a
// flush. Its goroutine is started by want, one at a time, and ends by itself.
type reserver struct {
	keys    *keystore.Store
	logger  *slog.Logger
	busy    atomic.Bool
	failing bool // the last time failed, and was warned of; whoever made busy true has it
	running sync.WaitGroup
}

// want makes more keys, unless that is under way. What fails is tried again after the next group, and
// costs speed only.
func (r *reserver) want() {
	if !r.busy.CompareAndSwap(false, true) {
		return
	}
	r.running.Go(func() {
		defer r.busy.Store(false)
		err := r.keys.Reserve()
		if err != nil && !r.failing {
			r.logger.Warn("no keys made ahead of need, appends into new key scopes wait for theirs", "why", err)
		}
		r.failing = err != nil
	})
}

// close waits for what is under way.
func (r *reserver) close() { r.running.Wait() }
