package keystore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"batpak/causal"
	"batpak/faultfs"
)

// fileName is the keyset's name in the folder of the keys.
const fileName = "keyset"

// perm is for the owner alone: whoever reads the file may have the keys.
const perm fs.FileMode = 0o600

// Bounds of the reserve, in keys.
const (
	DefaultReserve = 64
	maxReserve     = 16384
)

// Options is how a keyset is protected, and how far it looks ahead. The zero value is good.
type Options struct {
	// Wrapper protects the master key, under which the keys lie in the file. Nil leaves it in the file as it
	// is. A keyset that is wrapped needs it to be loaded; one that is not, does not use it.
	Wrapper Wrapper

	// Reserve is how many keys are made durable ahead of need at least: 0 means DefaultReserve, a negative
	// number none. When keys are needed fast there are more, up to 16384.
	Reserve int
}

// Store is the keys of one journal. It is safe for concurrent use. Two stores
// over one folder, in one process or two, would overwrite each other: keeping
// the second one out is the caller's duty.
type Store struct {
	fsys    faultfs.FS
	file    faultfs.File
	head    *header
	master  *master
	reserve int // at least so many spares, unless it is 0

	// flushing holds one token while a flush runs; who has it owns what follows. A channel, because a
	// mutex is not to be held across I/O.
	flushing chan struct{}
	state    state  // the last one that was written
	lasting  bool   // and it is durable
	firm     uint64 // records that a durable state counts
	wiped    uint64 // what the next state says of it
	safe     uint64 // what was seen, as it is durable
	placed   uint64 // records in the file that are or will be counted
	rolled   []byte // the records from state.count to placed, when they were found and may not be durable
	tail     bool   // there may be bytes behind the records
	broken   bool   // one of the two states was found not to be whole

	mu        sync.RWMutex // guards what follows, and is never held across I/O
	keys      table
	fresh     map[uint32]*Key // keys that are not durable
	opened    cache
	spares    spares
	coming    spares   // in the file, and in no durable state
	taken     int      // spares since the last refill
	pending   []record // not in the file
	uncounted []record // in the file, and in no durable state
	doomed    int      // destructions among these two
	wipes     []uint32 // keys that were destroyed for good, and are still in the file
	seen      uint64
	closed    bool
	found     bool // it was loaded from a folder that was not synced since
}

func (o Options) least() int {
	switch {
	case o.Reserve < 0:
		return 0
	case o.Reserve == 0:
		return DefaultReserve
	}
	return min(o.Reserve, maxReserve)
}

// Close forgets the keys, as well as they can be wiped, and closes the file. What is dirty is lost, and
// who uses the store afterwards gets an error.
func (s *Store) Close() error {
	s.flushing <- struct{}{}
	defer func() { <-s.flushing }()
	s.mu.Lock()
	for _, kept := range []map[uint32]*Key{s.fresh, s.opened.young, s.opened.old} {
		for _, k := range kept {
			k.wipe()
		}
	}
	clear(s.spares)
	clear(s.coming)
	s.fresh, s.opened, s.closed = make(map[uint32]*Key), cache{}, true
	s.master.wipe()
	s.mu.Unlock()
	return s.file.Close()
}

// Granularity is what the keyset was made with.
func (s *Store) Granularity() Granularity { return s.head.granularity }

// Method says how the master key is wrapped; Clear when it is not.
func (s *Store) Method() string { return s.head.method }

// Len is the number of live keys, those that are not durable yet included. Keys of no scope do not count.
func (s *Store) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.keys.count[live]
}

// last is the scope's key that counts: the live one, or else its last one. The lock is held, for reading
// at least.
func (s *Store) last(hash scopeHash) (n uint32, state keyState, ok bool) {
	s.keys.of(hash, func(at uint32, e *entry) bool {
		if !ok || e.state == live {
			n, state, ok = at, e.state, true
		}
		return state != live
	})
	return n, state, ok
}

// check refuses a scope that is not one of this keyset.
func (s *Store) check(op string, scope Scope) error {
	if err := scope.check(s.head.granularity); err != nil {
		return fmt.Errorf("keystore: %s: %w", op, err)
	}
	return nil
}

// Get is the live key of a scope. The error is ErrShredded when the scope's key
// was destroyed, ErrKeyMissing when it never had one or the keyset does not have it, ErrScope, or that of
// reading the keyset.
func (s *Store) Get(scope Scope) (*Key, error) {
	if err := s.check("get", scope); err != nil {
		return nil, err
	}
	s.mu.RLock()
	n, state, ok := s.last(s.hash(scope))
	s.mu.RUnlock()
	return s.liveKey(scope, n, state, ok)
}

// liveKey is the key that last has found for a scope, or why it cannot be had.
func (s *Store) liveKey(scope Scope, n uint32, state keyState, ok bool) (*Key, error) {
	switch {
	case !ok || state == missing:
		return nil, fmt.Errorf("keystore: get: %s: %w", scope, ErrKeyMissing)
	case state == dead:
		return nil, fmt.Errorf("keystore: get: %s: %w", scope, ErrShredded)
	}
	return s.key(n)
}

// ByID is the live key with an id, whatever its scope. The error is ErrShredded
// when the key was destroyed, ErrKeyMissing when the keyset does not have
// it, or that of reading the keyset.
func (s *Store) ByID(id causal.KeyID) (*Key, error) {
	s.mu.RLock()
	n, ok := s.keys.byID(id)
	state := missing
	if ok {
		state = s.keys.at(n).state
	}
	s.mu.RUnlock()
	switch state {
	case missing:
		return nil, fmt.Errorf("keystore: get: key %s: %w", id, ErrKeyMissing)
	case dead:
		return nil, fmt.Errorf("keystore: get: key %s: %w", id, ErrShredded)
	}
	return s.key(n)
}

