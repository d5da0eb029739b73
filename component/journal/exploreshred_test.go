package journal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/faultfs/faulttest"
	"batpak/keystore"
)

// What a workload that erases says: an event was acknowledged; an erasure of an entity is asked for; it
// was acknowledged.
type (
	wrote struct {
		r      codec.Receipt
		entity string
		n      uint64
	}
	asked  struct{ entity string }
	erased struct {
		entity string
		s      journal.Shredded
	}
)

var exploredErasing = journal.Options{Name: "erasing", Seal: keystore.Entity, SegmentBytes: 16 << 10}

// erasingWorkload appends to two entities, erases one of them, renews it, erases again what is erased, asks
// for erasures while others append, and closes and opens the journal in between.
func erasingWorkload(fsys faultfs.FS, steps int, ack func(any)) (err error) {
	d := &during{FS: fsys}
	ctx := context.Background()
	j, err := journal.Open(ctx, d, exploredErasing)
	if err != nil {
		return err
	}
	defer func() {
		if j != nil {
			err = errors.Join(err, j.Close())
		}
	}()
	write := func(n uint64, entity string, renew bool, done chan error) {
		a := event(entity, n)
		a.Renew = renew
		if n%3 == 0 {
			a.Data = append(payload(3000), number(n)...)[:0]
			a.Data = append(a.Data, payload(3000)...)
			a.Data = append(a.Data[:3], append(number(n), a.Data[12:]...)...)
		}
		err := j.Submit(one(a), func(r []codec.Receipt, err error) {
			if err == nil {
				ack(wrote{r[0], entity, n})
			}
			done <- err
		})
		if err != nil {
			done <- err
		}
	}
	erase := func(entity string, done chan error) {
		ack(asked{entity})
		err := j.SubmitShred(erasureOf(entity), func(s journal.Shredded, err error) {
			if err == nil {
				ack(erased{entity, s})
			}
			done <- err
		})
		if err != nil {
			done <- err
		}
	}
	n := uint64(0)
	for step := range steps {
		done := make(chan error, 8)
		waits := 1
		n++
		switch step % 8 {
		case 0:
			write(n, "a", true, done)
		case 1, 5:
			write(n, "b", false, done)
		case 2: // an erasure, and an append, while one is written
			waits = 3
			d.write = func() {
				erase("a", done)
				write(n+1, "b", false, done)
			}
			write(n, "a", true, done)
		case 3:
			erase("a", done)
		case 4:
			write(n, "a", true, done)
		case 6:
			erase("a", done)
		case 7: // another process
			if err := j.Close(); err != nil {
				j = nil
				return err
			}
			if j, err = journal.Open(ctx, d, exploredErasing); err != nil {
				return err
			}
			write(n, "b", false, done)
		}
		for i := 0; i < waits; i++ {
			err := <-done
			if errors.Is(err, journal.ErrPoisoned) {
				return err
			}
			if i == 0 && d.write != nil { // it was refused before it came to be written
				d.write = nil
				break
			}
			if err != nil && !errors.Is(err, journal.ErrStorage) && !errors.Is(err, journal.ErrNotFound) {
				return err
			}
		}
		n += uint64(waits)
	}
	return nil
}

// erasingCheck opens what is there. What was acknowledged as erased never opens again, what nobody asked
// to erase opens, and what was asked for without an answer does what the log says.
func erasingCheck(fsys faultfs.FS, acked []any, ack func(any)) error {
	err := recoverErased(fsys, acked, ack)
	if err != nil && !refusal(err) {
		return faulttest.Violated("%v", err)
	}
	return err
}

