package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"batpak/causal"
	"batpak/codec"
	"batpak/gates"
	"batpak/keystore"
)

// try takes a request through idempotency, expectation, gates and sealing, in this order, and
// appends its events to the group. When it fails, the caller undoes what it staged.
func (s *sequencer) try(r *request) error {
	b := r.batch
	var key keyHash
	if b.Key != "" {
		key = hashKey(s.j.lineage, b.Events[0].Scope, b.Key)
		if seq, ok := s.findKey(key); ok {
			known, err := s.duplicate(r, seq)
			if known || err != nil {
				return err
			}
		}
	}
	if r.refused != nil {
		return r.refused
	}
	for i := range b.Events {
		if err := s.conditions(&b.Events[i], r.surveyed); err != nil {
			return inBatch(b, i, err)
		}
	}
	if err := s.renew(b); err != nil {
		return err
	}
	r.receipts = make([]codec.Receipt, 0, len(b.Events))
	for i := range b.Events {
		if err := s.event(r, i); err != nil {
			return inBatch(b, i, err)
		}
	}
	if b.Key != "" {
		first := &r.receipts[0]
		s.keys[key] = first.Seq
		s.group.keys = append(s.group.keys, stagedKey{hash: key, seq: first.Seq, millis: first.Time})
	}
	return nil
}

// inBatch says which event of a batch an error is about, when there is more than one.
func inBatch(b *Batch, i int, err error) error {
	if len(b.Events) == 1 {
		return err
	}
	return &batchError{event: i, err: err}
}

func (s *sequencer) findKey(k keyHash) (uint64, bool) {
	if seq, ok := s.keys[k]; ok {
		return seq, true
	}
	s.j.mu.RLock()
	defer s.j.mu.RUnlock()
	return s.j.window.find(k)
}

// duplicate answers a request whose key leads to the event with this sequence: with the receipts
// of the first time, or a conflict when the content differs. known is false when the event has
// another key after all.
func (s *sequencer) duplicate(r *request, seq uint64) (known bool, err error) {
	b := r.batch
	first, _, err := s.eventAt(seq)
	if err != nil {
		return false, err
	}
	if first.Key != b.Key || first.Scope != b.Events[0].Scope {
		return false, nil
	}
	count := max(int(first.Batch.Count), 1)
	if count != len(b.Events) {
		return true, &ConflictError{Reason: ConflictKey, Seq: seq}
	}
	receipts := make([]codec.Receipt, count)
	for i := range receipts {
		ev, payload, err := s.eventAt(seq + uint64(i))
		if err != nil {
			return true, err
		}
		if !sameContent(&b.Events[i], &ev, payload) {
			return true, &ConflictError{Reason: ConflictKey, Seq: seq}
		}
		receipts[i] = receipt(&ev.Header, ev.Hash)
		receipts[i].Duplicate = true
	}
	r.receipts = receipts
	return true, nil
}

// sameContent compares an append with the event that its key led to. The payload of an event that
// was erased cannot be compared, only its length: nothing is kept that would help to guess it.
func sameContent(a *Append, ev *causal.Event, payload []byte) bool {
	if payload == nil && len(ev.Data) != len(a.Data)+keystore.Overhead {
		return false
	}
	if payload != nil && !bytes.Equal(payload, a.Data) {
		return false
	}
	return a.Coordinate == ev.Coordinate && a.Lane == ev.Lane && a.Kind == ev.Kind && a.Schema == ev.Schema &&
		slices.Equal(a.Causes, ev.Causes) && a.Correlation == ev.Correlation && a.Subject == ev.Subject &&
		maps.Equal(withoutTrace(a.Meta), withoutTrace(ev.Meta))
}

// withoutTrace leaves out the meta that a retry may change: it names the attempt, not the content.
func withoutTrace(meta map[string]string) map[string]string {
	if _, ok := meta[codec.MetaTraceparent]; !ok {
		return meta
	}
	meta = maps.Clone(meta)
	delete(meta, codec.MetaTraceparent)
	return meta
}

