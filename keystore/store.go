package keystore

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"batpak/causal"
	"batpak/faultfs"
)

// fileName is the keyset's name in the folder of the keys.
const fileName = "keyset"

// Store is the keys of one journal. It is safe for concurrent use. Two stores
// over one folder, in one process or two, would overwrite each other: keeping
// the second one out is the caller's duty.
type Store struct {
	fsys        faultfs.FS
	granularity Granularity

	// flushing holds one token while a flush runs. A channel, because a mutex
	// is not to be held across I/O.
	flushing chan struct{}

	mu     sync.RWMutex // guards what follows, and is never held across I/O
	latest map[Scope]*Key
	byID   map[causal.KeyID]*Key
	live   int

	// keys is every key, destroyed ones too, in the order of the file. It only
	// ever grows, and its elements stay: a flush reads a prefix of it unlocked.
	keys []*Key

	// changes counts mints and destructions; durable is what it was when the
	// keyset on disk was taken. The store is dirty while they differ, and while
	// found is set: the keyset was read from a folder that was not synced since.
	changes, durable uint64
	found            bool
}

func empty(fsys faultfs.FS, g Granularity) (*Store, error) {
	if !g.valid() {
		return nil, fmt.Errorf("keystore: %w: %s", ErrGranularity, g)
	}
	return &Store{
		fsys:        fsys,
		granularity: g,
		flushing:    make(chan struct{}, 1),
		latest:      make(map[Scope]*Key),
		byID:        make(map[causal.KeyID]*Key),
	}, nil
}

// New makes an empty keyset in the root of fsys, which must be a folder that
// exists durably, and returns when it is durable itself. It fails with ErrExists
// when there is a keyset, whatever its state.
func New(fsys faultfs.FS, g Granularity) (*Store, error) {
	s, err := empty(fsys, g)
	if err != nil {
		return nil, err
	}
	switch f, err := fsys.Open(fileName); {
	case err == nil:
		_ = f.Close() // only its being there was of interest
		return nil, fmt.Errorf("keystore: new %s: %w", fileName, ErrExists)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("keystore: new %s: %w", fileName, err)
	}
	if err := faultfs.Publish(fsys, fileName, encode(g, nil), perm); err != nil {
		return nil, fmt.Errorf("keystore: new %s: %w", fileName, err)
	}
	return s, nil
}

// Granularity is what the keyset was made with.
func (s *Store) Granularity() Granularity { return s.granularity }

// Len is the number of live keys, those that are not durable yet included.
func (s *Store) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.live
}

// Get is the live key of a scope. The error is ErrShredded when the scope's key
// was destroyed, ErrKeyMissing when it never had one, or ErrScope.
func (s *Store) Get(scope Scope) (*Key, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.find(scope)
}

// find is Get with the lock held, for reading at least. Only scopes that are good
// are ever found, so a scope is checked when it is not.
func (s *Store) find(scope Scope) (*Key, error) {
	k := s.latest[scope]
	switch {
	case k == nil:
		if err := scope.check(s.granularity); err != nil {
			return nil, fmt.Errorf("keystore: get: %w", err)
		}
		return nil, fmt.Errorf("keystore: get: %s: %w", scope, ErrKeyMissing)
	case k.dead:
		return nil, fmt.Errorf("keystore: get: %s: %w", scope, ErrShredded)
	}
	return k, nil
}

// ByID is the live key with an id, whatever its scope. The error is ErrShredded
// when the key was destroyed, and ErrKeyMissing when the keyset has never had
// it.
func (s *Store) ByID(id causal.KeyID) (*Key, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	k := s.byID[id]
	switch {
	case k == nil:
		return nil, fmt.Errorf("keystore: get: key %s: %w", id, ErrKeyMissing)
	case k.dead:
		return nil, fmt.Errorf("keystore: get: key %s: %w", id, ErrShredded)
	}
	return k, nil
}

// GetOrCreate is Get, and mints a key when the scope never had one. A minted key
// is in memory only, and the store dirty, until a flush. The error is ErrShredded
// when the scope's key was destroyed, or ErrScope.
func (s *Store) GetOrCreate(scope Scope) (*Key, error) {
	if k, err := s.Get(scope); !errors.Is(err, ErrKeyMissing) {
		return k, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Once more: another caller may have been here since.
	k, err := s.find(scope)
	if errors.Is(err, ErrKeyMissing) {
		return s.mint(scope)
	}
	return k, err
}

// Renew is GetOrCreate, and also mints a key, with a new id, when the scope's key
// was destroyed. What was sealed under the destroyed one stays shredded. The
// error is ErrScope.
func (s *Store) Renew(scope Scope) (*Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.find(scope)
	if errors.Is(err, ErrKeyMissing) || errors.Is(err, ErrShredded) {
		return s.mint(scope)
	}
	return k, err
}

// mint makes a key for a scope that was checked and has no live one. The lock is
// held.
func (s *Store) mint(scope Scope) (*Key, error) {
	k, err := mint(scope)
	if err != nil {
		return nil, err
	}
	s.add(k)
	s.changes++
	return k, nil
}

// add takes a key in. The lock is held. A tombstone never hides a live key.
func (s *Store) add(k *Key) {
	s.keys = append(s.keys, k)
	s.byID[k.id] = k
	if !k.dead {
		s.live++
	}
	if last := s.latest[k.scope]; last == nil || last.dead {
		s.latest[k.scope] = k
	}
}

// Destroy wipes keys of a scope and returns the ids of those that it destroyed
// now. In memory it takes effect at once, for holders of the key too; it is
// durable after a flush.
//
// Without ids it destroys the scope's live key; it changes nothing when there is
// none because it was destroyed before, and fails with ErrKeyMissing when the
// scope never had one. With ids it destroys exactly those, and notes as destroyed
// those that the keyset does not know: this is how an erasure that is on record
// is applied to a keyset from before it, and a key that the scope got later is
// left alone. The error is ErrScope for a scope that is bad, and when one of the
// ids is of another scope; nothing is changed then.
func (s *Store) Destroy(scope Scope, ids ...causal.KeyID) ([]causal.KeyID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := scope.check(s.granularity); err != nil {
		return nil, fmt.Errorf("keystore: destroy: %w", err)
	}
	if len(ids) == 0 {
		k := s.latest[scope]
		if k == nil {
			return nil, fmt.Errorf("keystore: destroy: %s: %w", scope, ErrKeyMissing)
		}
		ids = []causal.KeyID{k.id}
	}
	if i := slices.IndexFunc(ids, func(id causal.KeyID) bool {
		k := s.byID[id]
		return k != nil && k.scope != scope
	}); i >= 0 {
		return nil, fmt.Errorf("keystore: destroy: %s: %w: key %s is of another", scope, ErrScope, ids[i])
	}
	var destroyed []causal.KeyID
	for _, id := range ids {
		switch k := s.byID[id]; {
		case k == nil:
			s.add(&Key{id: id, scope: scope, dead: true})
		case k.dead:
			continue
		default:
			k.destroy()
			s.live--
		}
		destroyed = append(destroyed, id)
		s.changes++
	}
	return destroyed, nil
}
