package keystore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"

	"batpak/faultfs"
)

// chunkRecords is how many records are read at a time.
const chunkRecords = 8192

// Load reads the keyset in the root of fsys. The error is ErrNotExist when there
// is none, a *DamageError (which is ErrDamaged) when it is not whole,
// ErrGranularity when it was made with another granularity, ErrFormat when it was
// written by a newer program, ErrWrapped when it is wrapped and there is no Wrapper of that method, ErrWrongKey,
// what else the wrapper fails with, or that of the disk. There is never a store along
// with an error, and the keyset is then as it was. Close the store.
//
// A temporary file that a crash left is removed, if that is possible: it holds
// keys, and those must not outlive their destruction. A keyset of format 1 is replaced by one of format 2.
func Load(ctx context.Context, fsys faultfs.FS, g Granularity, o Options) (*Store, error) {
	if !g.valid() {
		return nil, fmt.Errorf("keystore: %w: %s", ErrGranularity, g)
	}
	f, err := fsys.OpenFile(fileName, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("keystore: load %s: %w: %w", fileName, ErrNotExist, err)
	}
	if err != nil {
		return nil, fmt.Errorf("keystore: load %s: %w", fileName, err)
	}
	s, err := loadFile(ctx, fsys, f, g, o)
	if err != nil {
		f.Close()
		return nil, err
	}
	_ = fsys.Remove(fileName + faultfs.TempSuffix) // if it comes back, the next load removes it again
	return s, nil
}

func loadFile(ctx context.Context, fsys faultfs.FS, f faultfs.File, g Granularity, o Options) (*Store, error) {
	r := reader{file: f}
	if err := r.readHead(g); err != nil {
		return nil, err
	}
	if r.old != nil {
		defer clear(r.old)
		s, err := convert(ctx, fsys, r.old, g, o)
		if err == nil {
			f.Close() // it was replaced
		}
		return s, err
	}
	m, err := r.head.unwrap(ctx, o.Wrapper)
	if err != nil {
		return nil, err
	}
	s := storeOf(fsys, r.head, m, o)
	s.file = f
	if err := r.readRecords(); err != nil {
		return nil, err
	}
	s.keys, s.state, s.wiped, s.safe, s.seen, s.found = r.keys, r.state, r.state.wiped, r.state.seen, r.state.seen, true
	s.placed, s.rolled, s.tail, s.broken, s.wipes = r.placed, r.rolled, r.tail, r.broken, r.wipes
	s.findSpares()
	return s, nil
}

// convert makes a keyset of format 2 out of one of format 1.
func convert(ctx context.Context, fsys faultfs.FS, data []byte, g Granularity, o Options) (*Store, error) {
	s, err := empty(ctx, fsys, g, o)
	if err != nil {
		return nil, err
	}
	if err := s.decode1(data); err != nil {
		return nil, err
	}
	if err := s.create(); err != nil {
		return nil, fmt.Errorf("keystore: convert %s: %w", fileName, err)
	}
	return s, nil
}

func wrongGranularity(is, want Granularity) error {
	return fmt.Errorf("keystore: load %s: %w: it is %s, not %s", fileName, ErrGranularity, is, want)
}

// readable is what a reader needs of a file.
type readable interface {
	io.ReaderAt
	Stat() (fs.FileInfo, error)
}

// reader reads a keyset file, and believes nothing that does not check out.
type reader struct {
	file   readable
	size   int64
	old    []byte // the whole file, when it is of format 1
	head   *header
	state  state
	broken bool // the other state is none: it was being written, or it rotted

	keys   table
	placed uint64
	rolled []byte
	tail   bool
	wipes  []uint32
	wiped  map[uint32]int64 // keys whose record is not whole: they must turn out to be destroyed
}

