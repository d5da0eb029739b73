package component

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"batpak/codec"

	"github.com/nats-io/nats.go"
)

// maxHead is how many bytes a head has at most that is looked at.
const maxHead = 4096

// latest is the end of the year 9999 in milliseconds since 1970, the latest time that the file can have.
const latest = 253_402_300_799_999

// WitnessOptions says what a Witness goes by. The zero value is good.
type WitnessOptions struct {
	// File is where the last head is kept, so that the next Witness goes on from it; batpak head --save makes such a
	// file too. Without a name the head is kept in memory.
	File string

	// Signer is the public nkey that heads have to be signed by. Without one, heads may be unsigned; a signature that
	// is there has to be its signer's.
	Signer string

	// Seen is called for each head that was found good. It may be nil.
	Seen func(codec.PublishedHead)

	// Logger gets what could not be looked at. Default: slog.Default.
	Logger *slog.Logger
}

// Witness follows the heads that a node publishes, and keeps the last one. Each has to go on from it: the events in
// between are read and hashed here, so nothing but their bytes is believed. From the first one that does not, every request
// of its Client fails with the Witness's error, appends and reads alike, without being sent.
//
// A Witness is used by one goroutine at a time.
type Witness struct {
	client *Client // whose requests are refused
	reader *Client // the same, and never refused
	o      WitnessOptions
	kept   *KeptHead // nil before the first
}

// NewWitness returns a Witness for the journal of a client, with the head that the file has. Its errors are those
// of LoadHead, or match ErrConfig when the file is of another journal.
func NewWitness(c *Client, o WitnessOptions) (*Witness, error) {
	setDefault(&o.Logger, slog.Default())
	w := &Witness{client: c, o: o}
	w.reader = &Client{nc: c.nc, journal: c.journal, base: c.base, timeout: c.timeout}
	if o.File == "" {
		return w, nil
	}
	kept, err := LoadHead(o.File)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return w, nil
	case err != nil:
		return nil, err
	case kept.Journal != c.journal:
		return nil, fmt.Errorf("component: %w: %s is a head of journal %q, not of %q", ErrConfig, o.File, kept.Journal, c.journal)
	}
	w.kept = kept
	return w, nil
}

// Kept returns the last head, nil before the first. It is not to be changed.
func (w *Witness) Kept() *KeptHead { return w.kept }

// Follow looks at heads as they come, until ctx ends or one is wrong. At its beginning it asks the node where the
// journal stands. When it returns an error that matches ErrRewritten or codec.ErrUnproved, the Client is refused. What
// cannot be looked at now, because the node does not answer, or because it is no head at all, is logged; the next head has
// to do. So a node that publishes nothing is not found out: Seen says when the last head came.
func (w *Witness) Follow(ctx context.Context) error {
	sub, err := w.client.nc.SubscribeSync(w.client.base + headsToken)
	if err != nil {
		return fmt.Errorf("component: heads: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // of a closed connection
	if err := sub.SetPendingLimits(64, 64*maxHead); err != nil {
		return fmt.Errorf("component: heads: %w", err)
	}
	if err := w.goOn(ctx, w.begin(ctx)); err != nil {
		return err
	}
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		if errors.Is(err, nats.ErrSlowConsumer) {
			continue // the next head has all that those had
		}
		if err != nil {
			return fmt.Errorf("component: heads: %w", err)
		}
		var head codec.PublishedHead
		if len(msg.Data) > maxHead {
			err = fmt.Errorf("component: heads: a message of %d bytes", len(msg.Data))
		} else if err = codec.Unmarshal(msg.Data, codec.Msgpack, &head); err == nil {
			err = w.Check(ctx, &head)
		}
		if err := w.goOn(ctx, err); err != nil {
			return err
		}
	}
}

// goOn returns the errors that end Follow, and logs the others.
func (w *Witness) goOn(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrRewritten), errors.Is(err, codec.ErrUnproved), errors.Is(err, nats.ErrConnectionClosed):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	w.o.Logger.Warn("head not looked at", slog.String("journal", w.client.journal), slog.String("error", err.Error()))
	return nil
}

