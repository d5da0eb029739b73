package relay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// StreamName is the name of a journal's onward stream, unless another one is configured.
func StreamName(journal string) string { return "BATPAK_" + strings.ToUpper(journal) }

// Metadata of the stream that says whose it is.
const (
	MetadataJournal = "batpak.journal"
	MetadataLineage = "batpak.lineage"
)

// shortestDuplicates is the smallest window for message ids that a server accepts. Messages
// carry no id, so nothing is ever kept in it.
const shortestDuplicates = 100 * time.Millisecond

// stand returns where the stream stands: the sequence of its last message, up to which
// everything that may have been on its way was compared with the journal. It makes the stream
// when there is none.
func (r *Relay) stand(ctx context.Context) (uint64, error) {
	stream, err := r.open(ctx)
	if err != nil {
		return 0, err
	}
	info := stream.CachedInfo()
	if err := r.check(&info.Config); err != nil {
		return 0, err
	}
	if !r.marked(&info.Config) {
		if info, err = r.mark(ctx, info); err != nil {
			return 0, err
		}
	}
	last := info.State.LastSeq
	if visible := r.source.Visible(); last > visible {
		return 0, r.wrong(ErrAhead, last, fmt.Sprintf("the journal ends at %d", visible))
	}

	// A relay that ran before this one may have had as many messages on its way as this one
	// may. Within the life of this one, everything up to Published is known.
	from := uint64(1)
	if window := uint64(r.config.MaxPending); last > window {
		from = last - window + 1
	}
	if r.created.Equal(info.Created) {
		from = max(from, min(r.Published()+1, last))
	}
	if err := r.compareBack(ctx, stream, max(from, info.State.FirstSeq), last); err != nil {
		return 0, err
	}
	r.created = info.Created
	return last, nil
}

// open returns the stream, which it creates when it is missing.
func (r *Relay) open(ctx context.Context) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	stream, err := r.js.Stream(ctx, r.config.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = r.js.CreateStream(ctx, jetstream.StreamConfig{
			Name:        r.config.Stream,
			Description: "events of the batpak journal " + r.source.Name(),
			Subjects:    []string{r.subject.all()},
			Storage:     jetstream.FileStorage,
			Replicas:    r.config.Replicas,
			Duplicates:  shortestDuplicates,
			AllowDirect: true,
			// A removed message would leave a hole in what projections read.
			DenyDelete: true,
			DenyPurge:  true,
			Metadata:   r.mine(nil),
		})
	}
	if err != nil {
		return nil, fmt.Errorf("relay: stream %s: %w", r.config.Stream, err)
	}
	return stream, nil
}

// mine returns the metadata that marks a stream as this journal's, besides what is there.
func (r *Relay) mine(there map[string]string) map[string]string {
	m := maps.Clone(there)
	if m == nil {
		m = map[string]string{}
	}
	m[MetadataJournal] = r.source.Name()
	m[MetadataLineage] = r.source.Lineage().String()
	return m
}

// marked says whether a stream that passed check has this journal's mark, or else none.
func (r *Relay) marked(c *jetstream.StreamConfig) bool { return c.Metadata[MetadataLineage] != "" }

// check reports why a stream with this configuration cannot be this journal's.
func (r *Relay) check(c *jetstream.StreamConfig) error {
	journal, lineage := c.Metadata[MetadataJournal], c.Metadata[MetadataLineage]
	if journal != "" && journal != r.source.Name() {
		return r.wrong(ErrForeign, 0, fmt.Sprintf("%q, not %q", journal, r.source.Name()))
	}
	if mine := r.source.Lineage().String(); lineage != "" && lineage != mine {
		return r.wrong(ErrForeign, 0, "its lineage is "+lineage+", not "+mine)
	}
	unfit := func(what string) error { return r.wrong(ErrUnfit, 0, what) }
	switch subject := r.subject.all(); {
	case len(c.Subjects) != 1 || c.Subjects[0] != subject:
		return unfit(fmt.Sprintf("its subjects are %q and not %q alone", c.Subjects, subject))
	case c.Mirror != nil || len(c.Sources) > 0:
		return unfit("another stream fills it")
	case c.SubjectTransform != nil:
		return unfit("it changes subjects")
	case c.NoAck:
		return unfit("it does not acknowledge")
	case c.FirstSeq > 1:
		return unfit(fmt.Sprintf("its numbering starts at %d", c.FirstSeq))
	case c.Retention != jetstream.LimitsPolicy:
		return unfit("consumers take messages out of it")
	case c.Sealed:
		return unfit("it is sealed")
	}
	return nil
}

// mark makes a stream this journal's that has no mark and never had a message.
func (r *Relay) mark(ctx context.Context, info *jetstream.StreamInfo) (*jetstream.StreamInfo, error) {
	if info.State.LastSeq > 0 {
		return nil, r.wrong(ErrForeign, 0, fmt.Sprintf("it has messages up to %d and no lineage in its metadata", info.State.LastSeq))
	}
	config := info.Config
	config.Metadata = r.mine(config.Metadata)
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	stream, err := r.js.UpdateStream(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("relay: stream %s: mark as the journal's: %w", r.config.Stream, err)
	}
	return stream.CachedInfo(), nil
}

func (r *Relay) wrong(err error, seq uint64, detail string) error {
	return &StreamError{Stream: r.config.Stream, Seq: seq, Detail: detail, Err: err}
}
