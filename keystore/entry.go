package keystore

import (
	"crypto/sha256"
	"encoding/binary"

	"batpak/causal"
)

// scopeHash stands for a scope in the file and in memory: the first half of SHA-256 over the keyset's salt
// and the scope. A file that is read by a stranger names nobody.
type scopeHash [16]byte

func (s *Store) hash(scope Scope) scopeHash {
	var room [len(salt{}) + 1 + 2*(2+256)]byte
	b := append(room[:0], s.head.scopes[:]...)
	b = append(b, byte(scope.granularity))
	b = appendScope(b, scope)
	sum := sha256.Sum256(b)
	return scopeHash(sum[:])
}

// keyState is what became of a key.
type keyState uint8

const (
	spare   keyState = iota // durable, and nobody's yet
	live                    // of a scope
	missing                 // the log has events under it, and the keyset does not have it
	dead                    // destroyed
)

// entry is a key as it is kept in memory: 56 bytes, and about 20 in the two indexes that lead to it. The
// key's bytes stay in the file.
type entry struct {
	id     causal.KeyID
	scope  scopeHash // zero when it has none
	events uint64    // in the log, under the key
	record uint32    // where its bytes are in the file; noRecord when they are not
	older  uint32    // the scope's key before this one, plus 1; 0 when there is none
	state  keyState
}

const noRecord = 1<<32 - 1

// table is the keys by id and by scope. It only grows.
type table struct {
	chunks []*[entryChunk]entry // that never move, so that one more entry does not copy all of them
	n      uint32               // entries
	ids    index
	scopes index         // of each scope's last key
	count  [dead + 1]int // by state
}

const entryChunk = 1 << 10

func (t *table) at(n uint32) *entry { return &t.chunks[n/entryChunk][n%entryChunk] }

// index finds entries by 16 bytes that are as good as random. It grows a shard at a time, so that nobody waits long.
type index [64]shard

// shard is open addressing with linear probing, in a table that is at most three quarters full.
type shard struct {
	slots []uint32 // an entry, plus 1; 0 is empty
	used  int
}

func (x *index) shard(key *[16]byte) *shard { return &x[key[15]>>2] }

// slot is where something is or belongs: the slot of the first entry for which same says yes, or else an empty one. It
// is nil when there is none.
func (s *shard) slot(key *[16]byte, same func(n uint32) bool) *uint32 {
	if len(s.slots) == 0 {
		return nil
	}
	mask := len(s.slots) - 1
	for i := int(binary.LittleEndian.Uint64(key[:])) & mask; ; i = (i + 1) & mask {
		if n := s.slots[i]; n == 0 || same(n-1) {
			return &s.slots[i]
		}
	}
}

// room makes room for one more. The keys of those that are there come from keyOf.
func (s *shard) room(keyOf func(n uint32) *[16]byte) {
	if 4*(s.used+1) <= 3*len(s.slots) {
		return
	}
	old := s.slots
	s.slots = make([]uint32, max(16, 2*len(old)))
	for _, n := range old {
		if n > 0 {
			*s.slot(keyOf(n-1), func(uint32) bool { return false }) = n
		}
	}
}

// byID is the entry with an id.
func (t *table) byID(id causal.KeyID) (n uint32, ok bool) {
	key := (*[16]byte)(&id)
	slot := t.ids.shard(key).slot(key, func(n uint32) bool { return t.at(n).id == id })
	if slot == nil || *slot == 0 {
		return 0, false
	}
	return *slot - 1, true
}

// byScope is the last key of a scope.
func (t *table) byScope(scope scopeHash) (n uint32, ok bool) {
	key := (*[16]byte)(&scope)
	slot := t.scopes.shard(key).slot(key, func(n uint32) bool { return t.at(n).scope == scope })
	if slot == nil || *slot == 0 {
		return 0, false
	}
	return *slot - 1, true
}

// find is the entry with an id, nil when there is none.
func (t *table) find(id causal.KeyID) *entry {
	if n, ok := t.byID(id); ok {
		return t.at(n)
	}
	return nil
}

// known is the entry with an id. One that is not there yet becomes one whose key is missing.
func (t *table) known(id causal.KeyID) uint32 {
	n, ok := t.byID(id)
	if !ok {
		n = t.add(id, missing)
	}
	return n
}

// add takes in a key that is nobody's, and whose id is new.
func (t *table) add(id causal.KeyID, state keyState) uint32 {
	n := t.n
	if n%entryChunk == 0 {
		t.chunks = append(t.chunks, new([entryChunk]entry))
	}
	t.n++
	*t.at(n) = entry{id: id, record: noRecord, state: state}
	key := (*[16]byte)(&id)
	s := t.ids.shard(key)
	s.room(func(n uint32) *[16]byte { return (*[16]byte)(&t.at(n).id) })
	*s.slot(key, func(uint32) bool { return false }) = n + 1
	s.used++
	t.count[state]++
	return n
}

// bind gives a key that is nobody's to a scope, as its last one.
func (t *table) bind(n uint32, scope scopeHash) {
	e := t.at(n)
	key := (*[16]byte)(&scope)
	s := t.scopes.shard(key)
	s.room(func(n uint32) *[16]byte { return (*[16]byte)(&t.at(n).scope) })
	slot := s.slot(key, func(n uint32) bool { return t.at(n).scope == scope })
	if e.older = *slot; e.older == 0 {
		s.used++
	}
	*slot = n + 1
	e.scope = scope
	if e.state == spare {
		t.become(n, live)
	}
}

func (t *table) become(n uint32, state keyState) {
	e := t.at(n)
	t.count[e.state]--
	t.count[state]++
	e.state = state
}

// of calls f with the keys of a scope, the last one first, until it returns false.
func (t *table) of(scope scopeHash, f func(n uint32, e *entry) bool) {
	n, ok := t.byScope(scope)
	for ok && f(n, t.at(n)) {
		older := t.at(n).older
		n, ok = older-1, older > 0
	}
}
