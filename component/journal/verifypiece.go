package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync"

	"batpak/causal"
	"batpak/codec"
)

const (
	pieceBytes = 128 << 10 // of log that are checked at a time, unless a group is larger
	keptPiece  = 8 << 20   // bytes of the largest piece whose memory is kept
)

// piece is a part of a segment: whole groups, unless err says why the last one has no end.
type piece struct {
	s     *segment
	off   int64  // in the segment, of buf
	buf   []byte // whole frames
	first uint64 // sequence of the first event

	checked chan struct{} // closed when what follows is there
	links   []codec.Link  // of the events that are good by themselves, without a gap
	signed  []signedSpan  // the groups of those that have a signature, which is right
	err     error         // what is wrong behind them, or why reading went no further
}

// signedSpan is a group whose signature was checked.
type signedSpan struct {
	first, last uint64
	signer      string
}

var pieces = sync.Pool{New: func() any { return new(piece) }}

func (p *piece) release() {
	if cap(p.buf) <= keptPiece {
		*p = piece{buf: p.buf[:0], links: p.links[:0], signed: p.signed[:0]}
		pieces.Put(p)
	}
}

// cutter reads the log forward and cuts it into pieces. It looks at the frames' headers alone. Where a segment
// ends it knows from the next one; the index tells only where the first piece begins.
type cutter struct {
	j    *Journal
	s    *segment // nil before the first piece, and when the next one is in another segment
	last uint64   // sequence of the last event that is wanted of s
	off  int64    // in s, of the next group
	seq  uint64   // its first event
	to   uint64
	rest []byte // was read already, from off on
}

// next fills a piece, and says whether there are more.
func (c *cutter) next(p *piece) (more bool) {
	p.links, p.signed, p.buf, p.first = p.links[:0], p.signed[:0], p.buf[:0], c.seq
	if p.err = c.begin(); p.err == nil {
		p.s, p.off, p.first = c.s, c.off, c.seq
		p.err = c.fill(p)
	}
	return p.err == nil && c.seq <= c.to
}

// begin goes to the segment that has the next event, and at first back to the start of its group.
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
	t := tapes.Get().(*tape)
	defer t.release()
	t.load(s)
	off, err := x.offset(int(c.seq - s.first))
	if err != nil {
		return finding(c.seq, err)
	}
	end, _, err := t.groupEnd(off, c.seq)
	if err == nil {
		c.off, err = x.offset(int(end.first - s.first))
	}
	if err != nil {
		return finding(c.seq, err)
	}
	c.seq = end.first
	return nil
}

