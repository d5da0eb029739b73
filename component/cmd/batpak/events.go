package main

import (
	"fmt"
	"strconv"
	"time"

	"batpak/causal"
	"batpak/codec"
)

// eventList writes events, one on a line.
type eventList struct {
	*screen
	table *table
}

// newEventList begins a list. To a pipe, each event's fields are: sequence, time, scope, entity,
// lane, version, kind, id, hash, data.
func (s *screen) newEventList() *eventList {
	return &eventList{screen: s, table: s.table(
		column{name: "seq", right: true, style: bold},
		column{name: "time", style: dim},
		column{name: "stream", style: cyan},
		column{name: "version", right: true},
		column{name: "kind"},
		column{name: "hash", style: dim},
		column{name: "data"},
	)}
}

// event is what is known of one: what was read, and with opened what its payload is in clear.
type event struct {
	causal.Event
	opened  bool // it was asked for
	state   causal.PayloadState
	payload []byte // in clear, or nil
}

// sealedEvent is an event as it is stored.
func sealedEvent(ev causal.Event) event {
	e := event{Event: ev}
	if ev.Enc == nil {
		e.payload = ev.Data
	}
	return e
}

// data is the payload for people: JSON, or why there is none.
func (e *event) data() (string, error) {
	if e.payload != nil {
		out, err := codec.MsgpackToJSON(nil, e.payload)
		return string(out), err
	}
	if e.opened {
		return e.state.String(), nil
	}
	return "sealed:" + e.Enc.Key.String(), nil
}

// add writes an event.
func (l *eventList) add(e *event) error {
	if l.form == forMachine {
		object, err := e.json()
		if err != nil {
			return err
		}
		return l.json(object)
	}
	data, err := e.data()
	if err != nil {
		return fmt.Errorf("event %d: %w", e.Seq, err)
	}
	seq, version := strconv.FormatUint(e.Seq, 10), strconv.FormatUint(e.Version, 10)
	at := time.UnixMilli(int64(e.Time.Millis))
	if l.form == forTerminal {
		return l.table.row(seq, at.Format("2006-01-02 15:04:05.000"), streamText(&e.Header), version, e.Kind.String(), e.Hash.String()[:12], data)
	}
	return l.table.row(seq, at.UTC().Format("2006-01-02T15:04:05.000Z"), e.Scope, e.Entity,
		strconv.FormatUint(uint64(e.Lane), 10), version, e.Kind.String(), e.ID.String(), e.Hash.String(), data)
}

// flush brings what was added to the screen.
func (l *eventList) flush() error { return l.table.flush() }

// streamText is a coordinate, with the lane when it is not the usual one.
func streamText(h *causal.Header) string {
	text := h.Coordinate.String()
	if h.Lane != 0 {
		text += "#" + strconv.FormatUint(uint64(h.Lane), 10)
	}
	return text
}

// json is the envelope as the protocol has it, and behind its keys "hash", and when the payload
// was to be opened "state", and "opened" when it could be.
func (e *event) json() ([]byte, error) {
	out, err := codec.EnvelopeJSON(nil, e.Envelope)
	if err != nil {
		return nil, err
	}
	out = append(out[:len(out)-1], `,"hash":"`+e.Hash.String()+`"`...)
	if e.opened {
		out = append(out, `,"state":"`+e.state.String()+`"`...)
		if e.payload != nil {
			out = append(out, `,"opened":`...)
			if out, err = codec.MsgpackToJSON(out, e.payload); err != nil {
				return nil, fmt.Errorf("event %d: %w", e.Seq, err)
			}
		}
	}
	return append(out, '}'), nil
}
