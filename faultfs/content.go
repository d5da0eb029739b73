package faultfs

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// block is the bytes of one sector. It is never changed: whoever writes makes
// another. A nil block is zeros.
type block struct {
	data []byte
	sum  digest
}

// digest tells contents apart: the same bytes, sizes and names have the same one,
// in each process.
type digest [2]uint64

func (d digest) add(e digest) digest { return digest{d[0] + e[0], d[1] + e[1]} }
func (d digest) sub(e digest) digest { return digest{d[0] - e[0], d[1] - e[1]} }

// at is the digest of something in a place, so that sums of them tell places
// apart. The mixing is that of wyhash (Wang Yi), a 128-bit product folded.
func (d digest) at(place uint64) digest {
	fold := func(a, b uint64) uint64 {
		hi, lo := bits.Mul64(a^0xa0761d6478bd642f, b^0xe7037ed1a0b428db)
		return hi ^ lo
	}
	return digest{fold(d[0]^place, d[1]+place), fold(d[1]^place*0x9e3779b97f4a7c15, d[0]-place)}
}

func digestOf(b []byte) digest {
	sum := sha256.Sum256(b)
	return digest{binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:])}
}

func newBlock(data []byte) *block {
	if len(bytes.Trim(data, "\x00")) == 0 {
		return nil
	}
	return &block{data: data, sum: digestOf(data)}
}

func (b *block) equal(c *block) bool {
	if b == nil || c == nil {
		return b == c
	}
	return b == c || b.sum == c.sum
}

// content is the bytes of a file. Copies share blocks, and their list until one
// of them changes.
type content struct {
	size   int64
	sector int
	blocks []*block // may end early: what is missing is zeros
	shared bool     // blocks belongs to another content too
	sum    digest   // of the blocks in their places
}

func (c *content) clone() content {
	c.shared = true
	return *c
}

func (c *content) block(i int) *block {
	if i >= len(c.blocks) {
		return nil
	}
	return c.blocks[i]
}

func (c *content) setBlock(i int, b *block) {
	old := c.block(i)
	if old.equal(b) {
		return
	}
	if c.shared || i >= len(c.blocks) {
		blocks := make([]*block, max(len(c.blocks), i+1), max(cap(c.blocks), i+1))
		copy(blocks, c.blocks)
		c.blocks, c.shared = blocks, false
	}
	if old != nil {
		c.sum = c.sum.sub(old.sum.at(uint64(i)))
	}
	if b != nil {
		c.sum = c.sum.add(b.sum.at(uint64(i)))
	}
	c.blocks[i] = b
}

// setSize makes the file longer with zeros, or cuts it.
func (c *content) setSize(size int64) {
	if size < c.size {
		whole := int(size / int64(c.sector))
		for i := len(c.blocks) - 1; i > whole; i-- {
			c.setBlock(i, nil)
		}
		c.cutBlock(whole, int(size%int64(c.sector)))
	}
	c.size = size
}

// cutBlock leaves the first n bytes of a block. Nothing but zeros is ever behind the
// end of a file, where it would be found again when the file grows.
func (c *content) cutBlock(i, n int) {
	b := c.block(i)
	if b == nil || len(bytes.Trim(b.data[n:], "\x00")) == 0 {
		return
	}
	cut := make([]byte, c.sector)
	copy(cut, b.data[:n])
	c.setBlock(i, newBlock(cut))
}

// readAt fills p from off as far as the file goes.
func (c *content) readAt(p []byte, off int64) int {
	n := int(min(int64(len(p)), max(c.size-off, 0)))
	for done := 0; done < n; {
		i, within := int((off+int64(done))/int64(c.sector)), int((off+int64(done))%int64(c.sector))
		piece := p[done:min(n, done+c.sector-within)]
		if b := c.block(i); b != nil {
			copy(piece, b.data[within:])
		} else {
			clear(piece)
		}
		done += len(piece)
	}
	return n
}

// write visits the blocks that writing p at off makes, with their places and the
// size that the file has at least with each.
func (c *content) write(p []byte, off int64, visit func(i int, b *block, size int64)) {
	for done := 0; done < len(p); {
		i, within := int((off+int64(done))/int64(c.sector)), int((off+int64(done))%int64(c.sector))
		piece := p[done:min(len(p), done+c.sector-within)]
		data := make([]byte, c.sector)
		if b := c.block(i); b != nil {
			copy(data, b.data)
		}
		copy(data[within:], piece)
		done += len(piece)
		visit(i, newBlock(data), off+int64(done))
	}
}

// digest is that of bytes and size.
func (c *content) digest() digest {
	return c.sum.add(digest{uint64(c.size), 1}.at(1))
}

// torn is what a crash may make of a sector while it is written: 1 and 2 are the
// first and the last half of the changed bytes, 3 is garbage in their place.
func torn(old, b *block, sector, how int) *block {
	data, was := make([]byte, sector), make([]byte, sector)
	if b != nil {
		copy(data, b.data)
	}
	if old != nil {
		copy(was, old.data)
	}
	var changed []int
	for i := range data {
		if data[i] != was[i] {
			changed = append(changed, i)
		}
	}
	half := len(changed) / 2
	for n, i := range changed {
		switch {
		case how == 1 && n >= half, how == 2 && n < half:
			data[i] = was[i]
		case how == 3:
			data[i] ^= 0xA5
		}
	}
	return newBlock(data)
}

// tears is how many ways there are to tear a sector.
const tears = 3
