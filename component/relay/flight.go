package relay

import (
	"context"
)

// flight is what one epoch has on its way. Its fields are guarded by Relay.mu, except those
// that never change. The publishing goroutine adds, the subscription's goroutine takes off.
type flight struct {
	reply  string                  // where acknowledgements of this epoch go
	cancel context.CancelCauseFunc // ends the epoch
	room   chan struct{}           // has a token when a publisher that waits for room may look again

	sent    uint64   // last sequence that was published
	acked   uint64   // last sequence that was acknowledged, all before it too; at most sent
	sizes   []uint32 // ring: bytes of the envelope of each sequence on its way, at sequence % len
	bytes   int      // their sum
	waiting bool     // the publisher waits for room
}

func (f *flight) pending() int { return int(f.sent - f.acked) }

// add enters the next message before it is published: its acknowledgement may be faster than
// the return of the call.
func (f *flight) add(size int) {
	f.sent++
	f.sizes[f.sent%uint64(len(f.sizes))] = uint32(size)
	f.bytes += size
}

// take removes the oldest message, which was acknowledged.
func (f *flight) take() {
	f.acked++
	f.bytes -= int(f.sizes[f.acked%uint64(len(f.sizes))])
}

// roomFor returns how many messages and bytes may be added: nothing until half of what is
// allowed is free, so that the two goroutines wake each other seldom.
func (f *flight) roomFor(maxBytes int) (messages, bytes int) {
	messages, bytes = len(f.sizes)-f.pending(), maxBytes-f.bytes
	if f.pending() > 0 && (messages < (len(f.sizes)+1)/2 || bytes < (maxBytes+1)/2) {
		return 0, 0
	}
	return messages, max(bytes, 1)
}

// waitRoom waits until something may be added.
func (r *Relay) waitRoom(ctx context.Context, f *flight) (messages, bytes int, err error) {
	for {
		r.mu.Lock()
		messages, bytes = f.roomFor(r.config.MaxPendingBytes)
		f.waiting = messages == 0
		r.mu.Unlock()
		if messages > 0 {
			return messages, bytes, nil
		}
		select {
		case <-f.room:
		case <-ctx.Done():
			return 0, 0, context.Cause(ctx)
		}
	}
}

// takeOff starts an epoch's flight behind the sequence at, to where the stream's messages are
// known to be the journal's.
func (r *Relay) takeOff(f *flight, at uint64) {
	r.mu.Lock()
	f.sent, f.acked = at, at
	r.flight = f
	r.known = true
	r.state.Published = at
	r.state.Phase, r.state.Err = Running, nil
	r.mu.Unlock()
	r.signal()
}

// land ends the present flight: acknowledgements that come later are for nobody.
func (r *Relay) land() {
	r.mu.Lock()
	r.flight = nil
	r.mu.Unlock()
}
