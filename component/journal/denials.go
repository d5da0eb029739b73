package journal

import (
	"errors"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/gates"
)

// DenialEntity is the entity, at causal.SystemScope, of the events that say what gates refused.
const DenialEntity = "denials"

var denialStream = causal.Stream{Coordinate: causal.Coordinate{Scope: causal.SystemScope, Entity: DenialEntity}}

// denialRoom is more than the event of a denial takes on disk: five names, and the envelope.
const denialRoom = 4 << 10

// denials bounds how much disk refusals can take: a token bucket that holds a minute's worth.
type denials struct {
	full    int64  // when the bucket is full again, in nanoseconds since 1970
	dropped uint64 // refusals since the last that was kept
}

// keptDenials is what is lost to the count of dropped ones when a group is rolled back.
type keptDenials struct{ dropped uint64 }

// keepDenial stages the event of a refusal, when err is one and it may be kept. Whether it is does not
// change the answer.
func (s *sequencer) keepDenial(r *request, err error) {
	var d *gates.Denial
	if s.j.opts.KeepDenials == 0 || !errors.As(err, &d) {
		return
	}
	g, dropped := s.group, s.denials.dropped
	s.denials.dropped++
	if g.diskSize()+denialRoom > segmentRoom(s.j.opts.SegmentBytes) || !s.denials.take(s.j.clock.Now(), s.j.opts.KeepDenials) {
		return
	}
	a := &r.batch.Events[0]
	if in := (*batchError)(nil); errors.As(err, &in) {
		a = &r.batch.Events[in.event]
	}
	mark := s.mark()
	_, err = s.system(denialStream, causal.KindDenial, "denial", &codec.Denial{
		Gate: d.Gate, Code: d.Code, Scope: a.Scope, Entity: a.Entity, Kind: a.Kind, Lane: a.Lane, Dropped: dropped,
	})
	if err != nil {
		s.undo(mark)
		s.j.logger.Warn("a denial is not kept", "gate", d.Gate, "why", err)
		return
	}
	g.denials.dropped += dropped
	s.denials.dropped = 0
}

// take takes one of the perMinute that there are, if one is left.
func (d *denials) take(now causal.HLC, perMinute int) bool {
	step := int64(time.Minute) / int64(perMinute)
	at := int64(now.Millis) * int64(time.Millisecond)
	full := max(d.full, at) + step
	if full-at > int64(time.Minute) {
		return false
	}
	d.full = full
	return true
}
