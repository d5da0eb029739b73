package component

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/faultfs"
)

// ErrRewritten is matched by every *RewrittenError.
var ErrRewritten = errors.New("history was rewritten")

// RewrittenError says that a journal's history does not go on from a head that was kept of it.
type RewrittenError struct {
	First, Last uint64 // one of these events, or the first of them, is not what it was
	Reason      string
}

func (e *RewrittenError) Error() string { return ErrRewritten.Error() + ": " + e.Reason }

// Is says whether target is ErrRewritten.
func (e *RewrittenError) Is(target error) bool { return target == ErrRewritten }

func rewritten(first, last uint64, format string, args ...any) error {
	return &RewrittenError{First: first, Last: last, Reason: fmt.Sprintf(format, args...)}
}

// KeptHead is what a client keeps of a journal, to find out later whether its history was rewritten.
type KeptHead struct {
	Journal string
	Lineage causal.Lineage
	Time    time.Time      // when it was that
	History causal.History // its root is the commitment that the node publishes
}

// Seq is the sequence of the last event.
func (h *KeptHead) Seq() uint64 { return h.History.Len() }

// keptHead is the form of the file.
type keptHead struct {
	Journal    string         `json:"journal"`
	Lineage    causal.Lineage `json:"lineage"`
	Seq        uint64         `json:"seq"`
	Commitment causal.Hash    `json:"commitment"`
	Time       time.Time      `json:"time"`
	Nodes      []causal.Hash  `json:"nodes"`
}

// LoadHead reads a head from a file. The error matches fs.ErrNotExist when there is none.
func LoadHead(path string) (*KeptHead, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var k keptHead
	if err := json.Unmarshal(text, &k); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	tree, ok := causal.NewHistory(k.Seq, k.Nodes)
	if !ok || tree.Root() != k.Commitment || k.Lineage.IsZero() {
		return nil, fmt.Errorf("%s is not a saved head", path)
	}
	return &KeptHead{Journal: k.Journal, Lineage: k.Lineage, Time: k.Time, History: tree}, nil
}

// Save puts the head in the place of the one in a file, atomically.
func (h *KeptHead) Save(path string) error {
	text, err := json.Marshal(&keptHead{h.Journal, h.Lineage, h.Seq(), h.History.Root(), h.Time, h.History.Nodes()})
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer root.Close()
	return faultfs.Publish(faultfs.Dir(root), filepath.Base(path), append(text, '\n'), 0o600)
}

// ExtendHead reads the events behind a head up to a sequence, and moves the head on to it. The zero KeptHead is
// that of no events, in whatever journal. Step, which may be nil, is called for each event. Errors match ErrRewritten
// when events are missing or of another journal, and are otherwise those of Read; then the head is not to be used. A node
// can make events up for as long as it is asked, so bound ctx where seq is only its word.
func (c *Client) ExtendHead(ctx context.Context, h *KeptHead, seq uint64, step func()) error {
	if h.Seq() >= seq {
		return nil
	}
	err := c.each(ctx, h.Seq(), seq, func(ev *causal.Event) error {
		if h.Lineage.IsZero() {
			h.Lineage = ev.Lineage
		}
		if ev.Lineage != h.Lineage {
			return rewritten(ev.Seq, ev.Seq, "event %d is of another journal, of lineage %s", ev.Seq, ev.Lineage)
		}
		h.History.Add(&ev.Hash)
		if step != nil {
			step()
		}
		return nil
	})
	if err == nil && h.Seq() < seq {
		err = rewritten(h.Seq()+1, seq, "the journal ends with event %d, before event %d", h.Seq(), seq)
	}
	return err
}

// CheckHead reads all events up to a head, and says whether they are what they were when it was kept: the error
// matches ErrRewritten when not. Other errors are those of Read. Step is as for ExtendHead.
func (c *Client) CheckHead(ctx context.Context, h *KeptHead, step func()) error {
	m, last := h.History.Matcher(), uint64(0)
	if h.Seq() == 0 {
		return nil
	}
	err := c.each(ctx, 0, h.Seq(), func(ev *causal.Event) error {
		last = ev.Seq
		if ev.Lineage != h.Lineage {
			return rewritten(ev.Seq, ev.Seq, "event %d is of another journal, of lineage %s", ev.Seq, ev.Lineage)
		}
		switch first, last, differs := m.Next(&ev.Hash); {
		case !differs:
		case first == last:
			return rewritten(first, last, "event %d is not the one that it was when the head was saved", first)
		default:
			return rewritten(first, last, "of the events %d to %d one is not what it was when the head was saved", first, last)
		}
		if step != nil {
			step()
		}
		return nil
	})
	if err == nil && last < h.Seq() {
		err = rewritten(last+1, h.Seq(), "the journal ends with event %d, and the head was saved of %d events", last, h.Seq())
	}
	return err
}

// each reads the events behind a sequence up to another one, without gaps, or up to where the node has no more.
func (c *Client) each(ctx context.Context, after, until uint64, visit func(*causal.Event) error) error {
	for after < until {
		sel := codec.Selection{After: after, Until: until, Limit: codec.MaxLimit}
		var reply codec.ReadReply
		if err := c.ask(ctx, "read", &sel, &reply); err != nil {
			return err
		}
		for _, envelope := range reply.Events {
			ev, err := eventOf(envelope, &sel)
			if err != nil {
				return err
			}
			if after++; ev.Seq != after {
				return rewritten(after, ev.Seq, "event %d follows event %d", ev.Seq, after-1)
			}
			if err := visit(&ev); err != nil {
				return err
			}
		}
		if len(reply.Events) == 0 { // every event is wanted, so none is left
			return nil
		}
	}
	return nil
}
