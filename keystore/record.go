package keystore

import (
	"encoding/binary"

	"batpak/causal"
)

const (
	recordSize = 80
	sealedSize = KeySize + Overhead // of a key, under the master key
	sealedAt   = recordSize - sealedSize
)

// Types of records.
const (
	typeKey       = 1
	typeBound     = 2
	typeDestroyed = 3
)

// record is one change of the keyset.
type record struct {
	typ  uint8
	id   causal.KeyID
	body [sealedSize]byte // a sealed key, or a scope's hash and zeros
	n    uint32           // of the entry, when it is of a key that has a place in the file
}

func boundRecord(id causal.KeyID, scope scopeHash) record {
	r := record{typ: typeBound, id: id}
	copy(r.body[:], scope[:])
	return r
}

func destroyedRecord(id causal.KeyID, scope scopeHash) record {
	r := boundRecord(id, scope)
	r.typ = typeDestroyed
	return r
}

func (r *record) scope() scopeHash { return scopeHash(r.body[:len(scopeHash{})]) }

func recordOffset(n uint64) int64 { return recordStart + int64(n)*recordSize }

// appendRecords appends what one flush writes, from the n-th record of the file on. The tag tells it from
// what an earlier attempt has left in the same place.
func appendRecords(b []byte, records []record, n uint64, tag uint32, file salt) []byte {
	for i := range records {
		b = appendRecord(b, &records[i], n+uint64(i), tag, len(records), file)
	}
	return b
}

// appendRecord appends the n-th record of the file, one of so many of a flush.
func appendRecord(b []byte, r *record, n uint64, tag uint32, of int, file salt) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0, r.typ, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, tag)
	b = binary.BigEndian.AppendUint32(b, uint32(of))
	b = append(b, r.id[:]...)
	b = append(b, r.body[:]...)
	binary.BigEndian.PutUint32(b[start:], checksum(file, n, b[start+4:]))
	return b
}

// readRecord reads the n-th record of the file.
func readRecord(b []byte, n uint64, file salt) (r record, tag, of uint32, ok bool) {
	r.typ = b[4]
	tag, of = binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])
	copy(r.id[:], b[16:])
	copy(r.body[:], b[sealedAt:])
	ok = binary.BigEndian.Uint32(b) == checksum(file, n, b[4:recordSize]) && allZero(b[5:8]) &&
		r.typ >= typeKey && r.typ <= typeDestroyed
	return r, tag, of, ok
}
