package journal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"batpak/causal"
	"batpak/codec"
)

// signedSpan is a group whose signature was checked.
type signedSpan struct {
	first, last uint64
	signer      string
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