// eventAt returns any event up to the last one staged, with its payload in clear, or nil when
// that cannot be had.
func (s *sequencer) eventAt(seq uint64) (causal.Event, []byte, error) {
	if seq <= s.settled {
		ev, err := s.j.GetSeq(seq)
		if err != nil {
			return ev, nil, err
		}
		payload, _, err := s.j.Payload(&ev)
		return ev, payload, err
	}
	g, e, err := s.stagedAt(seq)
	if err != nil {
		return causal.Event{}, nil, err
	}
	return g.event(e)
}

// conditions checks what an append expects of the journal as it is before its batch. Unless was held
// against the events up to surveyed already.
func (s *sequencer) conditions(a *Append, surveyed uint64) error {
	stream := causal.Stream{Coordinate: a.Coordinate, Lane: a.Lane}
	if a.Expect != nil {
		if head := s.head(stream); head.Version != *a.Expect {
			c := &ConflictError{Reason: ConflictExpect, Version: head.Version, Seq: head.Seq}
			return s.explain(c, stream, *a.Expect)
		}
	}
	if a.ExpectSeq != nil {
		if seq := s.coordinateSeq(a.Coordinate); seq != *a.ExpectSeq {
			c := &ConflictError{Reason: ConflictExpect, Version: s.head(stream).Version, Seq: seq}
			return s.explainSelection(c, codec.Selection{After: *a.ExpectSeq, Scope: a.Scope, Entity: a.Entity})
		}
	}
	for _, cause := range a.Causes {
		if !cause.Lineage.IsZero() && cause.Lineage != s.j.lineage {
			continue
		}
		if err := s.exists(cause.ID); err != nil {
			return err
		}
	}
	if a.Unless == nil {
		return nil
	}
	// What survey has looked at is not looked at again.
	since := *a.Unless
	since.After = max(since.After, surveyed)
	c := &ConflictError{Reason: ConflictUnless}
	if err := s.explainSelection(c, since); err != nil && !errors.Is(err, ErrConflict) {
		return err
	}
	if c.Seq == 0 {
		return nil
	}
	return c
}

// explain fills in the stream's events after version, and returns the conflict. A caller who is far
// behind gets none and has to read: all appends wait while they are looked for.
func (s *sequencer) explain(c *ConflictError, stream causal.Stream, version uint64) error {
	if c.Version > version && c.Version-version > conflictReach {
		return c
	}
	for ev, err := range s.streamEvents(stream, version) {
		if err != nil {
			return err
		}
		if !c.add(&ev.Event) {
			break
		}
	}
	return c
}

// explainSelection fills in the events that match, staged ones included, and returns the conflict.
func (s *sequencer) explainSelection(c *ConflictError, sel codec.Selection) error {
	for ev, err := range s.j.events(context.Background(), sel, s.settled) {
		if err != nil {
			return err
		}
		if !c.add(&ev) {
			return c
		}
	}
	if sel.After >= s.next {
		return c
	}
	for seq := max(sel.After, s.settled) + 1; seq < s.next && (sel.Until == 0 || seq <= sel.Until); seq++ {
		ev, _, err := s.eventAt(seq)
		if err != nil {
			return err
		}
		if matches(&ev, &sel) && !c.add(&ev) {
			return c
		}
	}
	return c
}

// exists reports, as an error that matches ErrInvalid, whether there is no event with this id.
func (s *sequencer) exists(id causal.EventID) error {
	if _, e := s.stagedID(id); e != nil {
		return nil
	}
	switch _, _, err := s.j.locateID(id); {
	case errors.Is(err, ErrNotFound):
		return invalid("cause %s is not an event of this journal", id)
	default:
		return err
	}
}

// event judges event i of a request and stages it.
func (s *sequencer) event(r *request, i int) error {
	b := r.batch
	a := &b.Events[i]
	stream := causal.Stream{Coordinate: a.Coordinate, Lane: a.Lane}
	at := s.stagedHead(&stream)
	p := &s.proposal
	*p = gates.Proposal{
		Header: causal.Header{
			Lineage: s.j.lineage, Coordinate: a.Coordinate, Lane: a.Lane, Version: at.head.Version + 1, Kind: a.Kind, Schema: a.Schema,
			Seq: s.next, Time: s.j.clock.Now(), // what the gates judge by is what the event has
			Causes: a.Causes, Correlation: a.Correlation, Subject: a.Subject, Meta: a.Meta,
		},
		Data: a.Data,
	}
	if i == 0 {
		p.Header.Key = b.Key
	}
	if len(b.Events) > 1 {
		p.Header.Batch = causal.BatchPos{Index: uint32(i), Count: uint32(len(b.Events))}
	}
	permit, err := s.permit(a, p)
	if err != nil {
		return err
	}
	rc, err := s.write(permit, at)
	if err != nil {
		return err
	}
	r.receipts = append(r.receipts, rc)
	return nil
}

