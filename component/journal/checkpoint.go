package journal

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"slices"

	"batpak/causal"
	"batpak/faultfs"
)

const (
	checkpointName  = "checkpoint"
	checkpointMagic = "batpkchk"

	checkpointFormat = 2

	// A checkpoint is worth its writing when the log has grown by so many bytes, and by so many
	// times the size of the last checkpoint.
	checkpointEvery = 256 << 20
	checkpointRatio = 16
)

// state is what the events up to seq leave in memory.
type state struct {
	seq    uint64
	heads  headTable
	keys   window
	sealed []sealedUnder // ascending by id
}

// sealedUnder is how many events are sealed under a payload key.
type sealedUnder struct {
	id     causal.KeyID
	events uint64
}

var errCheckpoint = errors.New("checkpoint is unusable")

// encodeCheckpoint returns the bytes of the checkpoint file, the same for the same state; see the
// package doc.
func encodeCheckpoint(lineage causal.Lineage, st *state) []byte {
	b := make([]byte, 0, 64+st.heads.n*96+(st.keys.len()+len(st.sealed))*24)
	b = append(b, checkpointMagic...)
	b = binary.LittleEndian.AppendUint32(b, checkpointFormat)
	b = append(b, lineage[:]...)
	b = binary.LittleEndian.AppendUint64(b, st.seq)
	b = binary.LittleEndian.AppendUint64(b, uint64(st.heads.n))
	for e := range st.heads.ascending() {
		scope, entity := st.heads.namesOf(e)
		b = binary.LittleEndian.AppendUint16(b, e.scope)
		b = append(b, scope...)
		b = binary.LittleEndian.AppendUint16(b, e.entity)
		b = append(b, entity...)
		b = binary.LittleEndian.AppendUint32(b, e.lane)
		b = binary.LittleEndian.AppendUint64(b, e.head.Seq)
		b = binary.LittleEndian.AppendUint64(b, e.head.Version)
		b = append(b, e.head.Hash[:]...)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(st.keys.gens)))
	for _, g := range st.keys.gens {
		b = binary.LittleEndian.AppendUint64(b, g.newest)
		b = binary.LittleEndian.AppendUint64(b, uint64(len(g.keys)))
		for _, k := range g.sorted() {
			b = append(b, k.hash[:]...)
			b = binary.LittleEndian.AppendUint64(b, k.seq)
		}
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(len(st.sealed)))
	for _, k := range st.sealed {
		b = append(b, k.id[:]...)
		b = binary.LittleEndian.AppendUint64(b, k.events)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

type usedKey struct {
	hash keyHash
	seq  uint64
}

// sorted returns the keys, ascending by the event they lead to, and by hash.
func (g *generation) sorted() []usedKey {
	keys := make([]usedKey, 0, len(g.keys))
	for k, seq := range g.keys {
		keys = append(keys, usedKey{k, seq})
	}
	slices.SortFunc(keys, func(a, b usedKey) int {
		return cmp.Or(cmp.Compare(a.seq, b.seq), bytes.Compare(a.hash[:], b.hash[:]))
	})
	return keys
}

// loadCheckpoint reads the checkpoint into st, whose window has its limits set. An error that
// matches errCheckpoint means that the log has to be read instead.
func loadCheckpoint(fsys faultfs.FS, lineage causal.Lineage, st *state) (size int64, err error) {
	b, err := fs.ReadFile(fsys, checkpointName)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errCheckpoint, err)
	}
	if err := decodeCheckpoint(b, lineage, st); err != nil {
		return 0, err
	}
	return int64(len(b)), nil
}

func decodeCheckpoint(b []byte, lineage causal.Lineage, st *state) error {
	if len(b) < 8+4+16+8+8+4+8+4 {
		return fmt.Errorf("%w: too short", errCheckpoint)
	}
	sum := len(b) - 4
	if string(b[:8]) != checkpointMagic || crc32.Checksum(b[:sum], castagnoli) != binary.LittleEndian.Uint32(b[sum:]) {
		return fmt.Errorf("%w: checksum mismatch", errCheckpoint)
	}
	if binary.LittleEndian.Uint32(b[8:]) != checkpointFormat || causal.Lineage(b[12:28]) != lineage {
		return fmt.Errorf("%w: another format or lineage", errCheckpoint)
	}
	r := fields{b: b[28:sum]}
	st.seq = r.u64()
	for n := r.u64(); n > 0 && !r.short; n-- {
		var s causal.Stream
		var h causal.Head
		s.Scope = string(r.bytes(int(r.u16())))
		s.Entity = string(r.bytes(int(r.u16())))
		s.Lane = r.u32()
		h.Seq, h.Version = r.u64(), r.u64()
		copy(h.Hash[:], r.bytes(len(h.Hash)))
		if !r.short {
			st.heads.set(s, h)
		}
	}
	for gens := r.u32(); gens > 0 && !r.short; gens-- {
		g := &generation{newest: r.u64()}
		n := r.u64()
		g.keys = make(map[keyHash]uint64, min(n, uint64(len(r.b)/24)))
		for ; n > 0 && !r.short; n-- {
			var k keyHash
			copy(k[:], r.bytes(len(k)))
			g.keys[k] = r.u64()
		}
		st.keys.gens = append(st.keys.gens, g)
	}
	st.sealed = make([]sealedUnder, 0, min(r.u64peek(), uint64(len(r.b)/24)))
	for n := r.u64(); n > 0 && !r.short; n-- {
		var k sealedUnder
		copy(k.id[:], r.bytes(len(k.id)))
		k.events = r.u64()
		st.sealed = append(st.sealed, k)
	}
	if r.short || len(r.b) > 0 {
		return fmt.Errorf("%w: impossible lengths", errCheckpoint)
	}
	return nil
}

// fields reads fixed-size fields; past the end it gives zeros and sets short.
type fields struct {
	b     []byte
	short bool
}

func (r *fields) bytes(n int) []byte {
	if n > len(r.b) {
		r.short, r.b = true, nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *fields) u16() uint16 {
	if b := r.bytes(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *fields) u32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *fields) u64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// u64peek reads a number without moving on.
func (r *fields) u64peek() uint64 {
	if len(r.b) < 8 {
		return 0
	}
	return binary.LittleEndian.Uint64(r.b)
}
