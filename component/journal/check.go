package journal

import (
	"fmt"
	"unicode/utf8"

	"batpak/causal"
	"batpak/codec"
	"batpak/keystore"
)

// check applies to a batch the rules that need no state, and returns how many bytes to count for
// it while it is queued.
func (j *Journal) check(b *Batch) (size int64, err error) {
	if n := len(b.Events); n == 0 || n > MaxBatchEvents {
		return 0, invalid("a batch has 1 to %d events, not %d", MaxBatchEvents, n)
	}
	if b.Key != "" {
		if err := causal.CheckName("key", b.Key); err != nil {
			return 0, fmt.Errorf("journal: %w: %w", ErrInvalid, err)
		}
	}
	for i := range b.Events {
		n, err := j.checkAppend(&b.Events[i])
		if err != nil {
			return 0, err
		}
		size += int64(n + len(b.Key))
	}
	room := min(segmentRoom(j.opts.SegmentBytes), maxBatchBytes) - commitBody - frameHeader
	if j.signing != nil {
		room -= int64(frameSize(signBody))
	}
	if size > room {
		return 0, &LimitError{What: "batch", Size: int(size), Limit: int(room)}
	}
	return size, nil
}

func (j *Journal) checkAppend(a *Append) (size int, err error) {
	if err := a.Coordinate.Validate(); err != nil {
		return 0, fmt.Errorf("journal: %w: %w", ErrInvalid, err)
	}
	switch {
	case a.Scope == causal.SystemScope:
		return 0, invalid("scope %s is the journal's own", causal.SystemScope)
	case a.Kind.Reserved():
		return 0, invalid("kind %s is of a reserved category", a.Kind)
	case len(a.Causes) > MaxCauses:
		return 0, invalid("an event has at most %d causes, not %d", MaxCauses, len(a.Causes))
	case len(a.Data) > j.opts.MaxPayload:
		return 0, &LimitError{What: "payload", Size: len(a.Data), Limit: j.opts.MaxPayload}
	}
	if err := codec.Check(a.Data); err != nil {
		return 0, fmt.Errorf("journal: %w: payload: %w", ErrInvalid, err)
	}
	if a.Subject == "" && j.opts.RequireSubject {
		return 0, invalid("the event names no data subject, so its payload would not be sealed")
	}
	if a.Subject != "" {
		if err := causal.CheckName("subject", a.Subject); err != nil {
			return 0, fmt.Errorf("journal: %w: %w", ErrInvalid, err)
		}
	}
	meta := 0
	for k, v := range a.Meta {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return 0, invalid("meta is not UTF-8")
		}
		meta += len(k) + len(v)
	}
	if meta > MaxMetaBytes {
		return 0, &LimitError{What: "meta", Size: meta, Limit: MaxMetaBytes}
	}
	for i := range a.Causes {
		if a.Causes[i].ID.IsZero() {
			return 0, invalid("cause %d is the nil id", i)
		}
	}
	if a.Renew && j.keys != nil { // the event that says so
		size = eventRoom + len(a.Scope) + len(a.Entity) + len(a.Subject)
	}
	return size + eventRoom + j.gateRoom + len(a.Data) + meta + 8*len(a.Meta) + 34*len(a.Causes) +
		len(a.Scope) + len(a.Entity) + len(a.Subject) + len(a.Bypass), nil
}

// checkSubjects refuses Options.RequireSubject where it cannot be kept. The meta is nil for a journal that
// is to be created.
func (j *Journal) checkSubjects(m *meta) error {
	seal := j.opts.Seal
	if m != nil {
		seal = m.seal
	}
	if j.opts.RequireSubject && seal != keystore.Subject {
		return invalid("a data subject can be required of every event when the journal seals by subject, not by %s", seal)
	}
	return nil
}