func recoverErased(fsys faultfs.FS, acked []any, ack func(any)) (err error) {
	j, err := journal.Open(context.Background(), fsys, exploredErasing)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	events, err := audit(j)
	if err != nil {
		return err
	}
	if err := asTheLogSays(j, events); err != nil {
		return err
	}
	for i, p := range acked {
		switch p := p.(type) {
		case erased:
			if r := p.s.Receipt; r.Seq > uint64(len(events)) || events[r.Seq-1].ID != r.ID {
				return fmt.Errorf("acknowledged erasure %d is not on record", r.Seq)
			}
		case wrote:
			if p.r.Seq > uint64(len(events)) || events[p.r.Seq-1].ID != p.r.ID {
				return fmt.Errorf("acknowledged event %d is missing", p.r.Seq)
			}
			want, other := causal.Opened, causal.Opened
			for _, later := range acked { // its receipt may come after what was asked behind it
				switch later := later.(type) {
				case asked:
					if later.entity == p.entity {
						other = causal.Shredded
					}
				case erased:
					if later.entity == p.entity && later.s.Receipt.Seq > p.r.Seq {
						want = causal.Shredded
					}
				}
			}
			data, state, err := j.Payload(&events[p.r.Seq-1])
			if err != nil {
				return err
			}
			if state != want && (want == causal.Shredded || state != other) {
				return fmt.Errorf("event %d of %s (promise %d) is %s, want %s or %s", p.r.Seq, p.entity, i, state, want, other)
			}
			if state == causal.Opened && !bytes.Contains(data, number(p.n)) {
				return fmt.Errorf("event %d has another payload", p.r.Seq)
			}
		}
	}
	a := renewing(event("a", 1<<32))
	r, err := j.Append(context.Background(), one(a))
	if err != nil {
		return fmt.Errorf("append after recovery: %w", err)
	}
	ack(wrote{r[0], "a", 1 << 32})
	ack(asked{"a"})
	s, err := j.Shred(context.Background(), erasureOf("a"))
	if err != nil {
		return fmt.Errorf("erase after recovery: %w", err)
	}
	ack(erased{"a", s})
	if events, err = audit(j); err != nil {
		return err
	}
	return asTheLogSays(j, events)
}

// asTheLogSays goes through the log in order, and compares it with what can be opened: what was erased is
// shredded and nothing else is, an erasure names the keys that its scope had and counts their events, no
// event follows it in its scope but under a key that a renewal names, and no renewal is without need.
func asTheLogSays(j *journal.Journal, events []causal.Event) error {
	type scope struct {
		key    causal.KeyID // the live one
		events uint64       // under it
		erased bool
		next   causal.KeyID // named by a renewal
	}
	scopes := map[causal.Coordinate]*scope{}
	dead := map[causal.KeyID]bool{}
	of := func(c causal.Coordinate) *scope {
		if scopes[c] == nil {
			scopes[c] = new(scope)
		}
		return scopes[c]
	}
	for i := range events {
		ev := &events[i]
		switch {
		case ev.Kind == causal.KindShred:
			var e codec.Erasure
			if err := codec.Unmarshal(ev.Data, codec.Msgpack, &e); err != nil {
				return fmt.Errorf("event %d: %w", ev.Seq, err)
			}
			s := of(*e.Entity)
			// Keys whose events came to nothing may be there too.
			if e.Events != s.events || s.events > 0 && !slices.Contains(e.Keys, s.key) {
				return fmt.Errorf("event %d erases %v with %d events, the log says %s with %d", ev.Seq, e.Keys, e.Events, s.key, s.events)
			}
			for _, k := range e.Keys {
				dead[k] = true
			}
			*s = scope{erased: true}
		case ev.Kind == causal.KindRenew:
			var r codec.Renewal
			if err := codec.Unmarshal(ev.Data, codec.Msgpack, &r); err != nil {
				return fmt.Errorf("event %d: %w", ev.Seq, err)
			}
			s := of(*r.Entity)
			if !s.erased || dead[r.Key] {
				return fmt.Errorf("event %d renews what is not erased, or by a key that is", ev.Seq)
			}
			s.erased, s.next = false, r.Key
		case ev.Enc != nil:
			s := of(ev.Coordinate)
			switch {
			case s.erased:
				return fmt.Errorf("event %d is in an erased scope", ev.Seq)
			case s.events > 0 && ev.Enc.Key != s.key, s.next != (causal.KeyID{}) && ev.Enc.Key != s.next, dead[ev.Enc.Key]:
				return fmt.Errorf("event %d is sealed under %s", ev.Seq, ev.Enc.Key)
			}
			s.key = ev.Enc.Key
			s.events++
		}
	}
	for i := range events {
		ev := &events[i]
		if ev.Enc == nil {
			continue
		}
		want := causal.Opened
		if dead[ev.Enc.Key] {
			want = causal.Shredded
		}
		if _, state, err := j.Payload(ev); err != nil {
			return err
		} else if state != want {
			return fmt.Errorf("event %d is %s, want %s", ev.Seq, state, want)
		}
	}
	return nil
}

func TestExploreErasures(t *testing.T) {
	steps := 11
	if underRace {
		steps = 4
	}
	r := faulttest.Explore(t, faulttest.Test{Model: faultfs.POSIX, Steps: steps, Run: erasingWorkload, Check: erasingCheck},
		faulttest.Options{Recover: 150, RecoverKills: 20})
	t.Logf("%s%v", r, r.Elapsed)
}
