package keystore

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"batpak/causal"
)

// Dirty says whether a key that was given out, or a destruction, may not be on disk. It stays true while a
// flush runs, and is true after a load. Which scope has which key is no part of it: the log says so too.
func (s *Store) Dirty() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.dirty()
}

func (s *Store) dirty() bool {
	return s.found || len(s.fresh) > 0 || len(s.wipes) > 0 || s.doomed > 0
}

// Flush makes durable all that happened before the call.
// What happens meanwhile may be left for the next flush, and the store is then
// dirty still. When there is nothing to do it does no I/O. One flush runs at a time;
// another caller waits, and then has nothing to do if the first took its changes
// along.
//
// When it fails, the store stays dirty and keeps its keys, the keyset on disk is
// the old or the new one as a whole, and calling Flush again writes what is missing. The
// error wraps that of the disk.
func (s *Store) Flush() error { return s.flush(0) }

// Low says that the reserve is half empty.
func (s *Store) Low() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.spares) < s.target()/2
}

// target is how many spares there should be: twice what was taken lately. The lock is held, for reading at
// least.
func (s *Store) target() int {
	if s.reserve == 0 || s.head.granularity == None {
		return 0
	}
	return min(max(s.reserve, 2*s.taken), maxReserve)
}

// Reserve makes keys durable ahead of need, so that scopes that are new need no flush. It is a flush too,
// and is to be called when Low says so, where nobody waits for it.
func (s *Store) Reserve() error {
	s.mu.RLock()
	n := s.target() - len(s.spares)
	s.mu.RUnlock()
	return s.flush(max(n, 0))
}

// mint makes new keys, as many as there are ids.
func mint(ids []causal.KeyID, keys spares) {
	const size = len(causal.KeyID{}) + KeySize
	room := make([]byte, min(len(ids), 32)*size)
	defer clear(room)
	var random []byte
	for i := range ids {
		if len(random) == 0 {
			random = room
			rand.Read(random) // never fails: the process would end
		}
		ids[i] = causal.KeyID(random)
		keys[i] = spareKey{known: true, secret: [KeySize]byte(random[len(ids[i]):])}
		random = random[size:]
	}
}

func randomSalt() (s salt) {
	rand.Read(s[:])
	return s
}

func randomTag() uint32 {
	var b [4]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint32(b[:])
}

// flush is Flush, with n new spares. The order is what makes it safe: the records are durable before a
// state counts them, and before anything is wiped that they say is destroyed.
func (s *Store) flush(n int) error {
	s.flushing <- struct{}{}
	defer func() { <-s.flushing }()

	ids, minted := make([]causal.KeyID, n), make(spares, n)
	mint(ids, minted)
	defer clear(minted)
	s.mu.Lock()
	records := slices.Clone(s.pending)
	seen, found, taken := s.seen, s.found, s.taken
	nothing := len(records)+n == 0 && len(s.uncounted) == 0 && len(s.wipes) == 0 && !found && seen == s.safe
	s.mu.Unlock()
	if nothing {
		return nil
	}
	if s.placed+uint64(len(records)+n) >= noRecord {
		return errors.New("keystore: flush: the keyset is full: rekey it")
	}
	if found {
		if err := s.secure(); err != nil {
			return fmt.Errorf("keystore: flush %s: %w", fileName, err)
		}
	}
	if err := s.place(records, ids, minted); err != nil {
		return fmt.Errorf("keystore: flush %s: %w", fileName, err)
	}
	s.mu.Lock()
	for i := range records {
		s.number(&records[i], s.placed+uint64(i))
	}
	s.placed += uint64(len(records))
	if len(s.uncounted) == 0 {
		s.uncounted = records
	} else {
		s.uncounted = append(s.uncounted, records...)
	}
	s.pending = append(make([]record, 0, len(records)), s.pending[len(records):]...)
	for i := range minted {
		if i%mintAtOnce == mintAtOnce-1 { // they are very many, and appends wait for the lock
			s.mu.Unlock()
			s.mu.Lock()
		}
		minted[i].n = s.keys.add(ids[i], spare)
		s.keys.at(minted[i].n).record = uint32(s.placed)
		s.placed++
	}
	s.coming.push(minted...)
	counting := len(s.uncounted) > 0 || seen != s.safe || s.state.count != s.placed
	s.mu.Unlock()
	if counting {
		if err := s.count(seen); err != nil {
			return fmt.Errorf("keystore: flush %s: %w", fileName, err)
		}
	}
	s.mu.Lock()
	s.settle()
	if n > 0 {
		s.taken -= taken / 2 // half of it counts once more: while keys are needed, refills get larger, and rare
	}
	wipes := s.wipes
	s.mu.Unlock()
	if err := s.wipeRecords(wipes); err != nil {
		return fmt.Errorf("keystore: flush %s: wipe destroyed keys: %w", fileName, err)
	}
	s.mu.Lock()
	s.wipes, s.found = nil, false
	s.mu.Unlock()
	return nil
}

