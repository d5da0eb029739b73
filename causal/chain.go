package causal

import (
	"errors"
	"fmt"
)

// ErrChain is matched by the errors of Head.Check.
var ErrChain = errors.New("chain broken")

// Head is where a stream stands: its last event. The zero value is a stream without events.
type Head struct {
	Seq     uint64 // the last event's sequence
	Version uint64 // the last event's version: how many events the stream has
	Hash    Hash   // the last event's hash
}

// Check reports whether an event with header next may follow: the next version, a later
// sequence, and this head's hash as Prev (none after an empty head). Its errors match ErrChain
// and say what differs.
func (h Head) Check(next *Header) error {
	switch {
	case next.Version != h.Version+1:
		return fmt.Errorf("%w: %s has version %d after %d", ErrChain, next.Stream(), next.Version, h.Version)
	case next.Seq <= h.Seq:
		return fmt.Errorf("%w: %s has sequence %d after %d", ErrChain, next.Stream(), next.Seq, h.Seq)
	case next.Prev != h.Hash:
		return fmt.Errorf("%w: %s version %d follows hash %s, not %s, which event %d before it has", ErrChain, next.Stream(), next.Version, next.Prev, h.Hash, h.Seq)
	}
	return nil
}

// Next returns the head after an event with header last and this hash.
func (h Head) Next(last *Header, hash Hash) Head {
	return Head{Seq: last.Seq, Version: last.Version, Hash: hash}
}
