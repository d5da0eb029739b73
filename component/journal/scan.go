package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"sync"

	"batpak/causal"
	"batpak/codec"
)

// tape reads a segment forward, in pieces that grow: who reads little pays for little.
type tape struct {
	s     *segment
	base  int64 // offset in the file of buf[0]
	buf   []byte
	chunk int64 // bytes to read the next time
}

const (
	firstChunk = 8 << 10
	lastChunk  = 1 << 20
)

// tapes keeps the memory of tapes that are not in use.
var tapes = sync.Pool{New: func() any { return new(tape) }}

// load makes the tape read s.
func (t *tape) load(s *segment) { *t = tape{s: s, buf: t.buf[:0], chunk: firstChunk} }

// release gives the tape back, unless an uncommonly large event made it grow.
func (t *tape) release() {
	if cap(t.buf) <= 2*lastChunk {
		t.load(nil)
		tapes.Put(t)
	}
}

// at returns the n bytes at off, which stay valid until the next call. Bytes before keep are
// forgotten. Past the segment's end it returns io.EOF.
func (t *tape) at(off int64, n int, keep int64) ([]byte, error) {
	if off+int64(n) > t.s.size {
		return nil, io.EOF
	}
	if off < t.base || off+int64(n) > t.base+int64(len(t.buf)) {
		if drop := keep - t.base; drop > 0 && drop <= int64(len(t.buf)) {
			t.buf = t.buf[:copy(t.buf, t.buf[drop:])]
			t.base = keep
		} else if drop != 0 {
			t.base, t.buf = keep, t.buf[:0]
		}
		have := t.base + int64(len(t.buf))
		want := min(max(off+int64(n), have+t.chunk), t.s.size)
		t.chunk = min(2*t.chunk, lastChunk)
		t.buf = grow(t.buf, int(want-t.base))
		piece := t.buf[len(t.buf):int(want-t.base)]
		if _, err := t.s.file.ReadAt(piece, have); err != nil {
			return nil, t.s.readError(have, 0, err)
		}
		t.buf = t.buf[:int(want-t.base)]
	}
	return t.buf[off-t.base:][:n], nil
}

// logEvent is an event frame of a whole batch, as a scan finds it.
type logEvent struct {
	seq      uint64
	offset   int64
	envelope []byte // valid during the visit only
}

// tail is what a scan learned of where the frames end.
type tail struct {
	end    int64  // after the last commit or mark frame
	epoch  uint8  // in force at end
	synced int64  // greatest offset that a frame promises to be durable
	next   uint64 // sequence of the next event
	marked bool   // the last frame is a mark
	broken error  // why reading stopped: a *DamageError, or nil when unwritten bytes follow
}

// stop says where reading stopped, and why.
func (t *tail) stop(s *segment) *DamageError {
	if d, ok := t.broken.(*DamageError); ok {
		return d
	}
	return &DamageError{File: s.name, Offset: t.end, Seq: t.next, Reason: "the frames end"}
}

// scan reads the frames from the segment's start and visits the events of whole batches. It
// stops where the frames do; what lies behind is for the caller to judge.
func (s *segment) scan(ctx context.Context, visit func(logEvent) error) (tail, error) {
	t := tapes.Get().(*tape)
	defer t.release()
	t.load(s)
	end := tail{end: segmentStart, synced: segmentStart, next: s.first}
	var pending []logEvent // of the batch that is being read; offsets only
	var sizes []int
	signed := false // the batch, so that it ends with its signature
	for off := int64(segmentStart); ; {
		head, err := t.at(off, frameHeader, end.end)
		if errors.Is(err, io.EOF) {
			return end, nil
		}
		if err != nil {
			return end, err
		}
		if binary.LittleEndian.Uint64(head) == 0 && binary.LittleEndian.Uint64(head[8:]) == 0 {
			return end, nil
		}
		f, ok := parseFrame(head, s.size-off, s.crc)
		if !ok {
			end.broken = s.damage(off, end.next+uint64(len(pending)), "not a frame")
			return end, nil
		}
		whole, err := t.at(off, frameHeader+int(f.length), end.end)
		if err != nil {
			return end, err
		}
		switch seq := end.next + uint64(len(pending)); {
		case frameCRC(whole, s.crc) != f.crc:
			end.broken = s.damage(off, seq, "frame checksum mismatch")
			return end, nil
		case int64(f.synced) > off:
			end.broken = s.damage(off, seq, "frame promises what is behind it")
			return end, nil
		case f.epoch != end.epoch && (f.typ != frameMark || f.epoch < end.epoch):
			end.broken = s.damage(off, seq, "frame of epoch %d in epoch %d", f.epoch, end.epoch)
			return end, nil
		}
		end.synced = max(end.synced, int64(f.synced))
		next := off + int64(frameSize(int(f.length)))
		switch f.typ {
		case frameEvent:
			if signed {
				return end, s.damage(off, end.next, "event behind the signature of its batch")
			}
			pending = append(pending, logEvent{seq: end.next + uint64(len(pending)), offset: off})
			sizes = append(sizes, int(f.length))
		case frameSign:
			if signed || len(pending) == 0 {
				return end, s.damage(off, end.next, "signature of nothing")
			}
			signed = true
		case frameMark:
			if len(pending) > 0 {
				return end, s.damage(off, end.next, "mark within a batch")
			}
			end.end, end.epoch, end.marked = next, f.epoch, true
		case frameCommit:
			err := s.checkCommit(t, parseCommit(whole[frameHeader:]), end, off, len(pending))
			if _, ok := err.(*DamageError); ok {
				end.broken = err
				return end, nil
			}
			if err != nil {
				return end, err
			}
			for i, ev := range pending {
				body, err := t.at(ev.offset+frameHeader, sizes[i], end.end)
				if err != nil {
					return end, err
				}
				ev.envelope = body
				if err := visit(ev); err != nil {
					return end, err
				}
			}
			end.next += uint64(len(pending))
			end.end, end.marked = next, false
			pending, sizes, signed = pending[:0], sizes[:0], false
			if err := ctx.Err(); err != nil {
				return end, err
			}
		}
		off = next
	}
}

