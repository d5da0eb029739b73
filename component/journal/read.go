package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"sort"
	"sync"

	"batpak/causal"
	"batpak/codec"
)

// keptFrame is the largest buffer, in bytes, that is kept for the next frame.
const keptFrame = 64 << 10

// frameBuffers are what single frames are read into.
var frameBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// segmentOf returns the segment that has the visible event seq, and its index.
func (j *Journal) segmentOf(seq uint64) (*segment, index, error) {
	j.mu.RLock()
	if seq == 0 || seq > j.visible {
		j.mu.RUnlock()
		return nil, nil, fmt.Errorf("journal: event %d: %w", seq, ErrNotFound)
	}
	i := sort.Search(len(j.segs), func(i int) bool { return j.segs[i].first > seq }) - 1
	s := j.segs[i]
	x := s.index
	j.mu.RUnlock()
	return s, x, nil
}

// indexOf returns a segment's index.
func (j *Journal) indexOf(s *segment) index {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return s.index
}

// locateID returns where the visible event with this id is.
func (j *Journal) locateID(id causal.EventID) (*segment, uint64, error) {
	j.mu.RLock()
	segs, visible := j.segs, j.visible
	j.mu.RUnlock()
	for i := len(segs) - 1; i >= 0; i-- {
		x := j.indexOf(segs[i])
		first, last := x.span()
		if first.IsZero() || id.Compare(first) < 0 {
			continue
		}
		if id.Compare(last) > 0 {
			break
		}
		pos, err := x.find(id)
		if errors.Is(err, ErrNotFound) {
			break
		}
		seq := segs[i].first + uint64(pos)
		if err == nil && seq > visible {
			break
		}
		return segs[i], seq, j.readable(err)
	}
	return nil, 0, fmt.Errorf("journal: event %s: %w", id, ErrNotFound)
}

// readable turns the error of a file that Close has closed into ErrClosed.
func (j *Journal) readable(err error) error {
	if errors.Is(err, os.ErrClosed) && j.closed.Load() {
		return ErrClosed
	}
	return err
}

// Get returns the event with this id, or ErrNotFound. The event is the caller's.
func (j *Journal) Get(id causal.EventID) (causal.Event, error) {
	s, seq, err := j.locateID(id)
	if err != nil {
		return causal.Event{}, err
	}
	ev, err := j.GetSeq(seq)
	if err == nil && ev.ID != id {
		err = s.damage(-1, seq, "the event has id %s, its index says %s", ev.ID, id)
	}
	return ev, err
}

// GetSeq returns the event with this sequence, or ErrNotFound. The event is the caller's.
func (j *Journal) GetSeq(seq uint64) (ev causal.Event, err error) {
	buf := frameBuffers.Get().(*[]byte)
	defer frameBuffers.Put(buf)
	s, off, body, err := j.readEvent(seq, buf)
	if err != nil {
		return ev, j.readable(err)
	}
	err = s.decodeInto(off, seq, bytes.Clone(body), &ev)
	return ev, err
}

// readEvent reads the frame of a visible event into buf.
func (j *Journal) readEvent(seq uint64, buf *[]byte) (*segment, int64, []byte, error) {
	s, x, err := j.segmentOf(seq)
	if err != nil {
		return nil, 0, nil, err
	}
	off, err := x.offset(int(seq - s.first))
	if err != nil {
		return nil, 0, nil, err
	}
	f, b, err := s.readFrame(off, seq, *buf)
	if err != nil {
		return s, off, nil, err
	}
	if cap(b) <= keptFrame {
		*buf = b[:0]
	}
	if f.typ != frameEvent {
		return s, off, nil, s.damage(off, seq, "not an event")
	}
	return s, off, b[frameHeader:], nil
}

// Scan calls visit with the envelopes of the events after a sequence, in order, until about
// maxBytes were visited or the visible events end, and returns the last sequence visited (after
// itself when there was none). The envelope is valid during the call only. An error of visit ends
// the scan and is returned.
func (j *Journal) Scan(ctx context.Context, after uint64, maxBytes int, visit func(seq uint64, envelope []byte) error) (last uint64, err error) {
	return j.scan(ctx, after, j.Visible(), maxBytes, visit)
}