func (s *sequencer) permit(a *Append, p *gates.Proposal) (*gates.Permit, error) {
	if a.Bypass != "" {
		permit, err := gates.Bypass(p, a.Bypass)
		if err != nil {
			return nil, fmt.Errorf("journal: %w: %w", ErrInvalid, err)
		}
		return permit, nil
	}
	if err := s.j.chain.JudgeInto(&s.judged, p, view{s}); err != nil {
		return nil, err
	}
	return &s.judged, nil
}

// write stages the event that a permit carries, where its stream stands at: the only place that
// events come from.
func (s *sequencer) write(permit *gates.Permit, at stagedHead) (codec.Receipt, error) {
	p, names, err := permit.Use()
	if err != nil {
		return codec.Receipt{}, fmt.Errorf("journal: %w", err)
	}
	j, g := s.j, s.group
	h := p.Header
	h.Gates = names
	if h.Time == (causal.HLC{}) { // an event of the journal itself, which no gate was asked about
		h.Time = j.clock.Now()
	}
	h.ID = j.ids.Next(h.Time.Millis)
	h.Seq, h.Version, h.Prev = s.next, at.head.Version+1, at.head.Hash

	key, err := s.keyFor(&h)
	if err != nil {
		return codec.Receipt{}, err
	}
	start := len(g.buf)
	g.buf = reserveFrame(g.buf)
	if g.buf, err = s.appendEnvelope(g.buf, &h, p.Data, key); err != nil {
		return codec.Receipt{}, err
	}
	envelope := g.buf[start+frameHeader:]
	size := len(envelope)
	hash := causal.HashEnvelope(envelope)
	g.buf = padFrame(g.buf, start)

	stream := h.Stream()
	e := stagedEvent{
		stream: stream, head: at.head.Next(&h, hash), id: h.ID,
		off: int32(start), size: int32(size), clear: int32(len(g.clear)), key: key, prev: at.last, prevSeq: at.head.Seq,
	}
	if at.last.group != nil {
		at.last.event().later = true
	}
	own := len(g.terms)
	g.terms = appendTerms(g.terms, &h)
	e.terms = g.terms[own:]
	g.events = append(g.events, e)
	if g.tree != nil {
		g.tree.Add(&hash)
	}
	if key != nil {
		g.clear = append(g.clear, p.Data...)
		g.sealed = true
	}
	s.staged[stream] = stagedHead{head: e.head, last: stagedRef{g, len(g.events) - 1}}
	s.next++
	if h.Version == 1 {
		j.noteLane(stream)
	}
	return receipt(&h, hash), nil
}

// appendEnvelope appends the envelope, the payload sealed in place when there is a key.
func (s *sequencer) appendEnvelope(dst []byte, h *causal.Header, data []byte, key *keystore.Key) ([]byte, error) {
	if key == nil {
		return codec.AppendEnvelope(dst, h, data), nil
	}
	s.enc = causal.Enc{Key: key.ID(), Nonce: key.NewNonce()}
	h.Enc = &s.enc
	start := len(dst)
	dst = codec.AppendPrefix(dst, h)
	s.aad = codec.SealContext(s.aad[:0], dst[start:])
	dst = codec.AppendData(dst, len(data)+keystore.Overhead)
	sealed, err := key.Seal(dst, data, s.aad, &h.Enc.Nonce)
	if err != nil {
		return dst, fmt.Errorf("journal: seal: %w", err)
	}
	return sealed, nil
}

// receipt says what an event became.
func receipt(h *causal.Header, hash causal.Hash) codec.Receipt {
	return codec.Receipt{
		ID: h.ID, Seq: h.Seq, Version: h.Version, Time: h.Time.Millis, Tick: h.Time.Tick,
		Hash: hash, Prev: h.Prev, Lineage: h.Lineage, Durable: codec.AckDisk,
	}
}