// begin holds what the node says of itself against the head that was kept.
func (w *Witness) begin(ctx context.Context) error {
	if w.kept == nil {
		return nil
	}
	st, err := w.reader.Status(ctx)
	if err != nil {
		return err
	}
	if st.Lineage != w.kept.Lineage || st.Head < w.kept.Seq() {
		return w.refuse(w.differing(ctx, rewritten(st.Head+1, w.kept.Seq(), "the journal has %d events, and had %d", st.Head, w.kept.Seq())))
	}
	return nil
}

// Check looks at one head, and keeps it when it goes on from the last one. The error matches ErrRewritten or
// codec.ErrUnproved, and then the Client is refused, or is one of reading the events or of writing the file, and
// then nothing is decided.
func (w *Witness) Check(ctx context.Context, head *codec.PublishedHead) error {
	good, err := w.look(ctx, head)
	if err != nil {
		return w.refuse(err)
	}
	if good && w.o.Seen != nil {
		w.o.Seen(*head)
	}
	return nil
}

// refuse has the client refused when the error is the node's fault, and returns the error.
func (w *Witness) refuse(err error) error {
	if errors.Is(err, ErrRewritten) || errors.Is(err, codec.ErrUnproved) {
		w.client.refused.CompareAndSwap(nil, &err)
	}
	return err
}

// look decides about a head. It is not good, and not wrong, when it is an older one that comes late.
func (w *Witness) look(ctx context.Context, head *codec.PublishedHead) (good bool, err error) {
	if signer := w.o.Signer; signer != "" || head.Signer != "" {
		if signer == "" {
			signer = head.Signer
		}
		if err := head.Verify(signer); err != nil {
			return false, err
		}
	}
	at := time.UnixMilli(int64(min(head.Time, latest))).UTC()
	next := KeptHead{Journal: w.client.journal, Lineage: head.Lineage, Time: at}
	if kept := w.kept; kept != nil {
		if head.Lineage != kept.Lineage {
			return false, rewritten(1, max(kept.Seq(), 1), "the head is of another journal, of lineage %s", head.Lineage)
		}
		if head.Seq < kept.Seq() {
			return false, w.older(ctx, head, at)
		}
		next.History = kept.History.Clone()
		if kept.Time.After(at) {
			next.Time = kept.Time
		}
	}
	from := next.Seq()
	if err := w.reader.ExtendHead(ctx, &next, head.Seq, nil); err != nil {
		if errors.Is(err, ErrRewritten) {
			err = w.differing(ctx, err)
		}
		return false, err
	}
	if next.History.Root() != head.Commitment {
		return false, w.differing(ctx, rewritten(from+1, max(head.Seq, from+1), "the events behind %d are not those that the head at event %d is of", from, head.Seq))
	}
	if w.o.File != "" && (w.kept == nil || head.Seq > from) {
		if err := next.Save(w.o.File); err != nil {
			return false, fmt.Errorf("component: keep the head in %s: %w", w.o.File, err)
		}
	}
	w.kept = &next
	return true, nil
}

// older decides about a head of fewer events than the one that was kept: it comes late, or events are gone.
func (w *Witness) older(ctx context.Context, head *codec.PublishedHead, at time.Time) error {
	gone := rewritten(head.Seq+1, w.kept.Seq(), "the head is at event %d, and was at event %d", head.Seq, w.kept.Seq())
	if at.After(w.kept.Time) {
		return w.differing(ctx, gone)
	}
	st, err := w.reader.Status(ctx)
	if err == nil && st.Head < w.kept.Seq() {
		err = w.differing(ctx, gone)
	}
	return err
}

// differing returns where the node's events differ from the head that was kept, as near as it can be told; found when
// they do not, or cannot be read.
func (w *Witness) differing(ctx context.Context, found error) error {
	if w.kept == nil {
		return found
	}
	if err := w.reader.CheckHead(ctx, w.kept, nil); errors.Is(err, ErrRewritten) {
		return err
	}
	return found
}
