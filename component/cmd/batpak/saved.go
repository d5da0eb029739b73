package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"batpak/codec"
	"batpak/component"
)

// saveHead keeps the journal's head in a file. When one is there, the history has to go on from it.
func (a *app) saveHead(ctx context.Context, client *component.Client, path string) error {
	st, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if st.Durable == 0 {
		return errors.New("the journal has no events yet, so there is no head to save")
	}
	head, err := component.LoadHead(path)
	if errors.Is(err, fs.ErrNotExist) {
		head, err = &component.KeptHead{}, nil
	}
	if err != nil {
		return err
	}
	seq := max(st.Durable, head.Seq())
	bar := a.newProgress(int64(seq), "head", "events")
	step := func() { _ = bar.Add(1) }
	if err = client.CheckHead(ctx, head, step); err == nil {
		err = client.ExtendHead(ctx, head, seq, step)
	}
	_ = bar.Finish()
	if errors.Is(err, component.ErrRewritten) {
		fmt.Fprintf(a.err, "batpak: %s is kept as it is: %s\n", path, printable(err.Error()))
		return &toldError{exitDamaged}
	}
	if err != nil {
		return err
	}
	head.Journal, head.Time = st.Journal, time.Now().UTC().Truncate(time.Millisecond)
	if err := head.Save(path); err != nil {
		return err
	}
	if a.screen.form == forMachine {
		return a.screen.object("seq", head.Seq(), "commitment", head.History.Root())
	}
	_, err = fmt.Fprintf(a.screen.w, "%d\t%s\n", head.Seq(), head.History.Root())
	return err
}

// extends has the node's history checked against a saved head.
func (v *verifying) extends(ctx context.Context, client *component.Client) error {
	head, err := component.LoadHead(v.since)
	var path *fs.PathError
	if errors.As(err, &path) {
		return usage("--since %s: %w", v.since, path.Err)
	}
	if err != nil {
		return usage("--since: %w", err)
	}
	if head.Journal != v.journal {
		return usage("--since: %s is a head of journal %q, not of %q", v.since, head.Journal, v.journal)
	}
	began := time.Now()
	var found codec.VerifyReply
	bar := v.newProgress(int64(head.Seq()), "verify", "events")
	defer bar.Finish()
	err = client.CheckHead(ctx, head, func() {
		found.Checked++
		_ = bar.Add(1)
	})
	var refusal *component.Error
	switch {
	case errors.Is(err, component.ErrRewritten):
		found.Reason = printable(err.Error())
	case errors.As(err, &refusal) && refusal.Code == codec.CodeStorage && !refusal.Retry:
		// To read again will not help: the bytes are damaged. A node whose disk only fails it may be asked again.
		found.Reason = printable(trim(errors.New(refusal.Message)))
	case err != nil:
		return err
	default:
		found.Valid, found.Head, found.Hash = true, head.Seq(), head.History.Root()
	}
	return v.tell(&found, time.Since(began))
}
