package journal

import (
	"context"
	"errors"
	"time"

	"batpak/codec"
)

const (
	maxSurveys    = 64      // appends with conditions that are looked at before they are queued, at a time
	maxSurveyed   = 1 << 20 // events that the conditions of a batch may range over: those without scope and entity
	maxConditions = 64      // conditions in a batch
	surveyTime    = 10 * time.Second

	// What is left to the sequencer: a survey is repeated while more events than this have come.
	surveyGap    = 1024
	surveyRounds = 4
)

// survey takes a request with conditions, and queues it when they were held against what is visible
// now: a condition may range over much of the log, and the sequencer, which all appends wait for,
// is left with the few events since. It runs in a goroutine of its own, up to maxSurveys at a time,
// that ends when the request is queued, and soon when Close calls endSurveys; Close waits for it.
func (j *Journal) survey(r *request) error {
	if err := j.checkReach(r.batch); err != nil {
		return err
	}
	select {
	case j.surveying <- struct{}{}:
	default:
		return ErrBusy
	}
	if err := j.queue.beginSurvey(); err != nil {
		<-j.surveying
		return err
	}
	go func() {
		defer j.queue.surveys.Done()
		defer func() { <-j.surveying }()
		ctx, cancel := context.WithTimeout(j.surveys, surveyTime)
		defer cancel()
		for round := 0; round < surveyRounds && r.refused == nil; round++ {
			visible := j.Visible()
			r.refused = j.surveyOnce(ctx, r, visible)
			if r.surveyed = visible; j.Visible()-visible <= surveyGap {
				break
			}
		}
		if err := j.queue.put(r); err != nil {
			r.done(nil, err)
		}
	}()
	return nil
}

// surveyOnce holds the conditions of a request against the events after r.surveyed, up to visible.
func (j *Journal) surveyOnce(ctx context.Context, r *request, visible uint64) error {
	for i := range r.batch.Events {
		if unless := r.batch.Events[i].Unless; unless != nil {
			since := *unless
			since.After = max(since.After, r.surveyed)
			err := j.unless(ctx, since, visible)
			if errors.Is(err, context.DeadlineExceeded) {
				err = invalid("unless looked at too much for %s: set after", surveyTime)
			}
			if err != nil {
				return inBatch(r.batch, i, err)
			}
		}
	}
	return nil
}

// checkReach bounds what the conditions of a batch may range over.
func (j *Journal) checkReach(b *Batch) error {
	conditions, reach, visible := 0, uint64(0), j.Visible()
	for i := range b.Events {
		sel := b.Events[i].Unless
		if sel == nil {
			continue
		}
		conditions++
		until := visible
		if sel.Until > 0 {
			until = min(until, sel.Until)
		}
		if indexed := sel.Scope != "" && sel.Entity != ""; !indexed && until > sel.After {
			reach += until - sel.After
		}
	}
	switch {
	case conditions > maxConditions:
		return &LimitError{What: "conditions of a batch", Size: conditions, Limit: maxConditions}
	case reach > maxSurveyed:
		return invalid("unless ranges over %d events, the limit is %d: set after, or name scope and entity", reach, maxSurveyed)
	}
	return nil
}

// unless returns a ConflictError with the visible events up to a sequence that match, or nil.
func (j *Journal) unless(ctx context.Context, sel codec.Selection, until uint64) error {
	c := &ConflictError{Reason: ConflictUnless}
	for ev, err := range j.events(ctx, sel, until) {
		if err != nil {
			return err
		}
		if !c.add(&ev) {
			break
		}
	}
	if c.Seq == 0 {
		return nil
	}
	return c
}
