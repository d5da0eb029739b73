package gates

import (
	"fmt"
	"sync"

	"batpak/causal"
)

// FoldStreams is how many streams a folding gate remembers the state of.
const FoldStreams = 1 << 16

// Fold makes a gate that decides from a state: fold is applied to the events of the proposal's
// stream, in order, from the zero S; judge gets the result and the proposal. NewChain refuses the
// gate when the name is bad or a function is nil.
//
// The gate remembers the states of the FoldStreams streams that it was asked about last, and
// the next time folds only the events that are new. It notices by the chain of hashes when events
// that it folded are gone, because a batch was given up before it was committed, and goes back.
//
// So S must behave as a value: fold must return a new state and leave the one it was given as it
// was. A struct of numbers and strings does; a map or a slice inside must be cloned before it is
// changed. What fold keeps of an event's Payload it must copy. Fold sees sealed events whose
// payload is gone, too (Event.State), and decides what they count for.
//
// An error of fold denies with CodeFold; events that cannot be read, or do not chain, with
// CodeView. The gate is safe for concurrent use when the functions are. It is a Forgetter.
func Fold[S any](name string, fold func(state S, e Event) (S, error), judge func(state S, p *Proposal) *Denial) Gate {
	return newFolded(name, fold, judge, FoldStreams)
}

func newFolded[S any](name string, fold func(S, Event) (S, error), judge func(S, *Proposal) *Denial, streams int) *folded[S] {
	return &folded[S]{name: name, fold: fold, judge: judge, cache: newLRU[causal.Stream, memory[S]](streams)}
}

// point is a stream's state at a head.
type point[S any] struct {
	head  causal.Head
	state S
}

// memory is what is kept of a stream. tip is where the last call ended. base is the last point on
// the way there that cannot be inside the batch that was being judged: when that batch is given
// up, the tip goes with it and the base stays, so a refused batch does not cost a fold from the
// start of the stream.
type memory[S any] struct {
	base, tip point[S]
}

type folded[S any] struct {
	name  string
	fold  func(S, Event) (S, error)
	judge func(S, *Proposal) *Denial

	mu    sync.Mutex // guards what follows; not held while events are read or folded
	cache *lru[causal.Stream, memory[S]]
	epoch uint64 // how often Forget was called
}

func (f *folded[S]) Name() string { return f.name }
func (f *folded[S]) defect() string {
	return unless(f.fold != nil && f.judge != nil, noFunction)
}

// Forget drops all states: they may hold what an erasure destroyed.
func (f *folded[S]) Forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cache.clear()
	f.epoch++
}

func (f *folded[S]) Judge(p *Proposal, v View) *Denial {
	stream := p.Header.Stream()
	kept, epoch := f.recall(stream)
	kept, d := f.advance(p, v, stream, kept)
	if d != nil {
		return d
	}
	f.remember(stream, kept, epoch)
	return f.judge(kept.tip.state, p)
}

func (f *folded[S]) recall(s causal.Stream) (memory[S], uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	kept, _ := f.cache.get(s)
	return kept, f.epoch
}

// remember keeps m, unless there was a Forget since epoch: then m may be from before it.
func (f *folded[S]) remember(s causal.Stream, m memory[S], epoch uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.epoch == epoch {
		f.cache.put(s, m)
	}
}

// advance returns the memory for the stream's head in v. It starts from the latest point of kept
// that v confirms: the tip, else the base, else the start of the stream.
func (f *folded[S]) advance(p *Proposal, v View, s causal.Stream, kept memory[S]) (memory[S], *Denial) {
	head := v.Head(s)
	for _, start := range [...]memory[S]{kept, {base: kept.base, tip: kept.base}} {
		if start.tip.head.Version == 0 || start.tip.head.Version > head.Version {
			continue
		}
		if m, d, stray := f.follow(p, v, s, start, head); stray == nil {
			return m, d
		}
	}
	m, d, stray := f.follow(p, v, s, memory[S]{}, head)
	if stray != nil {
		d = &Denial{Code: CodeView, Message: "the stream's events do not lead to its head", Err: stray}
	}
	return m, d
}

// follow folds the events after m up to head. stray is set when they do not follow on m's tip, or
// do not end at head.
func (f *folded[S]) follow(p *Proposal, v View, s causal.Stream, m memory[S], head causal.Head) (_ memory[S], _ *Denial, stray error) {
	at := m.tip
	for e, err := range v.Events(s, at.head.Version) {
		if err != nil {
			return m, &Denial{Code: CodeView, Message: "the stream's events cannot be read", Err: err}, nil
		}
		if err := at.head.Check(&e.Header); err != nil {
			return m, nil, err
		}
		state, err := f.fold(at.state, e)
		if err != nil {
			return m, &Denial{
				Code:    CodeFold,
				Message: fmt.Sprintf("event %s cannot be folded", e.ID),
				Details: map[string]any{"event": e.ID, "version": e.Version},
				Err:     err,
			}, nil
		}
		at = point[S]{head: at.head.Next(&e.Header, e.Hash), state: state}
		if !mayBeStaged(&e, p) {
			m.base = at
		}
	}
	if at.head.Version != head.Version || at.head.Hash != head.Hash {
		return m, nil, fmt.Errorf("%w: %s ends at version %d, its head is version %d", causal.ErrChain, s, at.head.Version, head.Version)
	}
	m.tip = at
	return m, nil, nil
}

// mayBeStaged says whether e can be an earlier event of the batch that p is in.
func mayBeStaged(e *Event, p *Proposal) bool {
	return e.Batch.Count == p.Header.Batch.Count && e.Batch.Index < p.Header.Batch.Index
}
