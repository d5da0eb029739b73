package keystore

import (
	"fmt"
	"slices"

	"batpak/causal"
)

// Keys is the ids of a scope's keys that are not destroyed: what an erasure of it destroys. The error is
// ErrKeyMissing when the scope never had a key, or ErrScope.
func (s *Store) Keys(scope Scope) ([]causal.KeyID, error) {
	if err := s.check("keys", scope); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var ids []causal.KeyID
	known := false
	s.keys.of(s.hash(scope), func(_ uint32, e *entry) bool {
		known = true
		if e.state != dead {
			ids = append(ids, e.id)
		}
		return true
	})
	if !known {
		return nil, fmt.Errorf("keystore: keys: %s: %w", scope, ErrKeyMissing)
	}
	slices.Reverse(ids)
	return ids, nil
}

// Destroy wipes keys of a scope and returns the ids of those that it destroyed
// now. In memory it takes effect at once, for holders of the key too; it is
// durable after a flush, and then the file has nothing left of them.
//
// Without ids it destroys all keys of the scope; it changes nothing when they
// were destroyed before, and fails with ErrKeyMissing when the
// scope never had one. With ids it destroys exactly those, and notes as destroyed
// those that the keyset does not know: this is how an erasure that is on record
// is applied to a keyset from before it, and a key that the scope got later is
// left alone. The error is ErrScope for a scope that is bad, and when one of the
// ids is of another scope; nothing is changed then.
func (s *Store) Destroy(scope Scope, ids ...causal.KeyID) ([]causal.KeyID, error) {
	if len(ids) == 0 {
		var err error
		if ids, err = s.Keys(scope); err != nil {
			return nil, fmt.Errorf("keystore: destroy: %w", err)
		}
	}
	if err := s.check("destroy", scope); err != nil {
		return nil, err
	}
	hash := s.hash(scope)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if e := s.keys.find(id); e != nil && e.scope != hash && e.scope != (scopeHash{}) {
			return nil, fmt.Errorf("keystore: destroy: %s: %w: key %s is of another", scope, ErrScope, id)
		}
	}
	var destroyed []causal.KeyID
	for _, id := range ids {
		if e := s.keys.find(id); e == nil || e.state != dead {
			s.noteDead(id, hash)
			destroyed = append(destroyed, id)
		}
	}
	return destroyed, nil
}

// noteDead destroys a key that is the scope's, or nobody's, or unknown. The lock is held.
func (s *Store) noteDead(id causal.KeyID, scope scopeHash) {
	n := s.keys.known(id)
	if s.keys.at(n).state == spare {
		s.spares.forget(n)
		s.coming.forget(n)
	}
	if s.keys.at(n).scope == (scopeHash{}) {
		s.keys.bind(n, scope)
	}
	s.keys.become(n, dead)
	for _, k := range []*Key{s.fresh[n], s.opened.take(n)} {
		if k != nil {
			k.wipe()
		}
	}
	delete(s.fresh, n)
	if s.keys.at(n).record == noRecord {
		for i := range s.pending { // so that it never gets to the disk
			if r := &s.pending[i]; r.typ == typeKey && r.id == id {
				clear(r.body[:])
			}
		}
	}
	s.pending = append(s.pending, destroyedRecord(id, scope))
	s.doomed++
}
