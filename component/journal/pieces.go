package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"batpak/causal"
	"batpak/codec"
)

const (
	pieceBytes = 128 << 10 // of log that are looked at together, unless a group is larger
	lonePiece  = 32 << 10  // bytes that a piece has before it is worth passing on
	keptPiece  = 8 << 20   // bytes of the largest piece whose memory is kept
)

// piece is a part of a segment: whole frames, and for who checks groups whole groups, unless err says why the last one
// has no end.
type piece struct {
	s     *segment
	off   int64  // in the segment, of buf
	buf   []byte // whole frames
	first uint64 // sequence of the first event

	done   chan struct{}  // closed when what follows is there
	links  []codec.Link   // for Verify: of the events that are good by themselves, without a gap
	signed []signedSpan   // for Verify: the groups of those that have a signature, which is right
	events []causal.Event // for Replay: the same events, decoded
	err    error          // what is wrong behind them, or why reading went no further
}

var pieces = sync.Pool{New: func() any { return new(piece) }}

func (p *piece) release() {
	if cap(p.buf) <= keptPiece {
		clear(p.events[:cap(p.events)]) // they keep what they point to
		*p = piece{buf: p.buf[:0], links: p.links[:0], signed: p.signed[:0], events: p.events[:0]}
		pieces.Put(p)
	}
}

// cutter reads the log forward and cuts it into pieces, which grow: who reads little pays for little. It looks at the
// frames' headers alone. Where a segment ends it knows from the next one; the index tells only where the first piece
// begins.
type cutter struct {
	j     *Journal
	seq   uint64 // the first event of the next piece
	to    uint64 // the last event that is wanted
	split bool   // between any two frames; else between groups alone, and back to the start of the first one

	s    *segment // nil before the first piece, and when the next one is in another segment
	last uint64   // sequence of the last event that is wanted of s
	off  int64    // in s, of the next piece
	rest []byte   // was read already, from off on
	size int      // bytes of the next piece
}

