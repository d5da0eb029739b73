package gates

// lru is a map of at most limit entries. A new entry takes the place of the one that was not
// used for the longest time.
type lru[K comparable, V any] struct {
	limit   int
	entries map[K]*entry[K, V]
	ring    entry[K, V] // ring.next was used last, ring.prev is the next to go
}

type entry[K comparable, V any] struct {
	key        K
	value      V
	prev, next *entry[K, V]
}

func newLRU[K comparable, V any](limit int) *lru[K, V] {
	l := &lru[K, V]{limit: limit}
	l.clear()
	return l
}

func (l *lru[K, V]) clear() {
	l.entries = make(map[K]*entry[K, V])
	l.ring.prev, l.ring.next = &l.ring, &l.ring
}

func (l *lru[K, V]) get(k K) (value V, ok bool) {
	e, ok := l.entries[k]
	if !ok {
		return value, false
	}
	l.use(e)
	return e.value, true
}

func (l *lru[K, V]) put(k K, value V) {
	e, ok := l.entries[k]
	switch {
	case ok:
	case len(l.entries) < l.limit:
		e = &entry[K, V]{}
		e.prev, e.next = e, e
	default:
		e = l.ring.prev
		delete(l.entries, e.key)
	}
	e.key, e.value = k, value
	l.entries[k] = e
	l.use(e)
}

// use moves e to the front.
func (l *lru[K, V]) use(e *entry[K, V]) {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = &l.ring, l.ring.next
	e.prev.next, e.next.prev = e, e
}
