package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"batpak/causal"
	"batpak/faultfs"
	"batpak/keystore"
)

// Residue is a place from where a payload can be had.
type Residue struct {
	File   string // in the journal's directory
	Offset int64  // in bytes
	Seq    uint64 // of the event, or of the first one under the key
	Events uint64 // how many can be opened with what is there
	// What is ResiduePlain, or that there is a key, as the keystore says: keystore.FoundLive, FoundDestroyed or
	// FoundStray.
	What string
	Key  causal.KeyID // zero for ResiduePlain
}

// ResiduePlain is the residue of a payload that was never sealed: it is in the log in clear.
const ResiduePlain = "plain"

// Searched says what was searched for residue.
type Searched struct {
	Seal   keystore.Granularity
	Events uint64 // of the log
	Of     uint64 // of them what was asked for
	Keys   int    // under which those were sealed
	Found  int
}

// FindResidue searches the journal in the root of fsys for payloads that can still be had of the events that e
// selects; its reason and actor mean nothing. Unlike for an erasure, any selector goes with any granularity. Found
// is called for each payload that was never sealed, in order, and then for each place in the folder of the keys
// where there is a key of one of them: what Shred has destroyed leaves none.
//
// Nothing is changed, and a process may be writing the journal; what it appends meanwhile may be missed. Searched
// are the segments up to the last whole group, and all bytes of the keyset and of what a crash left beside it; see
// keystore.Residue for what that takes. Other files have no payloads. Damage ends the search with a *DamageError.
// A wrapped keyset needs its Wrapper.
func FindResidue(ctx context.Context, fsys faultfs.FS, w keystore.Wrapper, e Erasure, found func(Residue) error) (Searched, error) {
	selects, err := e.selector()
	if err != nil {
		return Searched{}, err
	}
	m, err := loadMeta(fsys)
	if err == nil && m == nil {
		err = fmt.Errorf("journal: search: there is no journal: %w", fs.ErrNotExist)
	}
	if err != nil {
		return Searched{}, err
	}
	s := &search{fsys: fsys, meta: m, selects: selects, found: found, under: make(map[causal.KeyID]Residue)}
	s.done.Seal = m.seal
	if err := s.log(ctx); err != nil {
		return s.done, err
	}
	return s.done, s.keys(ctx, w)
}

// selector says which events are meant.
func (e *Erasure) selector() (func(h *causal.Header) bool, error) {
	var by []func(h *causal.Header) bool
	if e.Entity != nil {
		by = append(by, func(h *causal.Header) bool { return h.Coordinate == *e.Entity })
	}
	if e.Kind != nil {
		by = append(by, func(h *causal.Header) bool { return h.Kind == *e.Kind })
	}
	if e.Category != nil {
		by = append(by, func(h *causal.Header) bool { return h.Kind.Category() == *e.Category })
	}
	if !e.Event.IsZero() {
		by = append(by, func(h *causal.Header) bool { return h.ID == e.Event })
	}
	if e.Subject != "" {
		by = append(by, func(h *causal.Header) bool { return h.Subject == e.Subject })
	}
	if len(by) != 1 {
		return nil, invalid("a search is for one of entity, kind, category, event and subject, not for %d", len(by))
	}
	return by[0], nil
}

// search is one on its way.
type search struct {
	fsys    faultfs.FS
	meta    *meta
	selects func(h *causal.Header) bool
	found   func(Residue) error
	under   map[causal.KeyID]Residue // what a key would open
	done    Searched
}

func (s *search) tell(r Residue) error {
	s.done.Found++
	return s.found(r)
}

func (s *search) log(ctx context.Context) error {
	firsts, err := listSegments(s.fsys)
	if err != nil {
		return err
	}
	for i, first := range firsts {
		if err := s.segment(ctx, first, i == len(firsts)-1); err != nil {
			return err
		}
	}
	return nil
}

func (s *search) segment(ctx context.Context, first uint64, last bool) error {
	seg := &segment{name: segmentName(first), first: first}
	f, err := s.fsys.OpenFile(seg.name, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("journal: search: %w", err)
	}
	defer f.Close()
	seg.file = f
	if err := seg.readHeader(s.meta.lineage); err != nil {
		return err
	}
	var ev causal.Event
	end, err := seg.scan(ctx, func(e logEvent) error {
		if err := seg.decodeInto(e.offset, e.seq, e.envelope, &ev); err != nil {
			return err
		}
		s.done.Events++
		if ev.Scope == causal.SystemScope || !s.selects(&ev.Header) {
			return nil
		}
		s.done.Of++
		if ev.Enc == nil {
			return s.tell(Residue{File: seg.name, Offset: e.offset, Seq: e.seq, Events: 1, What: ResiduePlain})
		}
		r, ok := s.under[ev.Enc.Key]
		if !ok {
			r = Residue{Seq: e.seq, Key: ev.Enc.Key}
		}
		r.Events++
		s.under[ev.Enc.Key] = r
		return nil
	})
	if err == nil && !last {
		err = end.broken
	}
	return err
}

func (s *search) keys(ctx context.Context, w keystore.Wrapper) error {
	s.done.Keys = len(s.under)
	if len(s.under) == 0 {
		return nil
	}
	ids := make([]causal.KeyID, 0, len(s.under))
	for id := range s.under {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b causal.KeyID) int { return bytes.Compare(a[:], b[:]) })
	found, err := keystore.Residue(ctx, faultfs.Sub(s.fsys, keysDir), s.meta.seal, w, ids)
	if errors.Is(err, keystore.ErrDamaged) {
		err = fmt.Errorf("journal: %w: %w", ErrDamaged, err)
	}
	for _, f := range found {
		r := s.under[f.ID]
		r.File, r.Offset, r.What = keysDir+"/"+f.File, f.Offset, f.State
		if err := s.tell(r); err != nil {
			return err
		}
	}
	return err
}
