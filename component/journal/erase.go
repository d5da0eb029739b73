package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"

	"batpak/causal"
	"batpak/codec"
	"batpak/keystore"
)

// MaxReason is the longest reason of an erasure, in bytes.
const MaxReason = 1024

// ErasureEntity is the entity, at causal.SystemScope, of the events that say which keys were destroyed,
// and which key scopes got a new key after that.
const ErasureEntity = "erasures"

// erasures is where those events are: one stream, so that its order is theirs.
var erasures = causal.Stream{Coordinate: causal.Coordinate{Scope: causal.SystemScope, Entity: ErasureEntity}}

// Erasure says what to erase, and why. Exactly one of Entity, Kind, Category, Event and Subject is
// set, the one that the journal seals by.
type Erasure struct {
	Entity   *causal.Coordinate
	Kind     *causal.Kind
	Category *uint8
	Event    causal.EventID
	Subject  string
	Reason   string // 1 to MaxReason bytes of UTF-8 without control characters; stays on record
	Actor    string // who asks, at most causal.MaxName bytes; may be empty
}

// Shredded is what an erasure did.
type Shredded struct {
	Receipt codec.Receipt  // of the event that has it on record
	Keys    []causal.KeyID // that were destroyed; none when the scope had been erased before
	Events  uint64         // how many events were sealed under them
}

// ErasureRecord is an erasure that the journal has on record.
type ErasureRecord struct {
	Erasure
	Keys   []causal.KeyID
	Events uint64
	ID     causal.EventID // of the event that has it on record
	Seq    uint64
	Time   causal.HLC
}

// Shred destroys the key of a key scope, and with it every payload that was sealed under it. When it
// returns without an error the erasure is on record and the key is gone from memory and disk: nothing
// opens those payloads any more, and a keyset from before does not bring them back. Appends into the
// scope get ErrErased from then on, unless they ask to renew it. Erasing again is on record again,
// and destroys nothing.
//
// Errors are ErrInvalid (the selector is not one, or not what the journal seals by), ErrNotFound (the
// scope never had a key), and those of Append. Only after ErrStorage and ErrPoisoned, and when ctx ends
// first, the erasure may be on record or not; asking again is safe.
func (j *Journal) Shred(ctx context.Context, e Erasure) (Shredded, error) {
	type outcome struct {
		done Shredded
		err  error
	}
	c := make(chan outcome, 1)
	err := j.SubmitShred(e, func(done Shredded, err error) { c <- outcome{done, err} })
	if err != nil {
		return Shredded{}, err
	}
	select {
	case o := <-c:
		return o.done, o.err
	case <-ctx.Done():
		return Shredded{}, ctx.Err()
	}
}

// SubmitShred is Shred without waiting. As with Submit, an error means that nothing was queued, and
// otherwise done is called once, from the journal's reply goroutine, and must not wait.
func (j *Journal) SubmitShred(e Erasure, done func(Shredded, error)) error {
	if err := checkErasure(&e); err != nil {
		return err
	}
	scope, err := j.scopeOf(e.payload())
	if err != nil {
		return err
	}
	if err := j.Poisoned(); err != nil {
		return err
	}
	x := &erasing{Erasure: e.clone(), scope: scope}
	r := &request{erasing: x, keeps: true, bytes: int64(eventRoom + len(e.Reason) + len(e.Actor))}
	r.done = func(receipts []codec.Receipt, err error) {
		if err != nil {
			done(Shredded{}, err)
			return
		}
		done(Shredded{Receipt: receipts[0], Keys: x.keys, Events: x.events}, nil)
	}
	return j.queue.put(r)
}

// erasing is an erasure on its way through the journal.
type erasing struct {
	Erasure
	scope  keystore.Scope
	keys   []causal.KeyID // what it destroys; the sequencer finds out
	events uint64
}

// payload is what goes on record, still without keys.
func (e *Erasure) payload() *codec.Erasure {
	return &codec.Erasure{
		Entity: e.Entity, Kind: e.Kind, Category: e.Category, Event: e.Event, Subject: e.Subject,
		Reason: e.Reason, Actor: e.Actor,
	}
}