// fill reads whole groups into a piece.
func (c *cutter) fill(p *piece) error {
	p.buf, c.rest = append(p.buf, c.rest...), c.rest[:0]
	at, whole, events := 0, 0, uint64(0) // in p.buf; how many of the group at hand
	for c.seq <= c.last && whole < pieceBytes {
		seq := c.seq + events
		f, next, err := c.frame(p, at, seq)
		if err != nil {
			p.buf = p.buf[:at]
			return finding(seq, err)
		}
		if at = next; f.typ == frameEvent {
			events++
			continue
		}
		if f.typ == frameCommit || f.typ == frameMark {
			c.seq, whole, events = c.seq+events, at, 0
		}
	}
	c.rest = append(c.rest, p.buf[whole:]...)
	c.off += int64(whole)
	p.buf = p.buf[:whole]
	switch {
	case c.seq <= c.last:
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
	want := int(min(int64(max(n, have+pieceBytes)), room))
	if cap(p.buf) < want {
		p.buf = append(make([]byte, 0, max(want, 2*have)), p.buf...)
	}
	if _, err := c.s.file.ReadAt(p.buf[have:want], p.off+int64(have)); err != nil {
		return c.s.readError(p.off+int64(have), c.seq, err)
	}
	p.buf = p.buf[:want]
	return nil
}

// checker checks pieces, each for itself. A worker has its own.
type checker struct {
	lineage causal.Lineage
	tree    causal.Tree
	signer  string // the last one
}

// check looks at every byte of a piece.
func (c *checker) check(p *piece) {
	s := p.s
	start, group := 0, 0 // of the group at hand: in p.buf, in p.links
	var signature []byte // of it
	for at := 0; at < len(p.buf); {
		off := p.off + int64(at)
		first := p.first + uint64(group)
		seq := p.first + uint64(len(p.links))
		f := readFrame(p.buf[at:])
		body := p.buf[at+frameHeader:][:f.length]
		if frameCRC(p.buf[at:at+frameHeader+len(body)], s.crc) != f.crc {
			p.fail(finding(seq, s.damage(off, seq, "frame checksum mismatch")))
			return
		}
		var err error
		switch f.typ {
		case frameEvent:
			if signature != nil {
				err = finding(first, s.damage(off, first, "event behind the signature of its batch"))
			} else {
				err = c.event(p, seq, body)
			}
		case frameSign:
			if signature != nil || group == len(p.links) {
				err = finding(first, s.damage(off, first, "signature of nothing"))
			}
			signature = body
		case frameMark:
			if group < len(p.links) {
				err = finding(first, s.damage(off, first, "mark within a batch"))
			}
			start = at + frameHeader
		case frameCommit:
			if err = s.checkGroup(parseCommit(body), first, len(p.links)-group, p.buf[start:at], off); err == nil && signature != nil {
				err = c.signature(p, signature, first, p.links[group:])
			}
			start, group, signature = at+frameHeader+commitBody, len(p.links), nil
		}
		if err != nil {
			p.fail(err)
			return
		}
		at += frameSize(len(body))
	}
	if p.err != nil {
		p.fail(p.err)
	}
}

// fail says what is wrong with a piece. Where that is about a group, none of its events is good.
func (p *piece) fail(err error) {
	p.err = err
	var wrong *VerifyError
	if errors.As(err, &wrong) && wrong.Seq-p.first < uint64(len(p.links)) {
		p.links = p.links[:wrong.Seq-p.first]
	}
}

// event checks an envelope by itself.
func (c *checker) event(p *piece, seq uint64, envelope []byte) error {
	n := len(p.links)
	if n == cap(p.links) {
		p.links = slices.Grow(p.links, 1)
	}
	l := &p.links[:n+1][n]
	switch err := codec.CheckEnvelope(envelope, l); {
	case err != nil:
		return &VerifyError{Seq: seq, Reason: err.Error()}
	case l.Seq != seq:
		return &VerifyError{Seq: seq, Reason: fmt.Sprintf("the envelope says it is event %d", l.Seq)}
	case l.Lineage != c.lineage:
		return &VerifyError{Seq: seq, Reason: fmt.Sprintf("the envelope is of lineage %s", l.Lineage)}
	}
	p.links = p.links[:n+1]
	return nil
}

// checkGroup compares a commit frame at off with the frames before it.
func (s *segment) checkGroup(c commit, first uint64, events int, frames []byte, off int64) error {
	switch {
	case c.first != first:
		return finding(first, s.damage(off, first, "batch starts with event %d", c.first))
	case int64(c.count) != int64(events) || events == 0:
		return finding(first, s.damage(off, first, "batch of %d events has %d", c.count, events))
	case crc32.Checksum(frames, castagnoli) != c.crc:
		return finding(first, s.damage(off, first, "batch checksum mismatch"))
	}
	return nil
}

// signature checks the body of a signature frame against the events of its group.
func (c *checker) signature(p *piece, body []byte, first uint64, events []codec.Link) error {
	c.tree.Truncate(0)
	for i := range events {
		c.tree.Add(&events[i].Hash)
	}
	if string(body[:signerSize]) != c.signer {
		c.signer = string(body[:signerSize])
	}
	g := signedGroup{signer: c.signer, first: first, tree: &c.tree, sig: [sigSize]byte(body[signerSize:])}
	if err := g.verify(c.lineage); err != nil {
		return &VerifyError{Seq: first, Reason: err.Error()}
	}
	p.signed = append(p.signed, signedSpan{first: first, last: g.last(), signer: g.signer})
	return nil
}
