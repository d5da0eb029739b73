package journal

import (
	"hash/crc32"

	"batpak/causal"
	"batpak/codec"
	"batpak/keystore"
)

// group is a commit batch: what the sequencer has staged and the committer writes with one sync.
type group struct {
	gen     uint64 // the sequencer's generation: groups of a generation that failed are not written
	buf     []byte // frames, whose headers the committer fills in
	clear   []byte // the payloads of the sealed events, before they were sealed
	events  []stagedEvent
	terms   []uint64 // of the events
	keys    []stagedKey
	reqs    []*request       // in order; some were refused and have no events
	tree    *causal.Tree     // over the events' hashes; nil when the journal does not sign
	sealed  bool             // some event was sealed: the keyset must be durable first
	renewed []keystore.Scope // erased key scopes that have a new key from this group on
	denials keptDenials      // what its events of denials say
	erasure *request         // the group is this erasure and nothing else
	err     error            // why nothing of it was written
	redo    bool             // not written because an earlier group failed: stage it again
}

// stagedEvent is an event that has bytes in a group's buf.
type stagedEvent struct {
	stream  causal.Stream
	head    causal.Head // of the stream, after the event
	id      causal.EventID
	off     int32         // of its frame in buf
	size    int32         // of its envelope
	clear   int32         // of its payload in the group's clear, when it is sealed
	key     *keystore.Key // nil when it is not sealed
	terms   []uint64      // for the index; part of the group's
	later   bool          // the stream has a staged event after this one
	prev    stagedRef     // the stream's event before it, if that was staged too
	prevSeq uint64        // sequence of the stream's event before it; what prev points to is gone once that is settled
}

// stagedKey is an idempotency key that was used in a group.
type stagedKey struct {
	hash   keyHash
	seq    uint64
	millis uint64
}

// stagedRef points to a staged event; the zero value points to none.
type stagedRef struct {
	group *group
	i     int
}

func (r stagedRef) event() *stagedEvent { return &r.group.events[r.i] }

func (g *group) envelope(e *stagedEvent) []byte {
	start := int(e.off) + frameHeader
	return g.buf[start : start+int(e.size)]
}

// event returns a staged event with its payload in clear. Both are part of the group's memory: the
// batch that they came with may be its caller's again.
func (g *group) event(e *stagedEvent) (causal.Event, []byte, error) {
	ev, err := codec.DecodeEnvelope(g.envelope(e))
	if err != nil || e.key == nil {
		return ev, ev.Data, err
	}
	return ev, g.clear[e.clear:][:len(ev.Data)-keystore.Overhead], nil
}

func (g *group) full() bool { return len(g.buf) >= groupBytes || len(g.events) >= groupEvents }

// fits says whether a request of at most n bytes can still go into the group, which must fit a
// segment of size bytes as a whole.
func (g *group) fits(n, size int64) bool {
	return len(g.reqs) == 0 || g.diskSize()+n <= segmentRoom(size)
}

// diskSize is what the group takes in a segment.
func (g *group) diskSize() int64 {
	n := len(g.buf) + frameSize(commitBody)
	if g.tree != nil {
		n += frameSize(signBody)
	}
	return int64(n)
}

// finish fills in the frame headers for a place at the end of the segment, and returns the frames
// with the signature frame, if there is a signature, and the commit frame behind them. It leaves buf as it is, because the sequencer still reads the
// envelopes of staged events in it.
func (g *group) finish(s *segment, first uint64, signature *signedGroup) []byte {
	f := frame{synced: uint32(s.end), epoch: s.epoch, typ: frameEvent}
	for i := range g.events {
		e := &g.events[i]
		sealFrame(g.buf[e.off:], int(e.size), f, s.crc)
	}
	frames := g.buf
	if signature != nil {
		start := len(frames)
		frames = padFrame(signature.appendSignature(reserveFrame(frames)), start)
		f.typ = frameSign
		sealFrame(frames[start:], signBody, f, s.crc)
	}
	c := commit{first: first, count: uint32(len(g.events)), crc: crc32.Checksum(frames, castagnoli)}
	start := len(frames)
	frames = appendCommit(reserveFrame(frames), c)
	f.typ = frameCommit
	sealFrame(frames[start:], commitBody, f, s.crc)
	return frames
}

// reset makes the group empty and keeps its memory, unless that grew out of the ordinary.
func (g *group) reset() {
	clear(g.clear)
	if cap(g.buf) > 2*groupBytes {
		g.buf, g.clear = nil, nil
	}
	if cap(g.terms) > 16*groupEvents {
		g.terms = nil
	}
	clear(g.events) // drops references to other groups
	*g = group{buf: g.buf[:0], clear: g.clear[:0], events: g.events[:0], terms: g.terms[:0], keys: g.keys[:0], renewed: g.renewed[:0]}
}