// checkCommit compares a commit frame at off with the batch before it, which starts at end.end.
func (s *segment) checkCommit(t *tape, c commit, end tail, off int64, events int) error {
	switch {
	case c.first != end.next:
		return s.damage(off, end.next, "batch starts with event %d", c.first)
	case int(c.count) != events || events == 0:
		return s.damage(off, end.next, "batch of %d events has %d", c.count, events)
	}
	batch, err := t.at(end.end, int(off-end.end), end.end)
	if err != nil {
		return err
	}
	if crc32.Checksum(batch, castagnoli) != c.crc {
		return s.damage(off, end.next, "batch checksum mismatch")
	}
	return nil
}

// judgePiece is how many bytes are passed over at a time when nothing was written there.
const judgePiece = 4 << 10

// judge decides what the bytes behind a scan's end are. clean: nothing was written there. A torn
// write, of bytes that nobody was promised, gives clean == false and no error. Damage to bytes
// that were durable once is a DamageError.
func (s *segment) judge(ctx context.Context, end tail) (clean bool, err error) {
	t := tapes.Get().(*tape)
	defer t.release()
	t.load(s)
	first := int64(-1) // first byte that was written
	for off := end.end; off < s.size; off += 8 {
		if (off-end.end)%judgePiece == 0 && s.size-off >= judgePiece {
			if err := ctx.Err(); err != nil {
				return false, err
			}
			piece, err := t.at(off, judgePiece, off)
			if err != nil {
				return false, err
			}
			if bytes.Equal(piece, zeros[:judgePiece]) {
				off += judgePiece - 8
				continue
			}
		}
		head, err := t.at(off, int(min(frameHeader, s.size-off)), off)
		if err != nil {
			return false, err
		}
		if binary.LittleEndian.Uint64(head) == 0 {
			continue
		}
		if first < 0 {
			first = off
		}
		if len(head) < frameHeader {
			break
		}
		f, ok := parseFrame(head, s.size-off, s.crc)
		if !ok || f.epoch < end.epoch || int64(f.synced) > off || int64(f.synced) <= end.end {
			continue
		}
		whole, err := t.at(off, frameHeader+int(f.length), off)
		if err != nil {
			return false, err
		}
		if frameCRC(whole, s.crc) == f.crc {
			d := end.stop(s)
			return false, s.damage(d.Offset, d.Seq, "%s, and the frame at offset %d says that it was durable up to %d", d.Reason, off, f.synced)
		}
	}
	return first < 0, nil
}

// intact says whether b is frames from end to end, as they were written.
func (s *segment) intact(b []byte) bool {
	for len(b) >= frameHeader {
		f, ok := parseFrame(b, int64(len(b)), s.crc)
		if !ok || frameCRC(b[:frameHeader+int(f.length)], s.crc) != f.crc {
			return false
		}
		size := frameSize(int(f.length))
		for _, pad := range b[frameHeader+int(f.length) : size] { // only a commit's checksum covers it
			if pad != 0 {
				return false
			}
		}
		b = b[size:]
	}
	return len(b) == 0
}

// buildIndex reads a sealed segment through to make its index in memory.
func (s *segment) buildIndex(ctx context.Context) (*memIndex, error) {
	x := newMemIndex()
	var terms []uint64
	var ev causal.Event
	end, err := s.scan(ctx, func(e logEvent) error {
		if err := s.decodeInto(e.offset, e.seq, e.envelope, &ev); err != nil {
			return err
		}
		terms = appendTerms(terms[:0], &ev.Header)
		x.add(indexEntry{ev.ID, uint32(e.offset), terms})
		return nil
	})
	if err == nil && end.broken != nil {
		err = end.broken
	}
	return x, err
}

// decodeInto reads the envelope of the event at off into ev and checks that it is the one that
// belongs there.
func (s *segment) decodeInto(off int64, seq uint64, envelope []byte, ev *causal.Event) error {
	if err := codec.DecodeEnvelopeInto(envelope, ev); err != nil {
		return s.damage(off, seq, "envelope: %v", err)
	}
	if ev.Seq != seq {
		return s.damage(off, seq, "envelope of event %d", ev.Seq)
	}
	return nil
}
