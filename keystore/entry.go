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

// entry is a key as it is kept in memory: 56 bytes, and about 30 in the two indexes that lead to it. The
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

// shard is open addressing with linear probing, in a table that is at most three quarters full. A slot has an entry, plus
// 1, and above it 32 bits of what the entry is found by, so that another one is hardly ever looked at; 0 is empty.
type shard struct {
	slots []uint64
	used  int
}

func tagOf(key *[16]byte) uint32 { return binary.LittleEndian.Uint32(key[:]) }

func (x *index) shard(tag uint32) *shard { return &x[tag>>26] }

// find is the first entry with a tag for which same says yes.
func (s *shard) find(tag uint32, same func(n uint32) bool) (n uint32, ok bool) {
	if len(s.slots) == 0 {
		return 0, false
	}
	slot := *s.slot(tag, same)
	return uint32(slot) - 1, slot != 0
}

// slot is where find's entry is, or else an empty one.
func (s *shard) slot(tag uint32, same func(n uint32) bool) *uint64 {
	mask := len(s.slots) - 1
	for i := int(tag) & mask; ; i = (i + 1) & mask {
		if slot := s.slots[i]; slot == 0 || uint32(slot>>32) == tag && same(uint32(slot)-1) {
			return &s.slots[i]
		}
	}
}

// put makes a slot lead to an entry.
func (s *shard) put(slot *uint64, tag, n uint32) {
	if *slot == 0 {
		s.used++
	}
	*slot = uint64(tag)<<32 | uint64(n+1)
}

// room makes room for one more.
func (s *shard) room() {
	if 4*(s.used+1) <= 3*len(s.slots) {
		return
	}
	old := s.slots
	s.slots = make([]uint64, max(16, 2*len(old)))
	for _, slot := range old {
		if slot != 0 {
			*s.slot(uint32(slot>>32), func(uint32) bool { return false }) = slot
		}
	}
}

// byID is the entry with an id.
func (t *table) byID(id causal.KeyID) (n uint32, ok bool) {
	tag := tagOf((*[16]byte)(&id))
	return t.ids.shard(tag).find(tag, func(n uint32) bool { return t.at(n).id == id })
}

// byScope is the last key of a scope.
func (t *table) byScope(scope scopeHash) (n uint32, ok bool) {
	tag := tagOf((*[16]byte)(&scope))
	return t.scopes.shard(tag).find(tag, func(n uint32) bool { return t.at(n).scope == scope })
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
	tag := tagOf((*[16]byte)(&id))
	s := t.ids.shard(tag)
	s.room()
	s.put(s.slot(tag, func(uint32) bool { return false }), tag, n)
	t.count[state]++
	return n
}

// bind gives a key that is nobody's to a scope, as its last one.
func (t *table) bind(n uint32, scope scopeHash) {
	e := t.at(n)
	tag := tagOf((*[16]byte)(&scope))
	s := t.scopes.shard(tag)
	s.room()
	slot := s.slot(tag, func(n uint32) bool { return t.at(n).scope == scope })
	e.older = uint32(*slot)
	s.put(slot, tag, n)
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
