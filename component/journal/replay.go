package journal

import (
	"context"
	"errors"
	"runtime"

	"batpak/causal"
)

// Replay calls visit with every event after a sequence, in order, up to what was visible when it began, and returns the
// last sequence that visit took without an error (after itself when there was none). It is for folding much of the log:
// visit runs in the caller's goroutine, one call at a time, while other goroutines, one for each core (GOMAXPROCS),
// read, check, decode and hash what comes next. They have ended when Replay returns, also when visit panics.
//
// The event is visit's until it returns; then its memory is used again. Envelope and Data have to be cloned to be kept.
// The rest of it may be kept as it is, copied out of the event, and must not be written to: neighbours share it. Data of a
// sealed event is ciphertext, and Payload opens it.
//
// An error of visit ends it and is returned as it is. Bytes that are not what was written are a *DamageError, and
// an envelope that is not one, or of another event, is too: visit has got every event before that. When ctx ends, no
// event is visited any more, and its error is returned. When there is something to visit, that of a closed journal is
// ErrClosed.
//
// It takes memory for two pieces of the log more than there are cores: 128 KiB each, or the largest event, and
// about as much again for what is decoded of it, or twice as much when events are very small. The first pieces are
// smaller and take no other goroutine, so a few events cost little more than by Scan.
func (j *Journal) Replay(ctx context.Context, after uint64, visit func(ev *causal.Event) error) (last uint64, err error) {
	last = after
	c := cutter{j: j, seq: after + 1, to: j.Visible(), split: true}
	if after >= c.to {
		return last, nil
	}
	err = c.run(ctx, runtime.GOMAXPROCS(0), newDecoder, func(p *piece) error {
		for i := range p.events {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := visit(&p.events[i]); err != nil {
				return err
			}
			last++
		}
		return j.scanError(p.err)
	})
	return last, err
}

// scanError is what Scan says of what ended a piece: of damage, the damage alone.
func (j *Journal) scanError(err error) error {
	var d *DamageError
	if errors.As(err, &d) {
		return d
	}
	return j.readable(err)
}

// newDecoder returns what a worker of Replay does. Its last event is what the next one shares strings with.
func newDecoder() func(*piece) {
	var ev causal.Event
	return func(p *piece) { p.decode(&ev) }
}

// decode checks the frames of a piece and decodes its events, one after the other into ev.
func (p *piece) decode(ev *causal.Event) {
	for at := 0; at < len(p.buf); {
		off, seq := p.off+int64(at), p.first+uint64(len(p.events))
		f := readFrame(p.buf[at:])
		whole := p.buf[at:][:frameHeader+int(f.length)]
		if frameCRC(whole, p.s.crc) != f.crc {
			p.err = p.s.damage(off, seq, "frame checksum mismatch")
			return
		}
		if f.typ == frameEvent {
			if err := p.s.decodeInto(off, seq, whole[frameHeader:], ev); err != nil {
				p.err = err
				return
			}
			p.events = append(p.events, *ev)
		}
		at += frameSize(int(f.length))
	}
}