// clone returns a copy that shares nothing with what the caller may change.
func (e Erasure) clone() Erasure {
	if e.Entity != nil {
		at := *e.Entity
		e.Entity = &at
	}
	if e.Kind != nil {
		kind := *e.Kind
		e.Kind = &kind
	}
	if e.Category != nil {
		category := *e.Category
		e.Category = &category
	}
	return e
}

func checkErasure(e *Erasure) error {
	switch {
	case e.Reason == "" || len(e.Reason) > MaxReason:
		return invalid("the reason of an erasure has 1 to %d bytes, not %d", MaxReason, len(e.Reason))
	case !utf8.ValidString(e.Reason), strings.ContainsFunc(e.Reason, unicode.IsControl):
		return invalid("the reason of an erasure is not UTF-8, or has control characters")
	case e.Actor == "":
		return nil
	}
	if err := causal.CheckName("actor", e.Actor); err != nil {
		return fmt.Errorf("journal: %w: %w", ErrInvalid, err)
	}
	return nil
}

// scopeOf returns the key scope that a selector names. The error matches ErrInvalid.
func (j *Journal) scopeOf(e *codec.Erasure) (keystore.Scope, error) {
	var h causal.Header
	var by []keystore.Granularity
	var err error
	if e.Entity != nil {
		by, h.Coordinate = append(by, keystore.Entity), *e.Entity
		err = e.Entity.Validate()
	}
	if e.Kind != nil {
		by, h.Kind = append(by, keystore.Kind), *e.Kind
	}
	if e.Category != nil {
		by = append(by, keystore.Category)
		h.Kind, err = causal.MakeKind(*e.Category, 0)
	}
	if !e.Event.IsZero() {
		by, h.ID = append(by, keystore.Event), e.Event
	}
	if e.Subject != "" {
		by, h.Subject = append(by, keystore.Subject), e.Subject
		err = causal.CheckName("subject", e.Subject)
	}
	switch {
	case j.seal == keystore.None:
		return keystore.Scope{}, invalid("nothing is sealed in this journal, so nothing can be erased")
	case len(by) != 1:
		return keystore.Scope{}, invalid("an erasure is of one of entity, kind, category, event and subject, not of %d", len(by))
	case by[0] != j.seal:
		return keystore.Scope{}, invalid("this journal seals by %s, and erases by that alone, not by %s", j.seal, by[0])
	case err != nil:
		return keystore.Scope{}, fmt.Errorf("journal: %w: %w", ErrInvalid, err)
	}
	scope, ok := j.seal.Scope(&h)
	if !ok || (j.seal == keystore.Kind || j.seal == keystore.Category) && h.Kind.Reserved() {
		return keystore.Scope{}, invalid("events of the journal itself are not sealed")
	}
	return scope, nil
}

