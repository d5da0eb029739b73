package keystore

import (
	"crypto/sha256"

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

// entry is a key as it is kept in memory: about 60 bytes, and 40 in the two maps that lead to it. The key's
// bytes stay in the file.
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
	entries []entry
	byID    map[causal.KeyID]uint32
	byScope map[scopeHash]uint32 // the scope's last key
	count   [dead + 1]int        // by state
}

func newTable(n int) table {
	return table{make([]entry, 0, n), make(map[causal.KeyID]uint32, n), make(map[scopeHash]uint32, n), [dead + 1]int{}}
}

// find is the entry with an id, nil when there is none.
func (t *table) find(id causal.KeyID) *entry {
	if n, ok := t.byID[id]; ok {
		return &t.entries[n]
	}
	return nil
}

// add takes in a key that is nobody's.
func (t *table) add(id causal.KeyID, state keyState) uint32 {
	n := uint32(len(t.entries))
	t.entries = append(t.entries, entry{id: id, record: noRecord, state: state})
	t.byID[id] = n
	t.count[state]++
	return n
}

// bind gives a key that is nobody's to a scope, as its last one.
func (t *table) bind(n uint32, scope scopeHash) {
	e := &t.entries[n]
	e.scope = scope
	if last, ok := t.byScope[scope]; ok {
		e.older = last + 1
	}
	t.byScope[scope] = n
	if e.state == spare {
		t.become(n, live)
	}
}

func (t *table) become(n uint32, state keyState) {
	e := &t.entries[n]
	t.count[e.state]--
	t.count[state]++
	e.state = state
}

// of calls f with the keys of a scope, the last one first, until it returns false.
func (t *table) of(scope scopeHash, f func(n uint32, e *entry) bool) {
	n, ok := t.byScope[scope]
	for ok && f(n, &t.entries[n]) {
		older := t.entries[n].older
		n, ok = older-1, older > 0
	}
}