// run passes the pieces from a goroutine that cuts them, through workers that look at each by itself, to join, in
// order and in the caller's goroutine. worker gives what one worker does. The first pieces are not passed on. The first
// error of join, which is returned, and the end of ctx end the others; they have ended when run returns, also when
// join panics.
func (c *cutter) run(ctx context.Context, workers int, worker func() func(*piece), join func(*piece) error) error {
	if more, err := c.runAlone(ctx, worker(), join); err != nil || !more {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	free := make(chan *piece, workers+2) // bounds the memory
	for range cap(free) {
		free <- pieces.Get().(*piece)
	}
	cut, order := make(chan *piece, cap(free)), make(chan *piece, cap(free)) // the same pieces: for workers, and to join
	var running sync.WaitGroup
	defer func() {
		cancel()
		running.Wait()
		for len(free) > 0 {
			(<-free).release()
		}
	}()
	work := func() {
		look := worker()
		for p := range cut {
			if ctx.Err() == nil {
				look(p)
			}
			close(p.done)
		}
	}
	running.Go(func() {
		defer close(order)
		defer close(cut)
		for n, more := 0, true; more; n++ {
			select {
			case <-ctx.Done():
				return
			case p := <-free:
				more = c.next(p)
				p.done = make(chan struct{})
				if n < workers { // no more of them than there are pieces
					running.Go(work)
				}
				cut <- p
				order <- p
			}
		}
	})
	for p := range order {
		<-p.done
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := join(p); err != nil {
			return err
		}
		free <- p
	}
	return ctx.Err()
}

// runAlone takes the first pieces, which are small, without other goroutines. It says whether there are more.
func (c *cutter) runAlone(ctx context.Context, look func(*piece), join func(*piece) error) (more bool, err error) {
	p := pieces.Get().(*piece)
	defer p.release()
	for more = true; more && err == nil && c.size < lonePiece; {
		if err = ctx.Err(); err == nil {
			more = c.next(p)
			look(p)
			err = join(p)
		}
	}
	return more, err
}

// next fills a piece, and says whether there are more.
func (c *cutter) next(p *piece) (more bool) {
	c.size = min(max(firstChunk, 2*c.size), pieceBytes)
	p.links, p.signed, p.events, p.buf, p.first = p.links[:0], p.signed[:0], p.events[:0], p.buf[:0], c.seq
	if p.err = c.begin(); p.err == nil {
		p.s, p.off, p.first = c.s, c.off, c.seq
		p.err = c.fill(p)
	}
	return p.err == nil && c.seq <= c.to
}

// begin goes to the segment that has the next event, and at first to that event or back to the start of its group.
func (c *cutter) begin() error {
	if c.s != nil {
		return nil
	}
	s, x, err := c.j.segmentOf(c.seq)
	if err != nil {
		return err
	}
	c.s, c.off, c.rest = s, segmentStart, c.rest[:0]
	c.last = min(c.to, s.first+uint64(x.count())-1)
	if c.seq == s.first {
		return nil
	}
	if c.off, err = x.offset(int(c.seq - s.first)); err != nil || c.split {
		return finding(c.seq, err)
	}
	t := tapes.Get().(*tape)
	defer t.release()
	t.load(s)
	end, _, err := t.groupEnd(c.off, c.seq)
	if err == nil {
		c.off, err = x.offset(int(end.first - s.first))
	}
	if err != nil {
		return finding(c.seq, err)
	}
	c.seq = end.first
	return nil
}

// fill reads whole groups into a piece, or frames.
func (c *cutter) fill(p *piece) error {
	p.buf, c.rest = append(p.buf, c.rest...), c.rest[:0]
	at, whole, events := 0, 0, uint64(0) // in p.buf; how many of the group at hand
	for c.seq <= c.last && whole < c.size {
		seq := c.seq + events
		f, next, err := c.frame(p, at, seq)
		if err != nil {
			p.buf = p.buf[:at]
			return finding(seq, err)
		}
		if at = next; f.typ == frameEvent {
			events++
		}
		if f.typ == frameCommit || f.typ == frameMark || c.split {
			c.seq, whole, events = c.seq+events, at, 0
		}
	}
	rest := p.buf[whole:]
	c.off += int64(whole)
	p.buf = p.buf[:whole]
	switch {
	case c.seq <= c.last:
		c.rest = append(c.rest, rest...)
	case c.seq-1 > c.last && c.last < c.to:
		return finding(c.last+1, c.s.damage(c.off, c.last+1, "a group goes on behind event %d, the last of the segment", c.last))
	default:
		c.s = nil
	}
	return nil
}

// frame returns the header of the frame at p.buf[at:], all of which is there then, and where the next one is.
func (c *cutter) frame(p *piece, at int, seq uint64) (f frame, next int, err error) {
	if err := c.read(p, at+frameHeader); errors.Is(err, io.EOF) {
		return f, 0, c.s.damage(p.off+int64(at), seq, "the segment ends before event %d", seq)
	} else if err != nil {
		return f, 0, err
	}
	head := p.buf[at:]
	if binary.LittleEndian.Uint64(head) == 0 && binary.LittleEndian.Uint64(head[8:]) == 0 {
		return f, 0, c.s.damage(p.off+int64(at), seq, "the frames end before event %d", seq)
	}
	f, ok := parseFrame(head, c.s.size-p.off-int64(at), c.s.crc)
	if !ok {
		return f, 0, c.s.damage(p.off+int64(at), seq, "not a frame")
	}
	next = at + frameSize(int(f.length))
	return f, next, c.read(p, next)
}

// read makes p.buf have at least n bytes. Past the segment's end it returns io.EOF.
func (c *cutter) read(p *piece, n int) error {
	have := len(p.buf)
	if n <= have {
		return nil
	}
	room := c.s.size - p.off
	if int64(n) > room {
		return io.EOF
	}
	want := int(min(int64(max(n, c.size, have+c.size/8)), room)) // the piece, and then a little for its last frames
	if cap(p.buf) < want {
		p.buf = append(make([]byte, 0, want+want/4), p.buf...)
	}
	if _, err := c.s.file.ReadAt(p.buf[have:want], p.off+int64(have)); err != nil {
		return c.s.readError(p.off+int64(have), c.seq, err)
	}
	p.buf = p.buf[:want]
	return nil
}
