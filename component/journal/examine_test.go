package journal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/keystore"
)

// What is found on a disk that rotted.
type verdict uint8

const (
	whole    verdict = iota // everything is there
	shorter                 // the last group was taken for a torn write
	unopened                // by Open
	unread                  // by reading
	unsound                 // by Verify alone: it is beside the events
	wrong
)

// examine opens and reads what the rot left. The error says what is wrong.
func (p *patient) examine(r rot) (v verdict, err error) {
	defer func() {
		if found := recover(); found != nil {
			v, err = wrong, fmt.Errorf("panic: %v", found)
		}
		if err != nil {
			v = wrong
		}
	}()
	disk := p.disk.Mount().Snapshot()
	if r.mask == 0 {
		err = disk.Truncate(r.file, r.off)
	} else {
		err = disk.Flip(r.file, r.off, r.mask)
	}
	if err != nil {
		return wrong, err
	}
	m := disk.Mount()
	j, err := journal.Open(context.Background(), m, rotting)
	if err != nil {
		if err := p.saysWhere(err, r); err != nil {
			return wrong, err
		}
		if m.Snapshot().Digest() != disk.Digest() {
			return wrong, errors.New("the disk was changed by an Open that refused")
		}
		return unopened, nil
	}
	v, n, err := p.read(j, r)
	err = errors.Join(err, j.Close())
	if err == nil {
		err = p.untouched(disk, m, n)
	}
	if err == nil && v == shorter {
		err = mustHold(m, rotting, p.upTo(n))
	}
	return v, err
}

// read reads a journal in every way. It says how many events are there.
func (p *patient) read(j *journal.Journal, r rot) (v verdict, n int, err error) {
	n = int(j.Visible())
	switch most := len(p.events); {
	case n == most:
	case p.killed && n == most-p.last.events && r.mask != 0 && r.file == lastSegment(p.files) && p.last.has(r.off):
		v = shorter
	default:
		return wrong, n, fmt.Errorf("%d events, want %d", n, most)
	}
	events, err := audit(j)
	if err == nil {
		err = sameEvents(events, p.events[:n])
	} else if err = p.saysWhere(err, r); err == nil {
		v = unread
	}
	if err != nil {
		return v, n, err
	}
	// Whatever can be read is right, and what cannot is said to be damaged, also when another event is.
	gone := 0
	for i := range p.events[:n] {
		want := &p.events[i]
		for _, get := range []func() (causal.Event, error){
			func() (causal.Event, error) { return j.GetSeq(want.Seq) },
			func() (causal.Event, error) { return j.Get(want.ID) },
		} {
			got, err := get()
			if err != nil {
				gone++
				if err := p.saysWhere(err, r); err != nil {
					return v, n, err
				}
				continue
			}
			if err := sameEvents([]causal.Event{got}, p.events[i:i+1]); err != nil {
				return v, n, fmt.Errorf("event %d: %w", i+1, err)
			}
			if data, state, err := j.Payload(&got); err != nil || state != causal.Opened || !bytes.Equal(data, p.clear[i]) {
				return v, n, fmt.Errorf("event %d has another payload (%s): %w", i+1, state, err)
			}
		}
	}
	if v != unread && gone > 0 {
		return v, n, errors.New("an event cannot be had that was there a moment ago")
	}
	if _, err := j.Verify(context.Background(), 0, 0); (err != nil) != (v == unread) {
		return v, n, fmt.Errorf("verify gives %w", err)
	} else if verr := new(journal.VerifyError); err != nil && (!errors.As(err, &verr) || !strings.Contains(err.Error(), r.file+": offset ")) {
		return v, n, fmt.Errorf("verify does not say where: %w", err)
	}
	at := 0
	for ev, err := range j.Events(context.Background(), codec.Selection{}) {
		if err != nil && v == unread {
			return v, n, p.saysWhere(err, r)
		}
		if err == nil {
			err = sameEvents([]causal.Event{ev}, p.events[at:at+1])
		}
		if err != nil {
			return v, n, err
		}
		at++
	}
	if v == unread && gone == 0 && at == n {
		v = unsound
	}
	if v == unread || at != n {
		return v, n, fmt.Errorf("reading gave %d events and no error", at)
	}
	return v, n, retries(j, p.upTo(n))
}

// upTo is the batches among the first n events.
func (p *patient) upTo(n int) []ackedBatch {
	all := p.promised
	for len(all) > 0 && all[len(all)-1].receipts[0].Seq > uint64(n) {
		all = all[:len(all)-1]
	}
	return all
}

// saysWhere accepts the errors that say where the damage is: a DamageError with the file's name and an offset in the
// group that is damaged, or up to the damage where there are no frames; for journal.meta, which is tiny, without an
// offset. The keyset's is the keystore's own, and has the name within its folder.
func (p *patient) saysWhere(err error, r rot) error {
	var d *journal.DamageError
	var k *keystore.DamageError
	file, off := "", int64(-1)
	switch {
	case !errors.Is(err, journal.ErrDamaged):
		return fmt.Errorf("not a typed refusal: %w", err)
	case errors.As(err, &d):
		file, off = d.File, d.Offset
	case errors.As(err, &k):
		file, off = "keys/"+k.File, k.Offset
	}
	from, to := int64(0), r.off
	if file == "journal.meta" {
		from = -1
	}
	if strings.HasSuffix(r.file, ".seg") && r.mask != 0 {
		groups, _ := spans(p.files[r.file])
		for _, g := range groups {
			if g.has(r.off) {
				from, to = int64(g.start), int64(g.end)-1
			}
		}
	}
	if file != r.file || off < from || off > to {
		return fmt.Errorf("not where the damage is, at %d to %d: %w", from, to, err)
	}
	return nil
}

// untouched says whether the truth on a disk is still what it was, rot included, but for what is behind the first n
// events.
func (p *patient) untouched(before *faultfs.Disk, after fs.FS, n int) error {
	was := before.Mount()
	for name := range p.files {
		if isCache(name) || name == "LOCK" {
			continue
		}
		old, err1 := fs.ReadFile(was, name)
		got, err2 := fs.ReadFile(after, name)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if name == lastSegment(p.files) {
			end := p.last.end
			if n < len(p.events) {
				end = p.last.start
			}
			if len(got) != len(old) {
				return fmt.Errorf("%s has %d bytes and had %d", name, len(got), len(old))
			}
			old, got = old[:end], got[:end]
		}
		if first, records := 4096, 3*4096; name == "keys/keyset" && len(got) >= len(old) && len(old) >= records {
			// What the log was seen of is written between these two; and who binds which key may be behind them.
			old, got = append(old[:first:first], old[records:]...), append(got[:first:first], got[records:len(old)]...)
		}
		if !bytes.Equal(old, got) {
			return fmt.Errorf("%s was changed", name)
		}
	}
	return nil
}