// GetOrCreate is Get, and gives the scope a key when it has none that was destroyed: one of the reserve, or
// one that is minted. A minted key
// is in memory only, and the store dirty, until a flush. The error is ErrShredded
// when the scope's key was destroyed, ErrScope, or that of reading the keyset.
func (s *Store) GetOrCreate(scope Scope) (*Key, error) {
	if err := s.check("get", scope); err != nil {
		return nil, err
	}
	hash := s.hash(scope)
	s.mu.Lock()
	n, state, ok := s.last(hash)
	var k *Key
	switch {
	case !ok || state == missing:
		n, k = s.takeKey()
		s.bind(n, hash)
		state, ok = live, true
	case state == live:
		k = s.inMemory(n)
	}
	s.mu.Unlock()
	if k != nil {
		return k, nil
	}
	return s.liveKey(scope, n, state, ok)
}

// Successor is a key for a scope whose key was destroyed. It is the scope's when the first event under it
// is on record, see [Store.Used]; until then the scope stays as it is. For any other scope it is
// GetOrCreate.
func (s *Store) Successor(scope Scope) (*Key, error) {
	k, err := s.GetOrCreate(scope)
	if !errors.Is(err, ErrShredded) {
		return k, err
	}
	s.mu.Lock()
	n, k := s.takeKey()
	s.mu.Unlock()
	if k == nil {
		if k, err = s.key(n); err != nil {
			return nil, err
		}
	}
	own := *k // the kept one may be another successor's some day
	own.scope = s.hash(scope)
	return &own, nil
}

// Renew is Successor, and the key is the scope's at once. What was sealed under the destroyed one stays
// shredded.
func (s *Store) Renew(scope Scope) (*Key, error) {
	k, err := s.Successor(scope)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settleScope(k)
	return k, nil
}

// takeKey is a key of nobody: a durable one, or else a new one. It is nil when it has to be read. The lock is
// held.
func (s *Store) takeKey() (n uint32, k *Key) {
	for len(s.spares) > 0 {
		key := s.spares.pop()
		e := s.keys.at(key.n)
		if e.state != spare {
			continue
		}
		s.taken++
		if !key.known {
			return key.n, nil
		}
		k = s.newKey(key.n, e.id, &key.secret)
		s.opened.put(key.n, k)
		return key.n, k
	}
	s.taken++
	var ids [1]causal.KeyID
	var minted [1]spareKey
	mint(ids[:], minted[:])
	n = s.keys.add(ids[0], spare)
	s.pending = append(s.pending, s.master.record(ids[0], &minted[0].secret))
	k = s.newKey(n, ids[0], &minted[0].secret)
	s.fresh[n] = k
	return n, k
}

// bind gives a key to a scope. The lock is held.
func (s *Store) bind(n uint32, scope scopeHash) {
	s.keys.bind(n, scope)
	s.pending = append(s.pending, boundRecord(s.keys.at(n).id, scope))
}

// settleScope binds a successor. The lock is held.
func (s *Store) settleScope(k *Key) {
	if e := s.keys.at(k.n); e.scope == (scopeHash{}) {
		s.bind(k.n, k.scope)
	}
}

// key is the key of an entry, out of memory or the file.
func (s *Store) key(n uint32) (*Key, error) {
	s.mu.RLock()
	e := s.keys.at(n)
	id, record, k := e.id, e.record, s.inMemory(n)
	s.mu.RUnlock()
	if k != nil {
		return k, nil
	}
	return s.open(n, id, record)
}

// inMemory is the key of an entry, nil when it was not used lately. The lock is held, for reading at least.
func (s *Store) inMemory(n uint32) *Key {
	if k := s.fresh[n]; k != nil {
		return k
	}
	return s.opened.young[n]
}

// open reads a key from the file, unless it is still in memory after all.
func (s *Store) open(n uint32, id causal.KeyID, at uint32) (*Key, error) {
	s.mu.Lock()
	old := s.opened.old[n]
	if old != nil {
		s.opened.put(n, old)
	}
	s.mu.Unlock()
	if old != nil {
		return old, nil
	}
	var sealed [sealedSize]byte
	off := recordOffset(uint64(at)) + sealedAt
	if _, err := s.file.ReadAt(sealed[:], off); err != nil {
		return nil, fmt.Errorf("keystore: read key %s: %w", id, err)
	}
	secret, ok := s.master.open(id, sealed[:])
	if !ok {
		s.mu.RLock()
		gone := s.keys.at(n).state == dead
		s.mu.RUnlock()
		if gone { // meanwhile
			return nil, fmt.Errorf("keystore: get: key %s: %w", id, ErrShredded)
		}
		return nil, damaged(off, "key %s is not what was written", id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys.at(n).state == dead {
		clear(secret[:])
		return nil, fmt.Errorf("keystore: get: key %s: %w", id, ErrShredded)
	}
	if s.closed {
		clear(secret[:])
		return nil, fmt.Errorf("keystore: get: key %s: %w", id, os.ErrClosed)
	}
	k := s.opened.get(n)
	if k == nil {
		k = s.newKey(n, id, secret)
	} else { // another one was here meanwhile
		clear(secret[:])
	}
	s.opened.put(n, k)
	return k, nil
}

// String says how many keys there are.
func (s *Store) String() string {
	st := s.Stats()
	return fmt.Sprintf("keys by %s: %d live, %d destroyed", st.Granularity, st.Live, st.Destroyed)
}

// GoString is String.
func (s *Store) GoString() string { return s.String() }

// Format writes String for every verb and flag: what is secret is behind the store.
func (s *Store) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText is String.
func (s *Store) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