func (r *reader) read(b []byte, off int64) error {
	n, err := r.file.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == io.EOF || err == nil {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("keystore: load %s: read at offset %d: %w", fileName, off, err)
}

// readHead reads the header, and the state that is the newer one.
func (r *reader) readHead(g Granularity) error {
	info, err := r.file.Stat()
	if err != nil {
		return fmt.Errorf("keystore: load %s: %w", fileName, err)
	}
	if r.size = info.Size(); !info.Mode().IsRegular() || r.size > math.MaxInt {
		return fmt.Errorf("keystore: load %s: %w", fileName, fs.ErrInvalid)
	}
	b := make([]byte, min(r.size, recordStart))
	if err := r.read(b, 0); err != nil {
		return err
	}
	if isFormat1(b) {
		r.old = make([]byte, r.size)
		return r.read(r.old, 0)
	}
	if r.head, err = decodeHeader(b, g); err != nil {
		return err
	}
	if len(b) < recordStart {
		return damaged(r.size, "the file ends within its first %d bytes", recordStart)
	}
	found := false
	for off := pageSize; off < recordStart; off += pageSize {
		st, ok := decodeState(b[off:off+pageSize], r.head.file, int64(off))
		if !ok {
			r.broken = true
		} else if !found || st.number > r.state.number {
			r.state, found = st, true
		}
	}
	if !found {
		return damaged(pageSize, "neither of the two states is whole")
	}
	if n := r.state.count; n >= noRecord || recordOffset(n) > r.size {
		return damaged(r.size, "the file ends before the last of %d records", n)
	}
	return nil
}

// readRecords reads the records that the state counts, and those behind them that are a whole flush: its
// state was being written, or was not read as it is.
func (r *reader) readRecords() error {
	r.wiped = make(map[uint32]int64)
	b := make([]byte, min(chunkRecords, r.state.count)*recordSize)
	for n := uint64(0); n < r.state.count; {
		b = b[:min(uint64(len(b)), (r.state.count-n)*recordSize)]
		if err := r.read(b, recordOffset(n)); err != nil {
			return err
		}
		for at := 0; at < len(b); at += recordSize {
			rec, _, _, ok := readRecord(b[at:at+recordSize], n, r.head.file)
			if err := r.take(&rec, n, ok); err != nil {
				return err
			}
			n++
		}
	}
	r.placed = r.state.count
	if err := r.rollForward(); err != nil {
		return err
	}
	for n, off := range r.wiped {
		if e := r.keys.at(n); e.state != dead {
			return damaged(off, "record of key %s: checksum mismatch", e.id)
		}
	}
	return nil
}

// take takes in the n-th record.
func (r *reader) take(rec *record, n uint64, ok bool) error {
	off := recordOffset(n)
	if !ok && rec.typ != typeKey {
		return damaged(off, "record %d: checksum mismatch", n)
	}
	if rec.typ == typeKey {
		at, known := r.keys.byID(rec.id)
		if known && r.keys.at(at).record != noRecord {
			return damaged(off, "key %s occurs twice", rec.id)
		}
		if !known {
			at = r.keys.add(rec.id, spare)
		} else if r.keys.at(at).state == missing {
			r.keys.become(at, live)
		}
		r.keys.at(at).record = uint32(n)
		if !ok {
			r.wiped[at] = off // or it rotted: then nothing says that it was destroyed
		}
		return nil
	}
	at := r.keys.known(rec.id)
	e := r.keys.at(at)
	if e.scope == (scopeHash{}) {
		r.keys.bind(at, rec.scope())
	} else if e.scope != rec.scope() {
		return damaged(off, "key %s is of two scopes", rec.id)
	}
	if rec.typ == typeDestroyed {
		r.keys.become(at, dead)
		if n >= r.state.wiped && e.record != noRecord {
			r.wipes = append(r.wipes, at)
		}
	}
	return nil
}

// rollForward takes in whole flushes that no state counts.
func (r *reader) rollForward() error {
	for {
		records, raw, err := r.wholeFlush()
		if err == nil && records == nil && r.tail {
			// What lies there is ignored from now on. It is read once more before: a reading may go wrong by
			// itself, and would take along keys that are in use.
			if records, _, err = r.wholeFlush(); err == nil && records != nil {
				err = damaged(recordOffset(r.placed), "two readings differ: the records were not whole, and then they were")
			}
		}
		if err != nil || records == nil {
			return err
		}
		for i := range records {
			if err := r.take(&records[i], r.placed+uint64(i), true); err != nil {
				return err
			}
		}
		r.placed += uint64(len(records))
		r.rolled = append(r.rolled, raw...)
	}
}

// wholeFlush reads the flush that lies behind the records, nil when there is none that is whole.
func (r *reader) wholeFlush() (records []record, raw []byte, err error) {
	off := recordOffset(r.placed)
	rest := r.size - off
	r.tail = rest > 0
	if rest < recordSize {
		return nil, nil, r.leftover(off, rest)
	}
	b := make([]byte, recordSize)
	if err := r.read(b, off); err != nil {
		return nil, nil, err
	}
	_, tag, of, ok := readRecord(b, r.placed, r.head.file)
	if !ok || of == 0 || int64(of)*recordSize > rest {
		return nil, nil, r.leftover(off, rest)
	}
	raw = make([]byte, int64(of)*recordSize)
	if err := r.read(raw, off); err != nil {
		return nil, nil, err
	}
	for i := range uint64(of) {
		rec, t, o, ok := readRecord(raw[i*recordSize:(i+1)*recordSize], r.placed+i, r.head.file)
		if !ok || t != tag || o != of {
			return nil, nil, r.leftover(off, rest)
		}
		records = append(records, rec)
	}
	return records, raw, nil
}

// leftover judges bytes behind the records that are no whole flush. A flush that was interrupted leaves some,
// but then both states are whole: one is written only when the records are durable.
func (r *reader) leftover(off, n int64) error {
	if r.broken && n > 0 && r.placed == r.state.count {
		return damaged(off, "one of the two states is not whole, and neither are the records that it may count")
	}
	return nil
}

// Stats is what a keyset has, in keys.
type Stats struct {
	Granularity Granularity
	Method      string // how the master key is wrapped; Clear when it is not
	Live        int    // of a scope
	Destroyed   int
	Missing     int // the log has events under them, and the keyset does not have them
	Spare       int // made ahead of need
}

func (t *table) stats(h *header) Stats {
	return Stats{h.granularity, h.method, t.count[live], t.count[dead], t.count[missing], t.count[spare]}
}

// Stats is what the store has now, keys that are not durable yet included.
func (s *Store) Stats() Stats {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.keys.stats(s.head)
}

// Inspect reads what a keyset has without its master key, and changes nothing. A store may be using the
// keyset meanwhile: what it was just wiping looks like damage, so only what looks like it three times is. The
// errors are those of Load.
func Inspect(fsys faultfs.FS) (st Stats, err error) {
	for range 3 {
		if st, err = inspect(fsys); !errors.Is(err, ErrDamaged) {
			return st, err
		}
	}
	return st, err
}

func inspect(fsys faultfs.FS) (Stats, error) {
	f, err := fsys.OpenFile(fileName, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return Stats{}, fmt.Errorf("keystore: inspect %s: %w: %w", fileName, ErrNotExist, err)
	}
	if err != nil {
		return Stats{}, fmt.Errorf("keystore: inspect %s: %w", fileName, err)
	}
	defer f.Close()
	r := reader{file: f}
	if err := r.readHead(Unspecified); err != nil {
		return Stats{}, err
	}
	if r.old != nil {
		clear(r.old)
		return Stats{}, fmt.Errorf("keystore: inspect %s: %w: it is 1, and is converted when it is loaded", fileName, ErrFormat)
	}
	if err := r.readRecords(); err != nil {
		return Stats{}, err
	}
	return r.keys.stats(r.head), nil
}
