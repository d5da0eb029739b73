package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"sync"
	"sync/atomic"

	"batpak/causal"
	"batpak/codec"
	"batpak/faultfs"
)

const (
	historyName   = "history"
	historyMagic  = "batpkhis"
	historyFormat = 1

	historyEvery = 1 << 20 // events after which the cache is written again
	historyStep  = 4 << 20 // bytes of log that are read without looking up
	mostFresh    = 1 << 16 // hashes that wait for the tree; older ones are read from the log
)

var errHistory = errors.New("history is unusable")

// history is the tree over all visible events. Nobody waits for it: the committer leaves hashes, and they go into the
// tree when somebody asks for it.
type history struct {
	asked atomic.Bool // the committer leaves nothing before

	turn  chan struct{} // has room for whoever has what follows; it may be held during I/O
	tree  causal.History
	last  causal.Hash // of the tree's last event
	saved uint64      // events that the cache covers

	mu    sync.Mutex    // guards what follows
	fresh []causal.Hash // of visible events that the tree may lack, without gaps
	first uint64        // the sequence of fresh[0]
}

// leave takes the hashes of a group that has become visible.
func (h *history) leave(g *group) {
	if !h.asked.Load() {
		return
	}
	first := g.events[0].head.Seq
	h.mu.Lock()
	if len(h.fresh)+len(g.events) > mostFresh || h.first+uint64(len(h.fresh)) != first {
		h.fresh, h.first = h.fresh[:0], first
	}
	for i := range g.events {
		h.fresh = append(h.fresh, g.events[i].head.Hash)
	}
	h.mu.Unlock()
}

// take returns what was left.
func (h *history) take() (first uint64, fresh []causal.Hash) {
	h.mu.Lock()
	defer h.mu.Unlock()
	first, fresh = h.first, h.fresh
	h.fresh = nil
	return first, fresh
}

func (h *history) add(event *causal.Hash) {
	h.tree.Add(event)
	h.last = *event
}

// addFrom adds the event hashes from a sequence on, as far as they are the next ones.
func (h *history) addFrom(first uint64, hashes []causal.Hash) {
	for i := range hashes {
		if first+uint64(i) == h.tree.Len()+1 {
			h.add(&hashes[i])
		}
	}
}

// History returns the Merkle tree over all events that are visible, with its root. The first call reads the log behind
// what the cache has, which may take long; the next ones cost what came since. Errors are ErrClosed, ctx's, and those
// of reading the log.
func (j *Journal) History(ctx context.Context) (causal.History, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(j.surveys, cancel)() // Close does not wait for the log to be read
	h := &j.history
	select {
	case h.turn <- struct{}{}:
	case <-ctx.Done():
		return causal.History{}, j.endedBy(ctx.Err())
	}
	defer func() { <-h.turn }()
	if j.surveys.Err() != nil {
		return causal.History{}, ErrClosed
	}
	if !h.asked.Load() {
		j.loadHistory()
		h.asked.Store(true)
	}
	if err := j.catchUpHistory(ctx); err != nil {
		return causal.History{}, j.endedBy(err)
	}
	return h.tree.Clone(), nil
}

// endedBy turns the error of what Close has ended into ErrClosed.
func (j *Journal) endedBy(err error) error {
	if j.surveys.Err() != nil {
		return ErrClosed
	}
	return err
}

// catchUpHistory brings the tree to what is visible now.
func (j *Journal) catchUpHistory(ctx context.Context) error {
	h := &j.history
	until := j.Visible()
	first, fresh := h.take()
	if len(fresh) > 0 {
		if err := j.readHistory(ctx, first-1); err != nil {
			return err
		}
		h.addFrom(first, fresh)
	}
	if err := j.readHistory(ctx, until); err != nil {
		return err
	}
	if h.tree.Len() >= h.saved+historyEvery {
		j.writeHistory()
	}
	return nil
}

// readHistory adds the events up to a sequence from the log.
func (j *Journal) readHistory(ctx context.Context, until uint64) error {
	h := &j.history
	for h.tree.Len() < until {
		_, err := j.scan(ctx, h.tree.Len(), until, historyStep, func(_ uint64, envelope []byte) error {
			hash := causal.HashEnvelope(envelope)
			h.add(&hash)
			return nil
		})
		if err != nil {
			return err
		}
		if h.tree.Len() >= h.saved+historyEvery {
			j.writeHistory()
		}
	}
	return nil
}

