package keystore

import (
	"context"
	"fmt"
	"os"

	"batpak/faultfs"
)

// Rekey gives the keyset in the root of fsys another master key, wrapped by to, or in clear when to is nil;
// from is what it was loaded with. Nobody may have it loaded. All keys that are alive are sealed anew, with
// their ids, so nothing that was sealed under them has to change, and what was destroyed leaves the file for
// good. Each time that some were done, progress is called with how many of how many, unless it is nil.
//
// The file is replaced as a whole: when Rekey fails, is interrupted or crashes, the keyset is the old one, with
// its old wrapping, or the new one. The errors are those of Load, of ctx, of the wrappers and of the disk.
func Rekey(ctx context.Context, fsys faultfs.FS, g Granularity, from, to Wrapper, progress func(done, all int)) error {
	s, err := Load(ctx, fsys, g, Options{Wrapper: from, Reserve: -1})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Flush(); err != nil { // what was destroyed is to be durable before it is left out
		return err
	}
	return s.rekey(ctx, to, progress)
}

// recordsAtOnce is how many records are written at a time.
const recordsAtOnce = 4096

func (s *Store) rekey(ctx context.Context, to Wrapper, progress func(done, all int)) (err error) {
	h := &header{granularity: s.head.granularity, file: randomSalt(), scopes: s.head.scopes}
	m, err := h.makeMaster(ctx, to)
	if err != nil {
		return err
	}
	defer m.wipe()
	temp := fileName + faultfs.TempSuffix
	f, err := s.fsys.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return fmt.Errorf("keystore: rekey: %w", err)
	}
	defer func() {
		f.Close()
		if err != nil {
			_ = s.fsys.Remove(temp)
			err = fmt.Errorf("keystore: rekey: %w", err)
		}
	}()
	n := uint64(0)
	batch := make([]record, 0, recordsAtOnce)
	write := func() error {
		if _, err := f.WriteAt(appendRecords(nil, batch, n, randomTag(), h.file), recordOffset(n)); err != nil {
			return err
		}
		n += uint64(len(batch))
		batch = batch[:0]
		return ctx.Err()
	}
	for i := range s.keys.n {
		if batch, err = s.reseal(batch, m, i); err != nil {
			return err
		}
		if len(batch) >= recordsAtOnce-2 {
			if err := write(); err != nil {
				return err
			}
			if progress != nil {
				progress(int(i+1), int(s.keys.n))
			}
		}
	}
	if err := write(); err != nil {
		return err
	}
	head, _ := encodeFile(h, nil, 0)
	defer clear(head[:pageSize])
	for number := range uint64(statePages) {
		st := state{number: number, count: n, seen: s.seen, wiped: n}
		copy(head[st.offset():], st.encode(h.file))
	}
	if _, err := f.WriteAt(head, 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := s.fsys.Rename(temp, fileName); err != nil {
		return err
	}
	if err := s.fsys.SyncDir("."); err != nil {
		return err
	}
	if progress != nil {
		progress(int(s.keys.n), int(s.keys.n))
	}
	return nil
}

// reseal appends the records of an entry.
func (s *Store) reseal(records []record, m *master, i uint32) ([]record, error) {
	e := s.keys.at(i)
	if e.state == dead {
		return append(records, destroyedRecord(e.id, e.scope)), nil
	}
	if e.state != missing {
		var sealed [sealedSize]byte
		off := recordOffset(uint64(e.record)) + sealedAt
		if _, err := s.file.ReadAt(sealed[:], off); err != nil {
			return records, fmt.Errorf("read key %s: %w", e.id, err)
		}
		secret, ok := s.master.open(e.id, sealed[:])
		if !ok {
			return records, damaged(off, "key %s is not what was written", e.id)
		}
		records = append(records, m.record(e.id, secret))
		clear(secret[:])
	}
	if e.state != spare {
		records = append(records, boundRecord(e.id, e.scope))
	}
	return records, nil
}
