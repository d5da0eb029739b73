package journal

import (
	"encoding/binary"
	"hash/crc32"
)

// Frame types. The zero type does not exist: it is what unwritten bytes look like.
const (
	frameEvent  = 1 // body: an envelope
	frameCommit = 2 // body: first sequence, count and checksum of the batch before it
	frameMark   = 3 // no body: everything before it is durable; may start a new epoch
	frameSign   = 4 // body: signer and signature over the hashes of the batch before it
)

const (
	frameHeader = 16      // bytes before the body
	commitBody  = 16      // bytes of a commit frame's body
	maxBody     = 1 << 30 // no frame has a larger body
	maxEpoch    = 1<<8 - 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// frame is a frame's header, decoded.
type frame struct {
	length uint32 // of the body, in bytes
	crc    uint32
	synced uint32 // offset in the segment up to which everything was durable when this was written
	epoch  uint8
	typ    uint8
}

// size is how many bytes a frame with a body of n bytes takes.
func frameSize(n int) int { return (frameHeader + n + 7) &^ 7 }

// reserveFrame appends room for a frame header to dst.
func reserveFrame(dst []byte) []byte {
	return append(dst, make([]byte, frameHeader)...)
}

// padFrame appends the zeros that bring the frame that starts at start to a multiple of 8.
func padFrame(dst []byte, start int) []byte {
	for (len(dst)-start)&7 != 0 {
		dst = append(dst, 0)
	}
	return dst
}

// sealFrame fills in the header of the frame at the start of b, whose body has n bytes.
func sealFrame(b []byte, n int, f frame, salt uint32) {
	binary.LittleEndian.PutUint32(b[0:], uint32(n))
	binary.LittleEndian.PutUint32(b[8:], f.synced)
	b[12], b[13] = f.epoch, f.typ
	binary.LittleEndian.PutUint16(b[14:], headerCheck(b, salt))
	binary.LittleEndian.PutUint32(b[4:], frameCRC(b[:frameHeader+n], salt))
}

// headerCheck is the lower half of the CRC32C over the segment's salt and the header's fields, without
// the two checksums. Somebody who writes payloads that look like frame headers does not know the salt, so
// looking for frames in a torn payload costs little: hardly any of those bodies has to be summed up.
func headerCheck(b []byte, salt uint32) uint16 {
	crc := crc32.Update(salt, castagnoli, b[0:4])
	return uint16(crc32.Update(crc, castagnoli, b[8:14]))
}

// frameCRC is the CRC32C over the segment's salt, the header without the checksum, and the body.
// b is header and body; salt is the CRC32C of the salt's bytes.
func frameCRC(b []byte, salt uint32) uint32 {
	crc := crc32.Update(salt, castagnoli, b[0:4])
	return crc32.Update(crc, castagnoli, b[8:])
}

// parseFrame reads the header at the start of b, of which room bytes are in the segment. It
// reports false for what cannot be a frame; the checksum is still to be checked.
func parseFrame(b []byte, room int64, salt uint32) (f frame, ok bool) {
	f = readFrame(b)
	switch {
	case binary.LittleEndian.Uint16(b[14:]) != headerCheck(b, salt), f.length > maxBody, int64(frameSize(int(f.length))) > room:
		return f, false
	case f.typ == frameEvent:
		return f, f.length > 0
	case f.typ == frameCommit:
		return f, f.length == commitBody
	case f.typ == frameMark:
		return f, f.length == 0
	case f.typ == frameSign:
		return f, f.length == signBody
	}
	return f, false
}

// readFrame reads a header that parseFrame has found good.
func readFrame(b []byte) frame {
	return frame{
		length: binary.LittleEndian.Uint32(b[0:]),
		crc:    binary.LittleEndian.Uint32(b[4:]),
		synced: binary.LittleEndian.Uint32(b[8:]),
		epoch:  b[12],
		typ:    b[13],
	}
}

// commit is a commit frame's body.
type commit struct {
	first uint64 // sequence of the batch's first event
	count uint32 // events in the batch
	crc   uint32 // CRC32C over all bytes of the batch's frames before this one, headers and padding included
}

func appendCommit(dst []byte, c commit) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, c.first)
	dst = binary.LittleEndian.AppendUint32(dst, c.count)
	return binary.LittleEndian.AppendUint32(dst, c.crc)
}

func parseCommit(b []byte) commit {
	return commit{
		first: binary.LittleEndian.Uint64(b),
		count: binary.LittleEndian.Uint32(b[8:]),
		crc:   binary.LittleEndian.Uint32(b[12:]),
	}
}
