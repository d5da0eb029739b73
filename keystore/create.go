package keystore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"batpak/causal"
	"batpak/faultfs"
)

// empty is a store with a master key of its own and no file.
func empty(ctx context.Context, fsys faultfs.FS, g Granularity, o Options) (*Store, error) {
	if !g.valid() {
		return nil, fmt.Errorf("keystore: %w: %s", ErrGranularity, g)
	}
	h := &header{granularity: g}
	h.file, h.scopes = randomSalt(), randomSalt()
	m, err := h.makeMaster(ctx, o.Wrapper)
	if err != nil {
		return nil, err
	}
	return storeOf(fsys, h, m, o), nil
}

func storeOf(fsys faultfs.FS, h *header, m *master, o Options) *Store {
	return &Store{fsys: fsys, head: h, master: m, reserve: o.least(), flushing: make(chan struct{}, 1),
		fresh: make(map[uint32]*Key)}
}

// New makes an empty keyset in the root of fsys, which must be a folder that
// exists durably, and returns when it is durable itself. It fails with ErrExists
// when there is a keyset, whatever its state. What the wrapper fails with is in its error.
func New(ctx context.Context, fsys faultfs.FS, g Granularity, o Options) (*Store, error) {
	switch f, err := fsys.Open(fileName); {
	case err == nil:
		_ = f.Close() // only its being there was of interest
		return nil, fmt.Errorf("keystore: new %s: %w", fileName, ErrExists)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("keystore: new %s: %w", fileName, err)
	}
	s, err := empty(ctx, fsys, g, o)
	if err != nil {
		return nil, err
	}
	if g != None {
		ids, minted := make([]causal.KeyID, s.reserve), make(spares, s.reserve)
		mint(ids, minted)
		for i := range minted {
			s.pending = append(s.pending, s.master.record(ids[i], &minted[i].secret))
		}
		clear(minted)
	}
	if err := s.create(); err != nil {
		return nil, fmt.Errorf("keystore: new %s: %w", fileName, err)
	}
	return s, nil
}

// encodeFile is a whole file with these records, all durable.
func encodeFile(h *header, records []record, seen uint64) ([]byte, state) {
	n := uint64(len(records))
	first := state{number: 0, count: n, seen: seen, wiped: n}
	second := state{number: 1, count: n, seen: seen, wiped: n}
	b := make([]byte, 0, recordOffset(n))
	b = append(b, h.encode()...)
	b = append(b, first.encode(h.file)...)
	b = append(b[:2*pageSize], second.encode(h.file)...)
	return appendRecords(b[:recordStart], records, 0, randomTag(), h.file), second
}

// create publishes the file of a store that has all that it has in pending.
func (s *Store) create() error {
	var b []byte
	b, s.state = encodeFile(s.head, s.pending, 0)
	if s.head.method == Clear {
		defer clear(b[:pageSize])
		clear(s.head.wrapped)
	}
	if err := faultfs.Publish(s.fsys, fileName, b, perm); err != nil {
		return err
	}
	f, err := s.fsys.OpenFile(fileName, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	s.file, s.placed = f, s.state.count
	s.uncounted, s.pending = s.pending, nil
	for i := range s.uncounted {
		s.number(&s.uncounted[i], uint64(i))
	}
	s.findSpares()
	s.settle()
	s.wipes = nil // a file that was just made has no key that was destroyed
	s.wiped, s.lasting, s.firm = s.state.wiped, true, s.state.count
	return nil
}
