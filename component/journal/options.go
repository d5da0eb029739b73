package journal

import (
	"fmt"
	"log/slog"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/gates"
	"batpak/keystore"
)

// Defaults of Options.
const (
	DefaultSegmentBytes    = 64 << 20
	DefaultMaxPayload      = 1 << 20
	DefaultQueueEvents     = 16384
	DefaultQueueBytes      = 64 << 20
	DefaultIdempotencyKeys = 1 << 20
	DefaultIdempotencyAge  = 24 * time.Hour
)

// Limits that no option changes.
const (
	MaxBatchEvents = codec.MaxBatch
	MaxMetaBytes   = codec.MaxMetaBytes // keys and values of one event's meta together
	MaxCauses      = codec.MaxCauses

	MinSegmentBytes = 16 << 10
	MaxSegmentBytes = 1 << 32 // offsets are kept in 32 bits

	maxBatchBytes = 1 << 30 // offsets within a group have 31 bits

	groupBytes    = 4 << 20 // a commit batch is closed at this size
	groupEvents   = 8192    // and at so many events
	eventRoom     = 768     // what frame and envelope need at most beside the parts of variable length
	conflictMost  = 32      // events that a conflict carries
	conflictReach = 1024    // versions that an expectation may be behind for the conflict to carry any
	conflictSize  = 64 << 10
)

// Options configures a Journal. The zero value is good for a journal that exists.
type Options struct {
	// Name is the journal's name, 1 to 64 of A-Z a-z 0-9 - _. A new journal needs one. For one
	// that exists it is checked when it is not empty.
	Name string

	// Seal says which events share a payload key. It is fixed when the journal is created.
	// keystore.Unspecified means None for a new one, and whatever it is for one that exists.
	Seal keystore.Granularity

	// Keys says how the payload keys are protected, and how many are made ahead of need.
	Keys keystore.Options

	// RequireSubject refuses appends that name no data subject with ErrInvalid, in a journal that
	// seals by subject: their payloads would be in clear, out of reach of an erasure. A journal that
	// seals otherwise does not open with it.
	RequireSubject bool

	// Gates judge every append. Nil permits all. They run on the journal's sequencer, one event
	// after the other: all appends wait for a slow one.
	Gates *gates.Chain

	// SegmentBytes is the size of a segment's file, MinSegmentBytes to MaxSegmentBytes. It bounds a
	// batch too, as does 1 GiB.
	SegmentBytes int64

	// MaxPayload is the largest payload, in bytes of msgpack.
	MaxPayload int

	// QueueEvents and QueueBytes bound the appends that wait for the sequencer. An append that
	// does not fit gets ErrBusy.
	QueueEvents int
	QueueBytes  int64

	// An idempotency key is remembered while it is among the last IdempotencyKeys, and while
	// it is younger than IdempotencyAge, whichever is longer. A key takes about 50 bytes of memory.
	IdempotencyKeys int
	IdempotencyAge  time.Duration

	// Clock stamps the events. Nil makes one.
	Clock *causal.Clock

	// Logger is told what a person should know: recovery, rotation, poisoning. Nil discards.
	Logger *slog.Logger

	restored *meta // of a journal that is being restored, and has no file of it yet
}

func (o Options) withDefaults() (Options, error) {
	setDefault(&o.SegmentBytes, DefaultSegmentBytes)
	setDefault(&o.MaxPayload, DefaultMaxPayload)
	setDefault(&o.QueueEvents, DefaultQueueEvents)
	setDefault(&o.QueueBytes, DefaultQueueBytes)
	setDefault(&o.IdempotencyKeys, DefaultIdempotencyKeys)
	setDefault(&o.IdempotencyAge, DefaultIdempotencyAge)
	if o.Clock == nil {
		o.Clock = causal.NewClock(causal.ClockOptions{})
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.SegmentBytes = (o.SegmentBytes + 4095) &^ 4095
	switch {
	case o.SegmentBytes < MinSegmentBytes, o.SegmentBytes > MaxSegmentBytes:
		return o, invalid("a segment has %d to %d bytes, not %d", MinSegmentBytes, int64(MaxSegmentBytes), o.SegmentBytes)
	case o.MaxPayload < 1, o.QueueEvents < 1, o.QueueBytes < 1, o.IdempotencyKeys < 1, o.IdempotencyAge < 0:
		return o, invalid("a limit is not positive")
	}
	return o, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Stats is what a journal has, for status pages.
type Stats struct {
	Head     uint64 // sequence of the last visible event
	Durable  uint64 // sequence of the last durable event
	Segments int
	Bytes    int64 // of frames
	Streams  int
	Keys     int // payload keys in the keyset
}

// String is for logs.
func (s Stats) String() string {
	return fmt.Sprintf("head %d, %d segments, %d bytes, %d streams, %d keys", s.Head, s.Segments, s.Bytes, s.Streams, s.Keys)
}
