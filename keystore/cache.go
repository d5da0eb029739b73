package keystore

// keptKeys is how many opened keys are kept at least, and twice as many at most.
const keptKeys = 4096

// cache keeps the keys that were used last, in two generations: when the young ones are many, they become
// the old ones, and those that were old are dropped. A key that is dropped is wiped by the collector.
type cache struct{ young, old map[uint32]*Key }

func (c *cache) get(n uint32) *Key {
	if k := c.young[n]; k != nil {
		return k
	}
	return c.old[n]
}

// put keeps a key.
func (c *cache) put(n uint32, k *Key) {
	if len(c.young) >= keptKeys || c.young == nil {
		c.young, c.old = make(map[uint32]*Key, keptKeys), c.young
	}
	c.young[n] = k
}

// take forgets a key and returns it, nil when it is not kept.
func (c *cache) take(n uint32) *Key {
	k := c.get(n)
	delete(c.young, n)
	delete(c.old, n)
	return k
}
