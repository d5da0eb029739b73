package journal

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/faultfs"
	"batpak/gates"
	"batpak/keystore"
)

// Journal is an open journal. It is safe for concurrent use. See the package doc for how its
// goroutines work together.
type Journal struct {
	fsys      faultfs.FS
	opts      Options
	name      string
	lineage   causal.Lineage
	seal      keystore.Granularity
	keys      *keystore.Store // nil when nothing is sealed
	signing   *signing        // nil when nothing is signed
	relearned bool            // while opening: the log has told the keyset what must be durable
	gateRoom  int             // bytes that the gates' names take in an envelope
	chain     *gates.Chain
	clock     *causal.Clock
	ids       causal.IDs
	logger    *slog.Logger
	lock      io.Closer

	queue    queue
	seq      sequencer
	com      committer
	toCommit chan *group   // sequencer to committer; without room, so that a group grows until it is wanted
	returned chan *group   // committer to sequencer
	replies  chan outcome  // committer to reply
	replied  chan struct{} // closed when the last reply was given
	work     chan *segment // to background
	idle     chan struct{} // closed when background has ended

	requestSlices sync.Pool     // of *[]*request
	trees         sync.Pool     // of *causal.Tree without events
	surveying     chan struct{} // has room for maxSurveys
	surveys       context.Context
	endSurveys    context.CancelFunc
	durableEnd    atomic.Int64 // end of the open segment's durable frames
	history       history
	poison        atomic.Pointer[error]
	closing       sync.Once
	closed        atomic.Bool
	closeErr      error

	mu             sync.RWMutex // guards what follows; not held during I/O
	segs           []*segment   // ascending; the last one is open. Only the committer appends
	heads          headTable
	window         window
	visible        uint64        // sequence of the last visible event
	moved          chan struct{} // closed when visible moves; nil when nobody waits
	checkpointSize int64
	checkpointSegs int // sealed segments that the last checkpoint covers
}

// Open opens the journal in the root of fsys, or creates one there when the directory is empty
// and o has a name. It takes the directory's lock, reads what the last process left, finishes or
// undoes what a crash interrupted, applies the erasures on record to the keyset, and refuses what it cannot trust: ErrLocked, ErrForeign,
// ErrGranularity, ErrDamaged (with a *DamageError, or the keystore's error), ErrInvalid for o. When
// ctx ends while the log is being read, so does Open.
func Open(ctx context.Context, fsys faultfs.FS, o Options) (*Journal, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	signing, err := newSigning(o.Signer)
	if err != nil {
		return nil, err
	}
	lock, err := takeLock(fsys)
	if err != nil {
		return nil, err
	}
	j := &Journal{fsys: fsys, opts: o, signing: signing, chain: o.Gates, clock: o.Clock, logger: o.Logger, lock: lock}
	for _, name := range j.chain.Names() {
		j.gateRoom += len(name) + 3
	}
	if err := j.open(ctx); err != nil {
		j.closeFiles()
		lock.Close()
		return nil, err
	}
	j.start()
	return j, nil
}

// takeLock takes the directory's lock, or says ErrLocked.
func takeLock(fsys faultfs.FS) (io.Closer, error) {
	lock, err := fsys.Lock(lockName)
	if errors.Is(err, faultfs.ErrLocked) {
		return nil, fmt.Errorf("journal: %w: %w", ErrLocked, err)
	}
	if err != nil {
		return nil, fmt.Errorf("journal: lock the directory: %w", err)
	}
	return lock, nil
}

