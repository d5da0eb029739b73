package journal

import (
	"context"

	"batpak/codec"
)

// maxSurveys is how many appends with a condition may be looked at before they are queued.
const maxSurveys = 64

// maxSurveyed is how many events a condition may range over, when no index leads to the ones that
// match.
const maxSurveyed = 1 << 20

// survey takes a request with conditions, and queues it when they were held against what is visible
// now: a condition may range over much of the log, and the sequencer, which all appends wait for,
// is left with the few events since. It runs in a goroutine of its own, up to maxSurveys at a time,
// that ends when the request is queued; Close waits for it.
func (j *Journal) survey(r *request) error {
	for i := range r.batch.Events {
		if err := j.checkReach(r.batch.Events[i].Unless); err != nil {
			return err
		}
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
		r.surveyed = j.Visible()
		for i := range r.batch.Events {
			if unless := r.batch.Events[i].Unless; unless != nil && r.refused == nil {
				if err := j.unless(unless, r.surveyed); err != nil {
					r.refused = inBatch(r.batch, i, err)
				}
			}
		}
		if err := j.queue.put(r); err != nil {
			r.done(nil, err)
		}
	}()
	return nil
}

// checkReach bounds what a condition may range over.
func (j *Journal) checkReach(sel *codec.Selection) error {
	if sel == nil || sel.Scope != "" && sel.Entity != "" {
		return nil
	}
	until := j.Visible()
	if sel.Until > 0 {
		until = min(until, sel.Until)
	}
	if until > sel.After && until-sel.After > maxSurveyed {
		return invalid("unless ranges over %d events, the limit is %d: set after, or name scope and entity", until-sel.After, maxSurveyed)
	}
	return nil
}

// unless returns a ConflictError with the visible events up to a sequence that match, or nil.
func (j *Journal) unless(sel *codec.Selection, until uint64) error {
	c := &ConflictError{Reason: ConflictUnless}
	for ev, err := range j.events(context.Background(), *sel, until) {
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
