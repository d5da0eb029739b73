package projection

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"batpak/causal"
	"batpak/codec"
)

const (
	checkpointMagic = "batpakP\x01"
	checkpointHead  = 76 // bytes before the state
	checkpointTail  = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checkpoint is a position and the state at that position. The zero value is before the first
// event.
type checkpoint struct {
	version uint64
	position
	state []byte // MessagePack
}

// position is the last event that was folded.
type position struct {
	seq     uint64
	lineage causal.Lineage
	hash    causal.Hash
}

// appendCheckpoint appends the form that doc.go describes.
func appendCheckpoint(dst []byte, c *checkpoint) []byte {
	start := len(dst)
	dst = append(dst, checkpointMagic...)
	dst = binary.BigEndian.AppendUint64(dst, c.version)
	dst = binary.BigEndian.AppendUint64(dst, c.seq)
	dst = append(dst, c.lineage[:]...)
	dst = append(dst, c.hash[:]...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(c.state)))
	dst = append(dst, c.state...)
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// decodeCheckpoint reads a checkpoint, whose state aliases b. It allocates nothing for good
// bytes; its errors match ErrCheckpoint.
func decodeCheckpoint(b []byte) (checkpoint, error) {
	var c checkpoint
	bad := func(why string) (checkpoint, error) {
		return checkpoint{}, fmt.Errorf("%w: %s", ErrCheckpoint, why)
	}
	if len(b) < checkpointHead+checkpointTail {
		return bad(fmt.Sprintf("%d bytes are too few", len(b)))
	}
	if !bytes.HasPrefix(b, []byte(checkpointMagic)) {
		return bad("it does not begin as a checkpoint of this format")
	}
	body, sum := b[:len(b)-checkpointTail], b[len(b)-checkpointTail:]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(sum) {
		return bad("checksum mismatch")
	}
	c.version = binary.BigEndian.Uint64(b[8:])
	c.seq = binary.BigEndian.Uint64(b[16:])
	copy(c.lineage[:], b[24:])
	copy(c.hash[:], b[40:])
	c.state = body[checkpointHead:]
	if n := binary.BigEndian.Uint32(b[72:]); uint64(n) != uint64(len(c.state)) {
		return bad(fmt.Sprintf("the state has %d bytes, not %d", len(c.state), n))
	}
	if c.seq == 0 || c.lineage.IsZero() || c.hash.IsZero() {
		return bad("it has no position")
	}
	if err := codec.Check(c.state); err != nil {
		return bad("state: " + err.Error())
	}
	return c, nil
}