func (j *Journal) open(ctx context.Context) error {
	m, err := j.opts.restored, error(nil)
	if m == nil {
		m, err = loadMeta(j.fsys)
	}
	if err != nil {
		return err
	}
	created := m == nil
	if err := j.checkSubjects(m); err != nil {
		return err
	}
	if created {
		if m, err = create(ctx, j.fsys, j.opts); err != nil {
			return err
		}
	}
	if j.opts.Name != "" && j.opts.Name != m.name {
		return fmt.Errorf("journal: %w: it is %q, not %q", ErrForeign, m.name, j.opts.Name)
	}
	if j.opts.Seal != keystore.Unspecified && j.opts.Seal != m.seal {
		return fmt.Errorf("journal: %w: it was created with %q, not %q", ErrGranularity, m.seal, j.opts.Seal)
	}
	j.name, j.lineage, j.seal = m.name, m.lineage, m.seal
	if m.seal != keystore.None {
		j.keys, err = keystore.Load(ctx, faultfs.Sub(j.fsys, keysDir), m.seal, j.opts.Keys)
		if err != nil {
			return keysetError(err)
		}
	}
	j.work = make(chan *segment, 1024)
	j.seq = sequencer{
		j:          j,
		seed:       maphash.MakeSeed(),
		staged:     make(map[causal.Stream]stagedHead),
		keys:       make(map[keyHash]uint64),
		successors: make(map[keystore.Scope]*successor),
		lanes:      make(map[causal.Coordinate][]uint32),
	}
	if j.keys != nil {
		j.seq.recent = make([]recentKey, recentKeys)
	}
	began := time.Now()
	end, err := j.load(ctx)
	if err != nil {
		return err
	}
	if !created { // which leaves its names durable
		if err := j.syncNames(); err != nil {
			return err
		}
	}
	if err := j.mend(ctx, j.active(), end); err != nil {
		return err
	}
	if err := j.catchUp(); err != nil {
		return err
	}
	j.durableEnd.Store(j.active().end)
	j.logger.Info("journal opened", "name", j.name, "head", j.visible, "segments", len(j.segs),
		"took", time.Since(began).Round(time.Millisecond))
	return nil
}

// start starts the goroutines. Close stops them in the order of the flow.
func (j *Journal) start() {
	active := j.active()
	j.queue = queue{maxEvents: j.opts.QueueEvents, maxBytes: j.opts.QueueBytes, wake: make(chan struct{}, 1)}
	j.toCommit = make(chan *group)
	j.returned = make(chan *group, 8)
	j.replies = make(chan outcome, 8)
	j.replied = make(chan struct{})
	j.idle = make(chan struct{})
	j.surveying = make(chan struct{}, maxSurveys)
	j.history.turn = make(chan struct{}, 1)
	j.surveys, j.endSurveys = context.WithCancel(context.Background())
	j.requestSlices.New = func() any { return new([]*request) }
	j.trees.New = func() any { return new(causal.Tree) }
	j.seq.next, j.seq.settled = j.visible+1, j.visible
	j.com = committer{j: j, prep: preparer{fsys: j.fsys, size: j.opts.SegmentBytes, stop: make(chan struct{})}}
	j.com.reserve.keys, j.com.reserve.logger = j.keys, j.logger
	if active.end > active.size/2 && j.opts.restored == nil {
		j.com.prep.want()
	}
	go j.seq.run()
	go j.com.run()
	go j.reply()
	go j.background()
}

// Close takes no more appends, finishes those that are queued, and releases the directory. It is
// safe to call more than once. What it returns concerns caches and promises to the next Open;
// acknowledged appends are safe either way.
func (j *Journal) Close() error {
	j.closing.Do(func() {
		j.queue.close()
		j.endSurveys()
		j.queue.surveys.Wait()
		<-j.replied
		close(j.work)
		<-j.idle
		j.closed.Store(true)
		j.mu.Lock()
		if j.moved != nil {
			close(j.moved)
			j.moved = nil
		}
		j.mu.Unlock()
		if j.Poisoned() == nil {
			j.closeErr = j.mark(j.active())
			j.writeCheckpoint()
			j.closeHistory()
		}
		j.closeFiles()
		j.closeErr = errors.Join(j.closeErr, j.lock.Close())
	})
	return j.closeErr
}

func (j *Journal) closeFiles() {
	if j.keys != nil {
		j.keys.Close()
	}
	j.mu.RLock()
	defer j.mu.RUnlock()
	for _, s := range j.segs {
		s.file.Close()
		if x, ok := s.index.(*sealedIndex); ok {
			x.close()
		}
	}
}

// Append is an event that a caller wants appended.
type Append struct {
	causal.Coordinate
	Lane        uint32
	Kind        causal.Kind
	Schema      uint64
	Data        []byte // the payload: one MessagePack value
	Causes      []causal.Cause
	Correlation causal.EventID
	Subject     string
	Meta        map[string]string

	Expect    *uint64 // the stream's version before the batch; nil does not check
	ExpectSeq *uint64 // the sequence of the coordinate's last event before the batch, in whatever lane
	// Unless refuses the append when an event matches. Its Limit means nothing. Without scope and
	// entity it may range over a million events at most.
	Unless *codec.Selection
	// Renew gives the event's key scope a new key if it was erased, for the whole batch. An event of
	// the journal itself, in front of the batch, says so. What was erased stays erased.
	Renew  bool
	Bypass string // not empty: past the gates, for this reason, which stays in the event
}

