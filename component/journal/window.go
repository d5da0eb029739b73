package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"time"

	"batpak/causal"
)

// keyHash stands for an idempotency key within its scope: the first 16 bytes of a SHA-256. The
// event it leads to carries the key itself, so a collision is noticed.
type keyHash [16]byte

func hashKey(lineage causal.Lineage, scope, key string) keyHash {
	var b [len(lineage) + 2 + 2*causal.MaxName]byte
	n := copy(b[:], lineage[:])
	binary.BigEndian.PutUint16(b[n:], uint16(len(scope)))
	n += 2
	n += copy(b[n:], scope)
	n += copy(b[n:], key)
	sum := sha256.Sum256(b[:n])
	return keyHash(sum[:16])
}

// window remembers which idempotency keys were used, and by which event. A key is kept while it
// is among the last minKeys, and while it is younger than minAge; both hold. It is a list of
// generations, oldest first, dropped whole.
type window struct {
	minKeys int
	minAge  time.Duration
	gens    []*generation
}

type generation struct {
	keys   map[keyHash]uint64 // to the sequence of the first event that was appended under it
	newest uint64             // milliseconds of its youngest key
}

// minGeneration is the fewest keys that a generation is closed with.
const minGeneration = 1 << 16

func (w *window) find(k keyHash) (seq uint64, ok bool) {
	for i := len(w.gens) - 1; i >= 0; i-- {
		if seq, ok := w.gens[i].keys[k]; ok {
			return seq, true
		}
	}
	return 0, false
}

// add remembers a key that was used at millis.
func (w *window) add(k keyHash, seq, millis uint64) {
	if len(w.gens) == 0 || len(w.gens[len(w.gens)-1].keys) >= max(minGeneration, w.minKeys/4, w.len()/8) {
		w.gens = append(w.gens, &generation{keys: make(map[keyHash]uint64)})
		w.expire(millis)
	}
	g := w.gens[len(w.gens)-1]
	g.keys[k] = seq
	g.newest = max(g.newest, millis)
}

// expire drops the oldest generations that nothing requires any more.
func (w *window) expire(now uint64) {
	for len(w.gens) > 1 {
		old := w.gens[0]
		young := old.newest+uint64(w.minAge.Milliseconds()) > now
		if young || w.len()-len(old.keys) < w.minKeys {
			return
		}
		w.gens[0] = nil
		w.gens = w.gens[1:]
	}
}

func (w *window) len() int {
	n := 0
	for _, g := range w.gens {
		n += len(g.keys)
	}
	return n
}

// clone returns a copy that is safe to read while the window grows.
func (w *window) clone() window {
	c := *w
	c.gens = nil
	for i, g := range w.gens {
		if i == len(w.gens)-1 { // only the youngest still changes
			g = &generation{keys: maps.Clone(g.keys), newest: g.newest}
		}
		c.gens = append(c.gens, g)
	}
	return c
}