// loadHistory takes what the cache has, if it is of this log.
func (j *Journal) loadHistory() {
	h := &j.history
	b, err := fs.ReadFile(j.fsys, historyName)
	if err == nil {
		h.tree, h.last, err = decodeHistory(b, j.lineage)
	}
	if n := h.tree.Len(); err == nil && n > 0 {
		// The log may be an older one than the cache, and have gone on otherwise.
		var ev causal.Event
		if ev, err = j.GetSeq(n); err == nil && ev.Hash != h.last {
			err = fmt.Errorf("%w: event %d is another one in the log", errHistory, n)
		}
	}
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			j.logger.Warn("history not used, reading the log", "why", err)
		}
		h.tree, h.last = causal.History{}, causal.Hash{}
	}
	h.saved = h.tree.Len()
}

// writeHistory publishes the tree as it is.
func (j *Journal) writeHistory() {
	h := &j.history
	if err := faultfs.Publish(j.fsys, historyName, encodeHistory(j.lineage, &h.tree, h.last), 0o600); err != nil {
		j.logger.Warn("history not written", "why", err)
		return
	}
	h.saved = h.tree.Len()
}

// closeHistory writes what the next Open need not read. It is for when nothing is committed any more.
func (j *Journal) closeHistory() {
	h := &j.history
	h.turn <- struct{}{}
	defer func() { <-h.turn }()
	h.addFrom(h.take())
	if h.tree.Len() > h.saved {
		j.writeHistory()
	}
}

// encodeHistory returns the bytes of the history file; see the package doc.
func encodeHistory(lineage causal.Lineage, tree *causal.History, last causal.Hash) []byte {
	nodes := tree.Nodes()
	b := make([]byte, 0, 72+32*len(nodes)+4)
	b = append(b, historyMagic...)
	b = binary.LittleEndian.AppendUint32(b, historyFormat)
	b = append(b, lineage[:]...)
	b = binary.LittleEndian.AppendUint64(b, tree.Len())
	b = append(b, last[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(nodes)))
	for i := range nodes {
		b = append(b, nodes[i][:]...)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeHistory reads a history file. Its errors match errHistory.
func decodeHistory(b []byte, lineage causal.Lineage) (tree causal.History, last causal.Hash, err error) {
	bad := func(why string) (causal.History, causal.Hash, error) {
		return causal.History{}, causal.Hash{}, fmt.Errorf("%w: %s", errHistory, why)
	}
	const header = 8 + 4 + 16 + 8 + 32 + 4
	if len(b) < header+4 || (len(b)-header-4)%len(last) != 0 {
		return bad("impossible length")
	}
	sum := len(b) - 4
	if string(b[:8]) != historyMagic || crc32.Checksum(b[:sum], castagnoli) != binary.LittleEndian.Uint32(b[sum:]) {
		return bad("checksum mismatch")
	}
	if binary.LittleEndian.Uint32(b[8:]) != historyFormat || causal.Lineage(b[12:28]) != lineage {
		return bad("another format or lineage")
	}
	nodes := make([]causal.Hash, (sum-header)/len(last))
	for i := range nodes {
		copy(nodes[i][:], b[header+32*i:])
	}
	copy(last[:], b[36:])
	tree, ok := causal.NewHistory(binary.LittleEndian.Uint64(b[28:]), nodes)
	if !ok || uint32(len(nodes)) != binary.LittleEndian.Uint32(b[68:]) || tree.Len() == 0 && !last.IsZero() {
		return bad("impossible lengths")
	}
	return tree, last, nil
}

// SignHead returns where the journal stands, as a node publishes it: with the commitment to all visible events, at a
// time in milliseconds since 1970, and signed when the journal signs. Its errors are those of History and of the signer.
func (j *Journal) SignHead(ctx context.Context, millis uint64) (codec.PublishedHead, error) {
	tree, err := j.History(ctx)
	if err != nil {
		return codec.PublishedHead{}, err
	}
	h := codec.PublishedHead{Lineage: j.lineage, Seq: tree.Len(), Time: millis, Commitment: tree.Root()}
	if j.signing == nil {
		return h, nil
	}
	h.Signer = j.signing.public
	h.Sig, err = j.signing.message(causal.AppendHeadMessage(nil, h.Lineage, h.Seq, h.Time, h.Commitment))
	if err != nil {
		return codec.PublishedHead{}, fmt.Errorf("journal: %w: sign the head: %w", ErrStorage, err)
	}
	return h, nil
}