func (j *Journal) scan(ctx context.Context, after, until uint64, maxBytes int, visit func(seq uint64, envelope []byte) error) (last uint64, err error) {
	last = after
	t := tapes.Get().(*tape)
	defer t.release()
	var off int64
	for last < until && maxBytes > 0 {
		s, x, err := j.segmentOf(last + 1)
		if err != nil {
			return last, j.readable(err)
		}
		if t.s != s {
			if off, err = x.offset(int(last + 1 - s.first)); err != nil {
				return last, j.readable(err)
			}
			t.load(s)
		}
		end := min(until, s.first+uint64(x.count())-1)
		for last < end && maxBytes > 0 {
			body, next, err := t.event(off, last+1)
			if err != nil {
				return last, j.readable(err)
			}
			if off = next; body == nil {
				continue
			}
			maxBytes -= len(body)
			if err := visit(last+1, body); err != nil {
				return last, err
			}
			last++
		}
		if err := ctx.Err(); err != nil {
			return last, err
		}
	}
	return last, nil
}

// event returns the body of the event frame at off and where the next frame is. For a frame of
// another type the body is nil.
func (t *tape) event(off int64, seq uint64) (body []byte, next int64, err error) {
	f, body, next, err := t.frame(off, seq)
	if f.typ != frameEvent {
		body = nil
	}
	return body, next, err
}

// frame returns the frame at off, its body, and where the next frame is.
func (t *tape) frame(off int64, seq uint64) (f frame, body []byte, next int64, err error) {
	head, err := t.at(off, frameHeader, off)
	if err != nil {
		return f, nil, 0, t.s.readError(off, seq, err)
	}
	f, ok := parseFrame(head, t.s.size-off, t.s.crc)
	if !ok {
		return f, nil, 0, t.s.damage(off, seq, "not a frame")
	}
	whole, err := t.at(off, frameHeader+int(f.length), off)
	if err != nil {
		return f, nil, 0, t.s.readError(off, seq, err)
	}
	if frameCRC(whole, t.s.crc) != f.crc {
		return f, nil, 0, t.s.damage(off, seq, "frame checksum mismatch")
	}
	return f, whole[frameHeader:], off + int64(frameSize(int(f.length))), nil
}

// Page is a part of the journal.
type Page struct {
	Envelopes [][]byte // the caller's
	Next      uint64   // the After of the next page, also when nothing matched
	Head      uint64   // the last visible sequence
	More      bool     // there may be more before Head: ask again at once
}

// Read returns the events that sel selects, at most sel.Max() of them and at most maxBytes of
// envelopes, but at least one event if any matches. A page may come back with less, or with
// nothing, when it had to look at much of the log; More says so.
func (j *Journal) Read(ctx context.Context, sel codec.Selection, maxBytes int) (Page, error) {
	p := Page{Next: sel.After, Head: j.Visible()}
	until := p.Head
	if sel.Until > 0 {
		until = min(until, sel.Until)
	}
	most, size := sel.Max(), 0
	full := false
	err := j.visit(ctx, &sel, until, func(seq uint64, ev *causal.Event) bool {
		if ev != nil {
			if size += len(ev.Envelope); len(p.Envelopes) == most || len(p.Envelopes) > 0 && size > maxBytes {
				full = true
				return false
			}
			p.Envelopes = append(p.Envelopes, bytes.Clone(ev.Envelope))
		}
		p.Next = seq
		return true
	})
	if err != nil {
		return Page{}, err
	}
	p.More = full || p.Next < until
	return p, nil
}

// Events gives every event that sel selects up to what is visible at the start, in order; Limit
// means nothing here. An error ends it. What it yields is the caller's.
func (j *Journal) Events(ctx context.Context, sel codec.Selection) iter.Seq2[causal.Event, error] {
	return j.events(ctx, sel, j.Visible())
}

func (j *Journal) events(ctx context.Context, sel codec.Selection, until uint64) iter.Seq2[causal.Event, error] {
	if sel.Until > 0 {
		until = min(until, sel.Until)
	}
	return func(yield func(causal.Event, error) bool) {
		for sel.After < until {
			stopped := false
			err := j.visit(ctx, &sel, until, func(seq uint64, ev *causal.Event) bool {
				if sel.After = seq; ev == nil {
					return true
				}
				own, err := codec.DecodeEnvelope(bytes.Clone(ev.Envelope))
				stopped = !yield(own, err) || err != nil
				return !stopped
			})
			if stopped {
				return
			}
			if err != nil {
				yield(causal.Event{}, err)
				return
			}
		}
	}
}
