package keystore

// spareKey is a key of nobody. It is in the file, and here too when it was minted by this process, so that it
// need not be read.
type spareKey struct {
	n      uint32 // of the entry
	known  bool
	secret [KeySize]byte
}

// spares is keys of nobody, taken from the end on. Some may have been bound since.
type spares []spareKey

// push adds keys. What it outgrows is wiped.
func (s *spares) push(keys ...spareKey) {
	if old := *s; len(old)+len(keys) > cap(old) {
		*s = append(make(spares, 0, max(DefaultReserve, 2*len(old), len(old)+len(keys))), old...)
		clear(old)
	}
	*s = append(*s, keys...)
}

// pop takes a key, of which nothing stays.
func (s *spares) pop() spareKey {
	last := len(*s) - 1
	k := (*s)[last]
	(*s)[last] = spareKey{}
	*s = (*s)[:last]
	return k
}

// forget wipes the bytes of a key that was destroyed.
func (s spares) forget(n uint32) {
	for i := range s {
		if s[i].n == n {
			clear(s[i].secret[:])
			s[i].known = false
		}
	}
}

// findSpares puts the keys of nobody into the reserve of a store that has none yet. Their bytes are in the file alone.
func (s *Store) findSpares() {
	for n := range s.keys.n {
		if s.keys.at(n).state == spare {
			s.spares.push(spareKey{n: n})
		}
	}
}
