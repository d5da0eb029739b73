package keystore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Sizes and places in a keyset file; see the package doc.
const (
	magic  = "batpakks"
	format = 2

	pageSize    = 4096
	statePages  = 2
	stateSize   = 40
	recordStart = (1 + statePages) * pageSize

	maxMethod = 32
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// salt makes checksums and hashes of one keyset worth nothing in another.
type salt [16]byte

// header is the first page of a keyset. It is written once.
type header struct {
	granularity Granularity
	file        salt // of the checksums in this file
	scopes      salt // of the hashes of scopes, the same for the life of the keyset
	method      string
	wrapped     []byte // the master key; itself when the method is Clear
}

func (h *header) encode() []byte {
	b := make([]byte, 0, pageSize)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint16(b, format)
	b = append(b, byte(h.granularity), 0)
	b = append(b, h.file[:]...)
	b = append(b, h.scopes[:]...)
	b = append(b, byte(len(h.method)))
	b = append(b, h.method...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(h.wrapped)))
	b = append(b, h.wrapped...)
	b = b[:pageSize-sha256.Size]
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// decodeHeader reads the first page.
func decodeHeader(page []byte, want Granularity) (*header, error) {
	if len(page) < pageSize || !bytes.HasPrefix(page, []byte(magic)) {
		return nil, damaged(0, "this is not a keyset")
	}
	body := page[:pageSize-sha256.Size]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], page[len(body):pageSize]) {
		return nil, damaged(0, "the digest of the header does not match")
	}
	d := decoder{data: body, size: len(body)}
	d.take(len(magic))
	if version := d.uint16(); version != format {
		return nil, fmt.Errorf("keystore: load %s: %w: it is %d, and %d can be read", fileName, ErrFormat, version, format)
	}
	h := &header{granularity: Granularity(d.byte())}
	if !h.granularity.valid() || d.byte() != 0 {
		return nil, d.damaged("unknown granularity %d", uint8(h.granularity))
	}
	if want != Unspecified && h.granularity != want {
		return nil, fmt.Errorf("keystore: load %s: %w: it is %s, not %s", fileName, ErrGranularity, h.granularity, want)
	}
	copy(h.file[:], d.take(len(h.file)))
	copy(h.scopes[:], d.take(len(h.scopes)))
	h.method = string(d.take(int(d.byte())))
	h.wrapped = bytes.Clone(d.take(int(d.uint16())))
	if d.short || len(h.method) == 0 || len(h.method) > maxMethod || len(h.wrapped) == 0 || len(h.wrapped) > MaxWrapped {
		return nil, d.damaged("the wrapped master key has no sensible length")
	}
	return h, nil
}

// state says how much of the file counts. Two pages take turns in holding it: while one is written the
// other one is good.
type state struct {
	number uint64 // of writings of a state; its parity says which page
	count  uint64 // records that are durable
	seen   uint64 // sequence of the log
	wiped  uint64 // of the keys that the first so many records destroy nothing is left in the file
}

func (st state) offset() int64 { return pageSize * (1 + int64(st.number%statePages)) }

func (st state) encode(file salt) []byte {
	b := make([]byte, 0, stateSize)
	b = binary.BigEndian.AppendUint64(b, st.number)
	b = binary.BigEndian.AppendUint64(b, st.count)
	b = binary.BigEndian.AppendUint64(b, st.seen)
	b = binary.BigEndian.AppendUint64(b, st.wiped)
	b = append(b, 0, 0, 0, 0)
	return binary.BigEndian.AppendUint32(b, stateSum(b, file, st.offset()))
}

func stateSum(b []byte, file salt, off int64) uint32 {
	return checksum(file, uint64(off), b[:stateSize-4])
}

// checksum is over the file's salt, a place and some bytes.
func checksum(file salt, place uint64, b []byte) uint32 {
	var head [len(file) + 8]byte
	copy(head[:], file[:])
	binary.BigEndian.PutUint64(head[len(file):], place)
	return crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, b)
}

// decodeState reads one of the pages. What is behind the state is zero.
func decodeState(page []byte, file salt, off int64) (st state, ok bool) {
	if binary.BigEndian.Uint32(page[stateSize-4:]) != stateSum(page, file, off) || !allZero(page[stateSize:]) {
		return st, false
	}
	st = state{
		number: binary.BigEndian.Uint64(page), count: binary.BigEndian.Uint64(page[8:]),
		seen: binary.BigEndian.Uint64(page[16:]), wiped: binary.BigEndian.Uint64(page[24:]),
	}
	return st, st.offset() == off && st.wiped <= st.count
}

func allZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

func damaged(off int64, reason string, args ...any) error {
	return &DamageError{File: fileName, Offset: off, Reason: fmt.Sprintf(reason, args...)}
}
