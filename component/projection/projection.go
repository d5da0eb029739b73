package projection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"batpak/causal"
	"batpak/codec"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/vmihailenco/msgpack/v5"
)

// Defaults of Config.
const (
	DefaultEvery   = 1000
	DefaultIdle    = time.Second
	DefaultStreams = 1 << 16
)

// Event is an event as a projection folds it. It and what it points to may be kept, and must
// not be changed.
type Event struct {
	causal.Event

	// State is Plain for a payload that was never sealed. For a sealed one it is what Config.Open
	// says, and KeyMissing without one: this reader has no key.
	State causal.PayloadState

	// Payload is the payload in clear, one MessagePack value, when State is Plain or Opened;
	// nil otherwise.
	Payload []byte
}

// Opened is what became of a sealed payload.
type Opened struct {
	State   causal.PayloadState // Opened, Shredded or KeyMissing
	Payload []byte              // nil unless Opened
}

// Config says what to fold into what. JetStream, Stream and Fold are required.
type Config[S any] struct {
	JetStream jetstream.JetStream
	Stream    string // the onward stream: BATPAK_ and the journal's name in upper case, unless configured

	// Fold changes the state by one event. It is called for one event after the other and must
	// be deterministic: the same events make the same state. It must not wait for long. An error
	// (or a panic) ends Run; the checkpoint stays before the event, and the state in memory is
	// worth nothing then.
	Fold func(state *S, e Event) error

	// Erase takes out of the state what is derived from the payloads that were erased. It is
	// called for every erasure in the journal, in its place among the events: after Fold was for
	// the events before it, and just before Fold is for the erasure's own event. It is held to
	// what Fold is held to, and an error (or a panic) ends Run as one of Fold does. It is called
	// again for an erasure that no checkpoint was saved after: what it does outside of the state
	// must bear that. Nil: the state keeps what it has. See "Erasures".
	Erase func(state *S, e Erasure) error

	// New returns the state before the first event, empty: a checkpoint is decoded on top of
	// it. The zero value when nil.
	New func() S

	// Version says which Fold, Erase and S this is; a checkpoint of another version is not used.
	Version uint64

	Store Store         // where checkpoints go; nil: there are none, each Run begins at event 1
	Every int           // events between two checkpoints, about, without erasures; DefaultEvery when 0
	Idle  time.Duration // how long without an event until what was folded is saved; DefaultIdle when 0

	// Open returns what sealed payloads are in clear, in the order of the events, at most 256 at
	// a time. Nil: sealed payloads stay sealed. An error ends Run.
	Open func(ctx context.Context, sealed []causal.Event) ([]Opened, error)

	Lineage causal.Lineage // the journal that must be read; any when zero
	Streams int            // whose last event is remembered, about 300 bytes each; DefaultStreams when 0

	Logger *slog.Logger // nothing is logged when nil
}

// Projection folds a journal's events into an S. It is safe for concurrent use.
type Projection[S any] struct {
	config Config[S]
	log    *slog.Logger

	mu      sync.RWMutex
	state   S      // changed by Run's goroutine alone, under mu
	seq     uint64 // of the last event in state
	running bool
	err     error         // why the last Run ended
	changed chan struct{} // closed and replaced when seq has grown or Run has ended

	run *run // Run's goroutine's own
}

// New checks the configuration and returns a projection that has folded nothing yet. Its
// errors match ErrConfig.
func New[S any](c Config[S]) (*Projection[S], error) {
	switch {
	case c.JetStream == nil:
		return nil, fmt.Errorf("%w: no JetStream", ErrConfig)
	case c.Stream == "":
		return nil, fmt.Errorf("%w: no stream", ErrConfig)
	case c.Fold == nil:
		return nil, fmt.Errorf("%w: no Fold", ErrConfig)
	case c.Every < 0 || c.Idle < 0 || c.Streams < 0:
		return nil, fmt.Errorf("%w: a limit is negative", ErrConfig)
	}
	if c.New == nil {
		c.New = func() (zero S) { return zero }
	}
	if c.Every == 0 {
		c.Every = DefaultEvery
	}
	if c.Idle == 0 {
		c.Idle = DefaultIdle
	}
	if c.Streams == 0 {
		c.Streams = DefaultStreams
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Projection[S]{config: c, log: c.Logger, state: c.New(), changed: make(chan struct{})}, nil
}

// Seq returns the sequence of the last event that was folded; 0 before the first.
func (p *Projection[S]) Seq() uint64 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.seq
}

// View calls look with the state as it is between two batches. look must not change it, nor
// keep what it points to, nor call Wait or View; while it runs nothing is folded.
func (p *Projection[S]) View(look func(state *S)) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	look(&p.state)
}

