package journal

import (
	"cmp"
	"hash/maphash"
	"iter"
	"slices"

	"batpak/causal"
)

const (
	headShards   = 64
	headChunk    = 1 << 10 // entries
	headNameRoom = 1 << 16 // bytes of names in a chunk of them
)

// headTable is where every stream stands. It has no pointer for each stream, so the collector has nothing to look
// at; and it grows without a long pause: entries and names lie in chunks that never move, and the slots that lead to
// them are in shards, each of which is made anew at a time of its own.
//
// The zero value is empty. It is not safe for concurrent use.
type headTable struct {
	seed   maphash.Seed
	shards [headShards]headShard // by the upper bits of the hash
	chunks []*headEntries
	shared []bool // chunks that a snapshot has too: they are copied before they change
	n      int    // entries
	names  [][]byte
}

// headShard is open addressing with linear probing, at most three quarters full. A slot has an entry's number plus 1, and
// above it the stream's hash, so that another entry is hardly ever looked at; 0 is empty.
type headShard struct {
	slots []uint64
	used  int
}

type headEntries [headChunk]headEntry

// headEntry is 64 bytes; its names, scope then entity, lie together.
type headEntry struct {
	name          uint32 // the chunk of names
	at            uint32 // where in it
	scope, entity uint16 // lengths in bytes
	lane          uint32
	head          causal.Head
}

func (t *headTable) hash(s *causal.Stream) uint32 {
	h := maphash.String(t.seed, s.Entity) ^ maphash.String(t.seed, s.Scope)*0x9e3779b97f4a7c15 ^ uint64(s.Lane)*0xff51afd7ed558ccd
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	return uint32(h >> 32)
}

func (t *headTable) entry(n uint32) *headEntry { return &t.chunks[n/headChunk][n%headChunk] }

// is says whether an entry is a stream's.
func (t *headTable) is(e *headEntry, s *causal.Stream) bool {
	if e.lane != s.Lane || int(e.scope) != len(s.Scope) || int(e.entity) != len(s.Entity) {
		return false
	}
	scope, entity := t.namesOf(e)
	return string(scope) == s.Scope && string(entity) == s.Entity
}

// namesOf is the scope and the entity of an entry, to be read only.
func (t *headTable) namesOf(e *headEntry) (scope, entity []byte) {
	b := t.names[e.name][e.at:]
	return b[:e.scope], b[e.scope:][:e.entity]
}

// slot is where a stream's entry is, or belongs.
func (t *headTable) slot(hash uint32, s *causal.Stream) *uint64 {
	shard := t.shard(hash)
	mask := len(shard.slots) - 1
	for i := int(hash) & mask; ; i = (i + 1) & mask {
		if slot := shard.slots[i]; slot == 0 || uint32(slot>>32) == hash && t.is(t.entry(uint32(slot)-1), s) {
			return &shard.slots[i]
		}
	}
}

func (t *headTable) shard(hash uint32) *headShard { return &t.shards[hash>>26] }

// get returns where a stream stands; zero when it has no events.
func (t *headTable) get(s causal.Stream) causal.Head {
	if t.n == 0 {
		return causal.Head{}
	}
	slot := *t.slot(t.hash(&s), &s)
	if slot == 0 {
		return causal.Head{}
	}
	return t.entry(uint32(slot) - 1).head
}

// set notes where a stream stands. Its names have at most 65535 bytes each.
func (t *headTable) set(s causal.Stream, h causal.Head) {
	if t.chunks == nil {
		t.seed = maphash.MakeSeed()
		for i := range t.shards {
			t.shards[i].slots = make([]uint64, 8)
		}
	}
	hash := t.hash(&s)
	slot := t.slot(hash, &s)
	if *slot != 0 {
		n := uint32(*slot) - 1
		t.own(int(n) / headChunk)
		t.entry(n).head = h
		return
	}
	shard := t.shard(hash)
	if shard.used++; 4*shard.used > 3*len(shard.slots) {
		t.grow(shard)
		slot = t.slot(hash, &s)
	}
	if t.n%headChunk == 0 {
		t.chunks, t.shared = append(t.chunks, new(headEntries)), append(t.shared, false)
	}
	t.own(t.n / headChunk)
	*t.entry(uint32(t.n)) = t.named(&s, headEntry{lane: s.Lane, head: h})
	t.n++
	*slot = uint64(hash)<<32 | uint64(t.n)
}

// named puts a stream's names where its entry leads.
func (t *headTable) named(s *causal.Stream, e headEntry) headEntry {
	last, size := len(t.names)-1, len(s.Scope)+len(s.Entity)
	if last < 0 || cap(t.names[last])-len(t.names[last]) < size {
		t.names = append(t.names, make([]byte, 0, max(headNameRoom, size)))
		last++
	}
	e.name, e.at, e.scope, e.entity = uint32(last), uint32(len(t.names[last])), uint16(len(s.Scope)), uint16(len(s.Entity))
	t.names[last] = append(append(t.names[last], s.Scope...), s.Entity...)
	return e
}

// own makes a chunk one that no snapshot has.
func (t *headTable) own(chunk int) {
	if t.shared[chunk] {
		own := *t.chunks[chunk]
		t.chunks[chunk], t.shared[chunk] = &own, false
	}
}

func (t *headTable) grow(shard *headShard) {
	old := shard.slots
	shard.slots = make([]uint64, 2*len(old))
	mask := len(shard.slots) - 1
	for _, slot := range old {
		if slot == 0 {
			continue
		}
		i := int(slot>>32) & mask
		for shard.slots[i] != 0 {
			i = (i + 1) & mask
		}
		shard.slots[i] = slot
	}
}

// inLanes gives the streams of lanes other than 0.
func (t *headTable) inLanes() iter.Seq[causal.Stream] {
	return func(yield func(causal.Stream) bool) {
		for n := range uint32(t.n) {
			e := t.entry(n)
			if e.lane == 0 {
				continue
			}
			scope, entity := t.namesOf(e)
			if !yield(causal.Stream{Coordinate: causal.Coordinate{Scope: string(scope), Entity: string(entity)}, Lane: e.lane}) {
				return
			}
		}
	}
}

// snapshot is for ascending alone, which may run while the table changes. It costs a pointer for each chunk; after it
// the table copies each chunk once before it changes it.
func (t *headTable) snapshot() headTable {
	for i := range t.shared {
		t.shared[i] = true
	}
	return headTable{chunks: slices.Clone(t.chunks), n: t.n, names: slices.Clone(t.names)}
}

// ascending gives the entries by the sequence of their last event.
func (t *headTable) ascending() iter.Seq[*headEntry] {
	type last struct {
		seq uint64
		n   uint32
	}
	all := make([]last, t.n)
	for n := range all {
		all[n] = last{t.entry(uint32(n)).head.Seq, uint32(n)}
	}
	slices.SortFunc(all, func(a, b last) int { return cmp.Compare(a.seq, b.seq) })
	return func(yield func(*headEntry) bool) {
		for _, e := range all {
			if !yield(t.entry(e.n)) {
				return
			}
		}
	}
}