// secure makes durable what was found: what a process that died has written, and what it may not have
// synced. Written again, because a sync that failed leaves pages that look clean.
func (s *Store) secure() error {
	if len(s.rolled) > 0 {
		if _, err := s.file.WriteAt(s.rolled, recordOffset(s.state.count)); err != nil {
			return err
		}
	}
	if s.tail {
		if err := s.file.Truncate(recordOffset(s.placed)); err != nil {
			return err
		}
	}
	if err := s.writeState(); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	if err := s.fsys.SyncDir("."); err != nil {
		return fmt.Errorf("sync its folder: %w", err)
	}
	s.rolled, s.tail, s.lasting, s.firm = nil, false, true, s.state.count
	if !s.broken {
		return nil
	}
	if err := s.count(s.safe); err != nil { // in the page that is not whole
		return err
	}
	if err := s.sync(); err != nil {
		return err
	}
	s.broken = false
	return nil
}

const (
	mintAtOnce  = 256  // new keys that the lock is held for
	placeAtOnce = 1024 // records in a write
)

// place writes records, and those of keys that were minted, behind those that are there. Nothing counts them yet, so that a
// crash leaves what was.
func (s *Store) place(records []record, ids []causal.KeyID, minted spares) error {
	of := len(records) + len(minted)
	if !s.tail && of == 0 {
		return nil
	}
	if s.tail {
		if err := s.file.Truncate(recordOffset(s.placed)); err != nil {
			return err
		}
	}
	s.tail = true
	at, tag, b := s.placed, randomTag(), make([]byte, 0, min(of, placeAtOnce)*recordSize)
	add := func(r *record) error {
		b = appendRecord(b, r, at+uint64(len(b)/recordSize), tag, of, s.head.file)
		if len(b) < cap(b) {
			return nil
		}
		if _, err := s.file.WriteAt(b, recordOffset(at)); err != nil {
			return err
		}
		at, b = at+uint64(len(b)/recordSize), b[:0]
		return nil
	}
	for i := range records {
		if err := add(&records[i]); err != nil {
			return err
		}
	}
	r := record{typ: typeKey}
	for i := range minted {
		r.id = ids[i]
		s.master.seal(&r.body, r.id, &minted[i].secret)
		if err := add(&r); err != nil {
			return err
		}
	}
	if len(b) > 0 {
		if _, err := s.file.WriteAt(b, recordOffset(at)); err != nil {
			return err
		}
	}
	if err := s.sync(); err != nil {
		return err
	}
	s.tail = false
	return nil
}

// count writes the next state, which counts all records that are placed. They are found without it too, so
// only what the log was seen of has to be synced at once: the next flush syncs the rest.
func (s *Store) count(seen uint64) error {
	if !s.lasting { // or neither page might be whole
		if err := s.sync(); err != nil {
			return err
		}
	}
	was := s.state
	s.state = state{number: was.number + 1, count: s.placed, seen: seen, wiped: s.wiped}
	s.lasting = false
	if seen == s.safe {
		return s.writeState()
	}
	if err := s.sync(); err != nil {
		return err
	}
	s.safe = seen
	return nil
}

func (s *Store) writeState() error {
	_, err := s.file.WriteAt(s.state.encode(s.head.file), s.state.offset())
	return err
}

// sync makes durable what was written, and the state. That is written again for it: when a sync failed, its
// page may look clean and not be on disk.
func (s *Store) sync() error {
	if !s.lasting {
		if err := s.writeState(); err != nil {
			return err
		}
	}
	if err := s.file.SyncData(); err != nil {
		return err
	}
	s.lasting, s.firm = true, s.state.count
	return nil
}

// number notes where in the file the record of a key is. An entry that is not there yet is made. The lock is held.
func (s *Store) number(r *record, at uint64) {
	if r.typ != typeKey {
		return
	}
	n, ok := s.keys.byID(r.id)
	if !ok {
		n = s.keys.add(r.id, spare)
	}
	r.n = n
	s.keys.at(n).record = uint32(at)
}

// settle takes in the records that a durable state counts. The lock is held.
func (s *Store) settle() {
	for i := range s.uncounted {
		r := &s.uncounted[i]
		switch r.typ {
		case typeKey:
			if k := s.fresh[r.n]; k != nil {
				delete(s.fresh, r.n)
				s.opened.put(r.n, k)
			}
		case typeDestroyed:
			s.doomed--
			if n, _ := s.keys.byID(r.id); s.keys.at(n).record != noRecord {
				s.wipes = append(s.wipes, n)
			}
		}
	}
	s.uncounted = nil
	s.spares.push(s.coming...)
	clear(s.coming)
	s.coming = nil
}

// wipeRecords overwrites keys in the file. They are destroyed, so what a crash leaves of them does not matter.
func (s *Store) wipeRecords(keys []uint32) error {
	if len(keys) == 0 {
		return nil
	}
	records := make([]uint64, len(keys))
	s.mu.RLock()
	for i, n := range keys {
		records[i] = uint64(s.keys.at(n).record)
	}
	s.mu.RUnlock()
	if slices.Max(records) >= s.firm { // without the state, a flush with a record that is wiped is not whole
		if err := s.sync(); err != nil {
			return err
		}
	}
	var zeros [sealedSize]byte
	for _, n := range records {
		if _, err := s.file.WriteAt(zeros[:], recordOffset(n)+sealedAt); err != nil {
			return err
		}
	}
	if err := s.sync(); err != nil {
		return err
	}
	s.wiped = s.state.count
	return nil
}
