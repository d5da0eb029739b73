package keystore

import (
	"bytes"
	"fmt"
	"iter"
	"slices"

	"batpak/causal"
)

// Used says that the log has one more event sealed under each of these keys, for good; a key may be there more
// than once. It makes a successor the scope's key.
func (s *Store) Used(keys ...*Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		s.settleScope(k)
		s.keys.at(k.n).events++
	}
}

// Bind says that the log has one more event of a scope, sealed under the key with this id: what Used says,
// by somebody who reads the log. A key that the keyset does not have is noted as missing. The error is
// ErrScope when the scope is bad, or the key is known as one of another scope.
func (s *Store) Bind(scope Scope, id causal.KeyID) error {
	if err := s.check("bind", scope); err != nil {
		return err
	}
	hash := s.hash(scope)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.keys.known(id)
	switch e := s.keys.at(n); e.scope {
	case scopeHash{}:
		s.bind(n, hash)
	case hash:
	default:
		return fmt.Errorf("keystore: bind %s: %w: key %s is of another", scope, ErrScope, id)
	}
	s.keys.at(n).events++
	return nil
}

// Events is how many events the log has under a key, as far as Used and Bind have said.
func (s *Store) Events(id causal.KeyID) uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if e := s.keys.find(id); e != nil {
		return e.events
	}
	return 0
}

// SetEvents is for somebody who has kept what AllEvents said. It passes over a key that is not known.
func (s *Store) SetEvents(id causal.KeyID, n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.keys.find(id); e != nil {
		e.events = n
	}
}

// AllEvents is Events of every key that has some, ascending by id, as they are at the call.
func (s *Store) AllEvents() iter.Seq2[causal.KeyID, uint64] {
	type count struct {
		id     causal.KeyID
		events uint64
	}
	s.mu.RLock()
	counts := make([]count, 0, s.keys.count[live])
	for n := range s.keys.n {
		if e := s.keys.at(n); e.events > 0 {
			counts = append(counts, count{e.id, e.events})
		}
	}
	s.mu.RUnlock()
	return func(yield func(causal.KeyID, uint64) bool) {
		slices.SortFunc(counts, func(a, b count) int { return bytes.Compare(a.id[:], b.id[:]) })
		for _, c := range counts {
			if !yield(c.id, c.events) {
				return
			}
		}
	}
}

// Seen is the sequence of the log that was last given to SetSeen: the keyset has all that the log says up
// to there, as soon as it is flushed. When a keyset is loaded, a log is to be read from there.
func (s *Store) Seen() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.seen
}

// SetSeen says that the log up to seq was told by Used, Bind and Destroy. The next Flush makes it durable.
// It does not make the store dirty.
func (s *Store) SetSeen(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = seq
}
