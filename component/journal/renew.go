package journal

import (
	"errors"
	"fmt"
	"hash/maphash"

	"batpak/causal"
	"batpak/codec"
	"batpak/gates"
	"batpak/keystore"
)

// successor is the key that an erased scope gets when it is renewed. The keyset gives the scope to it
// when its first event is durable; until then only the sequencer knows.
type successor struct {
	key    *keystore.Key
	staged bool // the event that says so is staged and not settled: the scope is as good as renewed
}

// renew stages the events that renew the erased key scopes for which a batch asks: in front of its
// own, which have to follow one another, and once for each scope.
func (s *sequencer) renew(b *Batch) error {
	if s.j.keys == nil || s.j.seal == keystore.Event { // an event that is new has a scope that is
		return nil
	}
	for i := range b.Events {
		a := &b.Events[i]
		if !a.Renew {
			continue
		}
		h := causal.Header{Coordinate: a.Coordinate, Kind: a.Kind, Subject: a.Subject}
		scope, ok := s.j.seal.Scope(&h)
		if !ok {
			continue
		}
		next := s.successors[scope]
		if next != nil && next.staged {
			continue
		}
		if next == nil { // else it is erased: it has not got its successor
			if _, err := s.j.keys.Get(scope); !errors.Is(err, keystore.ErrShredded) {
				continue // what else there is to say about it, its event says
			}
		}
		if err := s.renewScope(scope, &h); err != nil {
			return err
		}
	}
	return nil
}

func (s *sequencer) renewScope(scope keystore.Scope, h *causal.Header) error {
	next := s.successors[scope]
	if next == nil {
		// Kept when the batch comes to nothing: who is refused again and again takes one key.
		key, err := s.j.keys.Successor(scope)
		if err != nil {
			return fmt.Errorf("journal: new key for %s: %w", scope, keyError(err))
		}
		next = &successor{key: key}
		s.successors[scope] = next
	}
	if _, err := s.system(erasures, causal.KindRenew, "renew", s.j.renewal(h, next.key.ID())); err != nil {
		return err
	}
	next.staged = true
	s.group.renewed = append(s.group.renewed, scope)
	return nil
}

// renewal is the payload of a renewal of the key scope of h.
func (j *Journal) renewal(h *causal.Header, key causal.KeyID) *codec.Renewal {
	r := &codec.Renewal{Key: key}
	switch j.seal {
	case keystore.Entity:
		at := h.Coordinate
		r.Entity = &at
	case keystore.Kind:
		kind := h.Kind
		r.Kind = &kind
	case keystore.Category:
		category := h.Kind.Category()
		r.Category = &category
	case keystore.Subject:
		r.Subject = h.Subject
	}
	return r
}

// system stages an event of the journal itself. No gate is asked: what there is to decide was decided.
func (s *sequencer) system(stream causal.Stream, kind causal.Kind, reason string, payload codec.Body) (codec.Receipt, error) {
	data, err := codec.Marshal(nil, codec.Msgpack, payload)
	if err != nil {
		return codec.Receipt{}, fmt.Errorf("journal: event of kind %s: %w", kind, err)
	}
	at := s.stagedHead(&stream)
	permit, err := gates.Bypass(&gates.Proposal{
		Header: causal.Header{Lineage: s.j.lineage, Coordinate: stream.Coordinate, Version: at.head.Version + 1, Kind: kind},
		Data:   data,
	}, reason)
	if err != nil {
		return codec.Receipt{}, fmt.Errorf("journal: event of kind %s: %w", kind, err)
	}
	return s.write(permit, at)
}

// keyFor returns the key that seals the event, nil when it is not sealed.
func (s *sequencer) keyFor(h *causal.Header) (*keystore.Key, error) {
	if s.j.keys == nil {
		return nil, nil
	}
	scope, ok := s.j.seal.Scope(h)
	if !ok {
		return nil, nil
	}
	if len(s.successors) > 0 {
		if next := s.successors[scope]; next != nil && next.staged {
			return next.key, nil
		}
	}
	recent := &s.recent[maphash.Comparable(s.seed, scope)%recentKeys]
	if recent.scope == scope {
		return recent.key, nil
	}
	key, err := s.j.keys.GetOrCreate(scope)
	if errors.Is(err, keystore.ErrShredded) {
		return nil, fmt.Errorf("journal: %s: %w", scope, ErrErased)
	}
	if err != nil {
		return nil, fmt.Errorf("journal: key for %s: %w", scope, keyError(err))
	}
	*recent = recentKey{scope, key}
	return key, nil
}

// recentKey is a key that was used lately, and its scope: to look for it costs more than half of what it costs to seal. An
// erasure, behind which nothing is staged before it is settled, forgets them all.
type recentKey struct {
	scope keystore.Scope
	key   *keystore.Key
}

const recentKeys = 1 << 10

// keyError gives an error of getting one key its place among the journal's.
func keyError(err error) error {
	if errors.Is(err, keystore.ErrDamaged) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return fmt.Errorf("%w: %w", ErrStorage, err)
}