// Wait returns nil when the event with this sequence was folded, ctx's error when that ends
// first, and otherwise the error that Run has ended with. Before Run is called it waits.
func (p *Projection[S]) Wait(ctx context.Context, seq uint64) error {
	for {
		p.mu.RLock()
		at, running, err, changed := p.seq, p.running, p.err, p.changed
		p.mu.RUnlock()
		if at >= seq {
			return nil
		}
		if !running && err != nil {
			return fmt.Errorf("projection: wait for event %d, folded %d: %w", seq, at, err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("projection: wait for event %d, folded %d: %w", seq, at, ctx.Err())
		}
	}
}

// Run loads the checkpoint and folds until ctx ends, which is no error, or something is wrong:
// see "When it stops" in the package's documentation. Before it returns it saves what was
// folded, also after ctx has ended, unless it ends because of Fold, Erase or the Store. One Run at a
// time: another one returns ErrRunning.
func (p *Projection[S]) Run(ctx context.Context) error {
	p.mu.Lock()
	if p.running {
		p.mu.Unlock()
		return ErrRunning
	}
	p.running, p.err = true, nil
	p.mu.Unlock()

	err := p.load(ctx)
	if err == nil {
		err = p.follow(ctx)
		if p.worthSaving(err) {
			// What was folded is good, and there may be no other occasion to keep it.
			if serr := p.save(ctx); serr != nil {
				err = errors.Join(err, serr)
			}
		}
	}
	p.mu.Lock()
	p.running, p.err = false, err
	if err == nil {
		p.err = context.Cause(ctx) // for those who wait
	}
	p.wake()
	p.mu.Unlock()
	return err
}

// saveWait is how long the Store may take for a Save.
const saveWait = 15 * time.Second

// worthSaving says whether the state is that of the last folded event and the Store works, when
// following has ended with err.
func (p *Projection[S]) worthSaving(err error) bool {
	var at *EventError
	if errors.As(err, &at) {
		return at.Doing != "fold" && at.Doing != "erase"
	}
	return !errors.Is(err, errStore)
}

// wake wakes those who wait. p.mu is held.
func (p *Projection[S]) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// load begins a Run with what the Store has.
func (p *Projection[S]) load(ctx context.Context) error {
	r := &run{stream: p.config.Stream, lineage: p.config.Lineage}
	state := p.config.New()
	if p.config.Store != nil {
		b, err := p.config.Store.Load(ctx)
		if err != nil {
			return fmt.Errorf("projection: load checkpoint: %w", err)
		}
		if b != nil {
			c, err := decodeCheckpoint(b)
			if err != nil {
				return err
			}
			if c.version != p.config.Version {
				p.log.Info("checkpoint is of another version: beginning at event 1", "stream", r.stream,
					"version", c.version, "want", p.config.Version)
			} else {
				if err := msgpack.Unmarshal(c.state, &state); err != nil {
					return fmt.Errorf("%w: state: %w", ErrCheckpoint, err)
				}
				if !r.lineage.IsZero() && r.lineage != c.lineage {
					return fmt.Errorf("projection: checkpoint of %s, not %s: %w", c.lineage, r.lineage, ErrLineage)
				}
				r.at, r.lineage = c.position, c.lineage
			}
		}
	}
	r.saved = r.at.seq
	r.heads = newHeads(p.config.Streams, r.at.seq == 0)
	p.run = r
	p.mu.Lock()
	p.state, p.seq = state, r.at.seq
	p.wake()
	p.mu.Unlock()
	return nil
}

// save gives the Store a checkpoint, unless it has this one. The state is read without a lock:
// nobody but this goroutine changes it.
func (p *Projection[S]) save(ctx context.Context) error {
	r := p.run
	if p.config.Store == nil || r.saved == r.at.seq {
		return nil
	}
	state, err := msgpack.Marshal(&p.state)
	if err != nil {
		return fmt.Errorf("%w: encode the state: %w", errStore, err)
	}
	if err := codec.Check(state); err != nil {
		return fmt.Errorf("%w: encode the state: %w", errStore, err) // it could not be loaded again
	}
	c := checkpoint{version: p.config.Version, position: r.at, state: state}
	b := appendCheckpoint(make([]byte, 0, checkpointHead+len(state)+checkpointTail), &c)
	// A Save is not cut short when ctx ends: there could be no other, because what became of
	// this one would not be known.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveWait)
	defer cancel()
	if err := p.config.Store.Save(ctx, b); err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	r.saved, r.erased = r.at.seq, false
	return nil
}

// errStore marks what goes wrong in keeping a checkpoint.
var errStore = errors.New("projection: save checkpoint")
