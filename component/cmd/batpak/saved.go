package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component"
	"batpak/faultfs"
)

// mostMarks is how many commitments on the way a saved head has at most: with them, what was rewritten is found to one
// in so many parts of the history.
const mostMarks = 1024

// savedHead is what a user keeps of a journal, to find out later whether its history was rewritten.
type savedHead struct {
	Journal    string         `json:"journal"`
	Lineage    causal.Lineage `json:"lineage"`
	Seq        uint64         `json:"seq"`
	Commitment causal.Hash    `json:"commitment"` // to all events up to seq; see causal.Extend
	Time       time.Time      `json:"time"`       // when it was saved
	Every      uint64         `json:"every"`      // how many events there are between marks
	Marks      []causal.Hash  `json:"marks"`      // the commitments at Every, 2*Every and so on
}

// errRewritten is matched by what says where a history is not the one that a head was saved of.
var errRewritten = errors.New("history was rewritten")

func rewritten(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errRewritten, fmt.Sprintf(format, args...))
}

// commitTo reads a history up to seq and commits to it. When an old head is not nil, the history has to go on from
// it, else the error matches errRewritten. Step is called for each event.
func commitTo(events iter.Seq2[causal.Event, error], seq uint64, old *savedHead, step func()) (savedHead, error) {
	h := savedHead{Every: 1}
	for seq/h.Every > mostMarks {
		h.Every *= 2
	}
	for ev, err := range events {
		switch {
		case err != nil:
			return h, err
		case ev.Seq != h.Seq+1:
			return h, rewritten("event %d follows event %d", ev.Seq, h.Seq)
		case h.Seq > 0 && ev.Lineage != h.Lineage:
			return h, rewritten("event %d is of another lineage than the ones before", ev.Seq)
		}
		h.Seq, h.Lineage, h.Commitment = ev.Seq, ev.Lineage, causal.Extend(h.Commitment, ev.Hash)
		if h.Seq%h.Every == 0 {
			h.Marks = append(h.Marks, h.Commitment)
		}
		if old != nil {
			if err := old.passes(&h); err != nil {
				return h, err
			}
		}
		step()
	}
	switch {
	case h.Seq == seq:
		return h, nil
	case old != nil && h.Seq < old.Seq:
		return h, rewritten("the journal ends with event %d, and the head was saved of %d events", h.Seq, old.Seq)
	}
	return h, fmt.Errorf("events end with %d, before event %d", h.Seq, seq)
}

// passes says where a history that has come as far as now is not the one that the head was saved of.
func (h *savedHead) passes(now *savedHead) error {
	switch at := now.Seq; {
	case at > h.Seq:
		return nil
	case now.Lineage != h.Lineage:
		return rewritten("event %d is of another journal, of lineage %s", at, now.Lineage)
	case at%h.Every == 0 && now.Commitment != h.Marks[at/h.Every-1], at == h.Seq && now.Commitment != h.Commitment:
		first := (at-1)/h.Every*h.Every + 1
		if first == at {
			return rewritten("event %d is not the one that it was when the head was saved", at)
		}
		return rewritten("of the events %d to %d one is not what it was when the head was saved", first, at)
	}
	return nil
}

// loadHead reads a saved head. The error matches fs.ErrNotExist when there is none.
func loadHead(path string) (*savedHead, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	h := &savedHead{}
	if err := json.Unmarshal(text, h); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if h.Seq == 0 || h.Every == 0 || uint64(len(h.Marks)) != h.Seq/h.Every {
		return nil, fmt.Errorf("%s is not a saved head", path)
	}
	return h, nil
}

// save puts the head in the place of the one that is there, atomically.
func (h *savedHead) save(path string) error {
	text, err := json.Marshal(h)
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

// upTo is the journal's history as far as a sequence, from the node.
func upTo(ctx context.Context, client *component.Client, seq uint64) iter.Seq2[causal.Event, error] {
	return client.Read(ctx, codec.Selection{Until: seq, Limit: codec.MaxLimit})
}

// saveHead keeps the journal's head in a file. When one is there, the history has to go on from it.
func (a *app) saveHead(ctx context.Context, client *component.Client, path string) error {
	st, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if st.Durable == 0 {
		return errors.New("the journal has no events yet, so there is no head to save")
	}
	old, err := loadHead(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	seq := st.Durable
	if old != nil {
		seq = max(seq, old.Seq)
	}
	bar := a.newProgress(int64(seq), "head", "events")
	h, err := commitTo(upTo(ctx, client, seq), seq, old, func() { _ = bar.Add(1) })
	_ = bar.Finish()
	if errors.Is(err, errRewritten) {
		fmt.Fprintf(a.err, "batpak: %s is kept as it is: %s\n", path, printable(err.Error()))
		return &toldError{exitDamaged}
	}
	if err != nil {
		return err
	}
	h.Journal, h.Time = st.Journal, time.Now().UTC().Truncate(time.Millisecond)
	if err := h.save(path); err != nil {
		return err
	}
	if a.screen.form == forMachine {
		return a.screen.object("seq", h.Seq, "commitment", h.Commitment)
	}
	_, err = fmt.Fprintf(a.screen.w, "%d\t%s\n", h.Seq, h.Commitment)
	return err
}

// extends has the node's history checked against a saved head.
func (v *verifying) extends(ctx context.Context, client *component.Client) error {
	h, err := loadHead(v.since)
	var path *fs.PathError
	if errors.As(err, &path) {
		return usage("--since %s: %w", v.since, path.Err)
	}
	if err != nil {
		return usage("--since: %w", err)
	}
	began := time.Now()
	found := codec.VerifyReply{Head: h.Seq}
	bar := v.newProgress(int64(h.Seq), "verify", "events")
	defer bar.Finish()
	_, err = commitTo(upTo(ctx, client, h.Seq), h.Seq, h, func() {
		found.Checked++
		_ = bar.Add(1)
	})
	switch {
	case errors.Is(err, errRewritten):
		found.Reason = printable(err.Error())
	case err != nil:
		return err
	default:
		found.Valid, found.Hash = true, h.Commitment
	}
	return v.tell(&found, time.Since(began))
}
