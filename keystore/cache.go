package keystore

// keptKeys is how many opened keys are kept at least, and twice as many at most.
const keptKeys = 4096

// cache keeps the keys that were used last, in two generations: when the young ones are many, they become
// the old ones, and those that were old are dropped, and wiped. The store's lock guards it.
type cache struct{ young, old map[uint32]*Key }

func (c *cache) get(n uint32) *Key {
	if k := c.young[n]; k != nil {
		return k
	}
	return c.old[n]
}

// put keeps a key, which may be an old one.
func (c *cache) put(n uint32, k *Key) {
	if c.young == nil {
		c.young = make(map[uint32]*Key)
	}
	c.young[n] = k
	if len(c.young) < keptKeys {
		return
	}
	for n, k := range c.old {
		if c.young[n] != k {
			k.wipe()
		}
	}
	c.young, c.old = make(map[uint32]*Key, keptKeys), c.young
}

// take forgets a key and returns it, nil when it is not kept.
func (c *cache) take(n uint32) *Key {
	k := c.get(n)
	delete(c.young, n)
	delete(c.old, n)
	return k
}