// Batch is 1 to MaxBatchEvents events, appended all together or not at all.
type Batch struct {
	Events []Append
	Key    string // the idempotency key, unique within the first event's scope; may be empty
}

// Submit queues a batch and returns at once; it never waits for the disk. An error means that
// nothing was queued: ErrInvalid, ErrTooLarge, ErrBusy, ErrPoisoned, ErrClosed. Otherwise done is
// called once, from the journal's reply goroutine, in the order of commits (from another one, when the
// queue was full or closed by the time that a batch with Unless could enter it): with the receipts when
// the batch is durable and visible, or with why it was refused: a *gates.Denial, a *ConflictError,
// ErrErased, ErrInvalid, ErrTooLarge, ErrStorage or ErrPoisoned. After ErrPoisoned it is not known
// whether the batch will be there after the next Open; a batch with a key can be sent again. done
// must not wait. The batch must not be changed before done was called. The receipts are done's to keep, but
// their proofs end with it: what is to last is a clone.
func (j *Journal) Submit(b *Batch, done func([]codec.Receipt, error)) error {
	return j.submit(&request{batch: b, done: done})
}

func (j *Journal) submit(r *request) error {
	b := r.batch
	size, err := j.check(b)
	if err != nil {
		return err
	}
	if err := j.Poisoned(); err != nil {
		return err
	}
	r.bytes = size
	if r.conditional() {
		return j.survey(r)
	}
	return j.queue.put(r)
}

// Append submits a batch and waits. When ctx ends first, the batch may still be appended.
func (j *Journal) Append(ctx context.Context, b *Batch) ([]codec.Receipt, error) {
	type outcome struct {
		receipts []codec.Receipt
		err      error
	}
	c := make(chan outcome, 1)
	err := j.submit(&request{batch: b, keeps: true, done: func(receipts []codec.Receipt, err error) { c <- outcome{receipts, err} }})
	if err != nil {
		return nil, err
	}
	select {
	case o := <-c:
		return o.receipts, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Wait waits until an event with this sequence is visible. It returns ErrClosed when the journal
// is closed, and ctx's error when that ends first.
func (j *Journal) Wait(ctx context.Context, seq uint64) error {
	for {
		j.mu.Lock()
		if j.visible >= seq {
			j.mu.Unlock()
			return nil
		}
		if j.closed.Load() {
			j.mu.Unlock()
			return ErrClosed
		}
		if j.moved == nil {
			j.moved = make(chan struct{})
		}
		moved := j.moved
		j.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Signer returns the public nkey of what signs the journal's receipts, "" when nothing does.
func (j *Journal) Signer() string {
	if j.signing == nil {
		return ""
	}
	return j.signing.public
}

// Visible returns the sequence of the last event that reads show, 0 for none. It is durable.
func (j *Journal) Visible() uint64 {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.visible
}

// Head returns where a stream stands; zero when it has no events.
func (j *Journal) Head(stream causal.Stream) causal.Head {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.heads.get(stream)
}

// Name returns the journal's name.
func (j *Journal) Name() string { return j.name }

// Lineage returns the journal's lineage.
func (j *Journal) Lineage() causal.Lineage { return j.lineage }

// Seal returns which events share a payload key; keystore.None when nothing is sealed.
func (j *Journal) Seal() keystore.Granularity { return j.seal }

// GateNames returns the names of the gates, in the order they judge.
func (j *Journal) GateNames() []string { return j.chain.Names() }

// MaxPayload returns the largest payload, in bytes of MessagePack.
func (j *Journal) MaxPayload() int { return j.opts.MaxPayload }

// Stats returns counts for status pages.
func (j *Journal) Stats() Stats {
	j.mu.RLock()
	st := Stats{Head: j.visible, Durable: j.visible, Segments: len(j.segs), Streams: j.heads.n}
	for _, s := range j.segs[:len(j.segs)-1] {
		st.Bytes += s.end
	}
	j.mu.RUnlock()
	st.Bytes += j.durableEnd.Load()
	if j.keys != nil {
		st.Keys = j.keys.Len()
	}
	return st
}