// erase stages the event of an erasure. Everything before it is settled, and nothing is staged behind it
// before it is settled itself: what it finds here is what it destroys.
func (s *sequencer) erase(r *request) error {
	e, keys := r.erasing, s.j.keys
	ids, err := keys.Keys(e.scope)
	if errors.Is(err, keystore.ErrKeyMissing) {
		return fmt.Errorf("journal: nothing was ever sealed for %s: %w", e.scope, ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("journal: keys of %s: %w: %w", e.scope, ErrInvalid, err)
	}
	e.keys, e.events = ids, 0
	for _, id := range ids {
		e.events += keys.Events(id)
	}
	payload := e.payload()
	payload.Keys, payload.Events = e.keys, e.events
	rc, err := s.system(erasures, causal.KindShred, "shred", payload)
	if err != nil {
		return err
	}
	delete(s.successors, e.scope)
	r.receipts = []codec.Receipt{rc}
	s.group.erasure = r
	return nil
}

// erase makes an erasure true whose event is durable: it destroys the keys, and makes the gates forget
// what they know from the payloads. Whoever sees the event finds the payloads shredded. An error is of
// the keyset, which is then not what the log says.
func (c *committer) erase(r *request) error {
	j, e := c.j, r.erasing
	if len(e.keys) > 0 { // without ids, Destroy is about the live key
		if _, err := j.keys.Destroy(e.scope, e.keys...); err != nil {
			return fmt.Errorf("destroy the keys of event %d: %w", r.receipts[0].Seq, err)
		}
	}
	if err := j.chain.Forget(); err != nil {
		j.logger.Error("a gate may remember what was erased", "name", j.name, "why", err)
		r.err = fmt.Errorf("journal: event %d: keys are destroyed, but a gate may remember: %w", r.receipts[0].Seq, err)
	}
	return nil
}

// finishErasure makes the destruction durable. When that fails the erasure stays: it is on record, the
// keys are gone from memory, and the keyset is dirty, so the next fence flushes it, and Open does.
func (c *committer) finishErasure(r *request) {
	j := c.j
	err := j.keys.Flush()
	if err == nil {
		return
	}
	j.logger.Error("keyset not flushed after an erasure: the keys may still be on disk", "name", j.name, "why", err)
	r.err = errors.Join(r.err, fmt.Errorf("journal: %w: the erasure is on record as event %d, but the keys may still be on disk: %w",
		ErrStorage, r.receipts[0].Seq, err))
}

// learn tells the keyset what an event of the log says of keys: under which one it is sealed, or
// which ones were destroyed. So a keyset from before an erasure opens nothing that was erased. The
// error says what cannot be.
func (j *Journal) learn(ev *causal.Event) error {
	if ev.Scope == causal.SystemScope && ev.Kind == causal.KindShred {
		return j.relearn(ev)
	}
	if ev.Enc == nil {
		return nil
	}
	if j.keys == nil {
		return errors.New("is sealed, in a journal that seals nothing")
	}
	scope, ok := j.seal.Scope(&ev.Header)
	if !ok {
		return errors.New("is sealed, and of no key scope")
	}
	return j.keys.Bind(scope, ev.Enc.Key)
}

// relearn applies the erasure that an event has on record.
func (j *Journal) relearn(ev *causal.Event) error {
	var e codec.Erasure
	if err := codec.Unmarshal(ev.Data, codec.Msgpack, &e); err != nil {
		return fmt.Errorf("an erasure that cannot be read: %w", err)
	}
	scope, err := j.scopeOf(&e)
	if err != nil {
		return fmt.Errorf("an erasure that cannot be: %w", err)
	}
	if len(e.Keys) == 0 { // without ids, Destroy is about the live key
		return nil
	}
	destroyed, err := j.keys.Destroy(scope, e.Keys...)
	if err != nil {
		return fmt.Errorf("an erasure that cannot be: %w", err)
	}
	j.relearned = j.relearned || len(destroyed) > 0
	return nil
}

// catchUp makes durable what the log has taught the keyset, before anybody uses the journal. The log
// itself is durable by now: no key is destroyed for good without an event that says so.
func (j *Journal) catchUp() error {
	if j.keys == nil {
		return nil
	}
	if j.keys.Seen() > j.visible { // the log is from before the keyset, and goes on from there
		j.keys.SetSeen(j.visible)
		j.relearned = true
	}
	if !j.relearned {
		return nil
	}
	if err := j.keys.Flush(); err != nil {
		return fmt.Errorf("journal: %w: apply erasures to the keyset: %w", ErrStorage, err)
	}
	return nil
}

// Erasures gives the erasures on record that are visible at the start, in order. An error ends it.
func (j *Journal) Erasures(ctx context.Context) iter.Seq2[ErasureRecord, error] {
	sel := codec.Selection{Scope: erasures.Scope, Entity: erasures.Entity, Kinds: []causal.Kind{causal.KindShred}}
	return func(yield func(ErasureRecord, error) bool) {
		for ev, err := range j.Events(ctx, sel) {
			var e codec.Erasure
			if err == nil {
				err = codec.Unmarshal(ev.Data, codec.Msgpack, &e)
			}
			if err != nil {
				yield(ErasureRecord{}, err)
				return
			}
			record := ErasureRecord{
				Erasure: Erasure{Entity: e.Entity, Kind: e.Kind, Category: e.Category, Event: e.Event, Subject: e.Subject,
					Reason: e.Reason, Actor: e.Actor},
				Keys: e.Keys, Events: e.Events, ID: ev.ID, Seq: ev.Seq, Time: ev.Time,
			}
			if !yield(record, nil) {
				return
			}
		}
	}
}
