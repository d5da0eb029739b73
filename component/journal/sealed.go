package journal

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"

	"batpak/causal"
)

// sealedIndex is the index of a sealed segment: its file, until that cannot answer. Then the segment
// is read through, and its index is in memory from then on. It closes the file as soon as it is not
// needed; a reader that is in the middle of it then turns to the memory, as from a file that is damaged.
type sealedIndex struct {
	s        *segment
	file     *fileIndex
	logger   *slog.Logger
	mem      atomic.Pointer[memIndex]
	building chan struct{} // full while one reader builds mem and others wait
	broken   error         // why mem cannot be built; whoever is building has it
}

func newSealedIndex(s *segment, file *fileIndex, logger *slog.Logger) *sealedIndex {
	return &sealedIndex{s: s, file: file, logger: logger, building: make(chan struct{}, 1)}
}

func (x *sealedIndex) count() int { return x.file.count() }

func (x *sealedIndex) span() (first, last causal.EventID) { return x.file.span() }

func (x *sealedIndex) offset(pos int) (int64, error) {
	return ask(x, func(i index) (int64, error) { return i.offset(pos) })
}

func (x *sealedIndex) find(id causal.EventID) (int, error) {
	return ask(x, func(i index) (int, error) { return i.find(id) })
}

func (x *sealedIndex) positions(dst []uint32, term uint64, from uint32, most int) ([]uint32, error) {
	return ask(x, func(i index) ([]uint32, error) { return i.positions(dst, term, from, most) })
}

func (x *sealedIndex) tally(term uint64, from uint32, most int) (int, error) {
	return ask(x, func(i index) (int, error) { return i.tally(term, from, most) })
}

// ask asks the file, or the memory when the file cannot answer.
func ask[T any](x *sealedIndex, question func(index) (T, error)) (answer T, err error) {
	mem := x.mem.Load()
	if mem == nil {
		answer, err := question(x.file)
		if !errors.Is(err, errIndex) {
			return answer, err
		}
		if mem, err = x.build(err); err != nil {
			return answer, err
		}
	}
	return question(mem)
}

// build makes the index in memory, unless somebody has. That the segment is damaged too is final once
// two readings of it said so: a reading may go wrong on its way. Other errors may pass, and the next
// reader tries again.
func (x *sealedIndex) build(why error) (*memIndex, error) {
	x.building <- struct{}{}
	defer func() { <-x.building }()
	if mem := x.mem.Load(); mem != nil {
		return mem, nil
	}
	if errors.Is(why, os.ErrClosed) { // by Journal.Close: there is no mem
		return nil, why
	}
	if x.broken != nil {
		return nil, x.broken
	}
	x.logger.Warn("rebuilding a damaged index", "segment", x.s.name, "why", why)
	mem, err := x.read()
	if errors.Is(err, ErrDamaged) {
		mem, err = x.read()
	}
	if errors.Is(err, ErrDamaged) {
		x.broken = err
	}
	if err != nil {
		return nil, err
	}
	x.mem.Store(mem)
	x.close()
	return mem, nil
}

func (x *sealedIndex) read() (*memIndex, error) {
	mem, err := x.s.buildIndex(context.Background())
	if n := x.count(); err == nil && mem.count() != n {
		err = x.s.damage(-1, x.s.first+uint64(mem.count()), "has %d events of %d", mem.count(), n)
	}
	return mem, err
}

func (x *sealedIndex) close() { x.file.file.Close() }
