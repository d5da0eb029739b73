package integration

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
)

// operation is one request to append: a single event, or a batch of at least two.
type operation struct {
	id      string
	key     string // "" has none
	json    bool
	stream  bool // asks for ack "stream"
	entries []entry
}

// entry is one event of an operation.
type entry struct {
	scope, entity string
	lane, kind    uint64
}

// payload is the MessagePack of an entry's payload. It says itself which one it is. Its keys are
// sorted, so the same payload sent as JSON gives the same bytes.
func (op *operation) payload(i int) []byte { return pack(op.payloadFields(i)) }

func (op *operation) payloadFields(i int) fields {
	size := 0
	for _, c := range []byte(op.id) {
		size = (size*31 + int(c) + i) % 1500
	}
	return fields{{"i", i}, {"op", op.id}, {"pad", strings.Repeat("x", size)}}
}

// request returns what follows "batpak.main." in the subject, and the body.
func (op *operation) request() (subject string, body fields) {
	if len(op.entries) == 1 {
		e := op.entries[0]
		subject, body = "append."+token(e.scope)+"."+token(e.entity), op.entry(0)
	} else {
		list := make([]any, len(op.entries))
		for i, e := range op.entries {
			list[i] = append(fields{{"scope", e.scope}, {"entity", e.entity}}, op.entry(i)...)
		}
		subject, body = "batch", fields{{"events", list}}
	}
	if op.key != "" {
		body = append(body, field{"key", op.key})
	}
	if op.stream {
		body = append(body, field{"ack", "stream"})
	}
	return subject, body
}

func (op *operation) entry(i int) fields {
	e := op.entries[i]
	f := fields{{"kind", e.kind}, {"data", op.payloadFields(i)}, {"meta", fields{{"op", op.id}, {"i", strconv.Itoa(i)}}}}
	if e.lane > 0 {
		f = append(f, field{"lane", e.lane})
	}
	return f
}

// send makes the request and returns a receipt for each entry.
func (op *operation) send(ctx context.Context, c client) ([]receipt, error) {
	subject, body := op.request()
	var reply fields
	var err error
	if op.json {
		var text []byte
		if text, err = c.ask(ctx, subject, appendJSON(nil, body), asJSON); err == nil {
			reply, err = receiptFieldsOfJSON(text)
		}
	} else {
		reply, err = c.fields(ctx, subject, body)
	}
	if err != nil {
		return nil, err
	}
	list := []any{reply}
	if len(op.entries) > 1 {
		list, _ = reply.get("receipts").([]any)
	}
	if len(list) != len(op.entries) {
		return nil, fmt.Errorf("%s: %d receipts for %d events", op.id, len(list), len(op.entries))
	}
	receipts := make([]receipt, len(list))
	for i, x := range list {
		f, _ := x.(fields)
		if receipts[i], err = receiptOf(f); err != nil {
			return nil, fmt.Errorf("%s: %w", op.id, err)
		}
		if op.stream && !receipts[i].duplicate && receipts[i].durable != "stream" {
			return nil, fmt.Errorf("%s: asked for ack stream, durable is %s", op.id, receipts[i].durable)
		}
	}
	return receipts, nil
}

// randomOperation makes an operation of any shape.
func randomOperation(r *rand.Rand, id string) *operation {
	op := &operation{id: id, json: r.IntN(3) == 0, stream: r.IntN(20) == 0}
	n := 1
	if r.IntN(5) == 0 {
		n = 2 + r.IntN(11)
	}
	for range n {
		op.entries = append(op.entries, entry{
			scope: []string{"shop", "näher/2"}[r.IntN(2)], entity: "e" + strconv.Itoa(r.IntN(6)),
			lane: uint64(r.IntN(2) * r.IntN(3)), kind: 0x1000 + uint64(r.IntN(3)),
		})
	}
	if r.IntN(2) == 0 {
		op.key = "key of " + id
	}
	return op
}

// ledger is what the clients know: what they sent, and what was acknowledged.
type ledger struct {
	sealed bool

	mu    sync.Mutex // guards what follows
	sent  map[string]*operation
	acked map[string][]receipt
	count int             // events acknowledged
	not   map[string]bool // what was refused for good: nothing of it is in the journal

	// What the last look at the journal saw. It changes only while nobody appends.
	seen []hash
}

func newLedger(sealed bool) *ledger {
	return &ledger{sealed: sealed, sent: map[string]*operation{}, acked: map[string][]receipt{}, not: map[string]bool{}}
}

func (l *ledger) sending(op *operation) {
	l.mu.Lock()
	l.sent[op.id] = op
	l.mu.Unlock()
}

// refused keeps that an operation was answered with an error that says that nothing of it was
// written. One with a key will be sent again.
func (l *ledger) refused(op *operation) {
	l.mu.Lock()
	l.not[op.id] = op.key == ""
	l.mu.Unlock()
}

// receipts are those of what was acknowledged so far.
func (l *ledger) receipts() map[string][]receipt {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.acked)
}

// acknowledged keeps the receipts of an operation, or compares them with those that it has.
func (l *ledger) acknowledged(op *operation, got []receipt) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	had := l.acked[op.id]
	if had == nil {
		for _, r := range got {
			if r.duplicate != (r.seq <= uint64(len(l.seen))) {
				return fmt.Errorf("%s: the first answer is %+v, with %d events before the restart", op.id, r, len(l.seen))
			}
		}
		l.acked[op.id] = got
		l.count += len(got)
		return nil
	}
	for i, r := range got {
		duplicate := r.duplicate
		r.duplicate, r.durable = had[i].duplicate, had[i].durable
		if r != had[i] || !duplicate {
			return fmt.Errorf("%s: the retry got %+v, the first receipt was %+v", op.id, got[i], had[i])
		}
	}
	return nil
}

// check returns an error unless the journal's events are a chain of whole operations that were
// sent and not refused, each at most once, and have everything that was acknowledged and everything that was
// seen before.
func (l *ledger) check(events []event) error {
	if err := checkChain(events); err != nil {
		return err
	}
	found := make(map[string]int, len(l.sent)) // how many entries of an operation
	for i := range events {
		e := &events[i]
		if i < len(l.seen) && l.seen[i] != e.hash {
			return fmt.Errorf("event %d has another hash than before the restart", e.seq)
		}
		op := l.sent[e.meta.str("op")]
		if op == nil {
			return fmt.Errorf("event %d is of operation %q, which nobody sent", e.seq, e.meta.str("op"))
		}
		if l.not[op.id] {
			return fmt.Errorf("event %d is of operation %s, which was refused", e.seq, op.id)
		}
		if err := l.checkEntry(op, e, found[op.id]); err != nil {
			return fmt.Errorf("event %d of %s: %w", e.seq, op.id, err)
		}
		found[op.id]++
		if rest := len(op.entries) - found[op.id]; rest > 0 && (i+1 == len(events) || events[i+1].meta.str("op") != op.id) {
			return fmt.Errorf("event %d of %s: %d events of its batch are missing", e.seq, op.id, rest)
		}
	}
	if len(events) < len(l.seen) {
		return fmt.Errorf("the journal has %d events, before the restart it had %d", len(events), len(l.seen))
	}
	if err := allThere(l.acked, events); err != nil {
		return err
	}
	l.seen = l.seen[:0]
	for i := range events {
		l.seen = append(l.seen, events[i].hash)
	}
	return nil
}

// allThere returns an error unless each receipt is that of an event.
func allThere(acked map[string][]receipt, events []event) error {
	for id, receipts := range acked {
		for i, r := range receipts {
			if r.seq > uint64(len(events)) {
				return fmt.Errorf("event %d of %s was acknowledged and is lost", r.seq, id)
			}
			if e := &events[r.seq-1]; e.hash != r.hash || e.id != r.id || e.version != r.version || e.prev != r.prev ||
				e.lineage != r.lineage || e.millis != r.millis || e.meta.str("op") != id || e.meta.str("i") != strconv.Itoa(i) {
				return fmt.Errorf("event %d is not what the receipt of %s says: %+v", r.seq, id, r)
			}
		}
	}
	return nil
}

// checkEntry compares an event with entry i of its operation. An entry that comes a second time
// has a number beyond the last.
func (l *ledger) checkEntry(op *operation, e *event, i int) error {
	if i >= len(op.entries) {
		return fmt.Errorf("it was appended more than once")
	}
	want := op.entries[i]
	index, count := uint64(0), uint64(0)
	if len(op.entries) > 1 {
		index, count = uint64(i), uint64(len(op.entries))
	}
	switch {
	case e.meta.str("i") != strconv.Itoa(i), e.index != index, e.count != count:
		return fmt.Errorf("entry %s, [%d, %d], where entry %d should be", e.meta.str("i"), e.index, e.count, i)
	case e.scope != want.scope, e.entity != want.entity, e.lane != want.lane, e.kind != want.kind:
		return fmt.Errorf("is at %s/%s:%d, kind %#x", e.scope, e.entity, e.lane, e.kind)
	case e.key != op.key && (i == 0 || e.key != ""):
		return fmt.Errorf("has key %q", e.key)
	case e.sealed != l.sealed:
		return fmt.Errorf("sealed is %v", e.sealed)
	case !e.sealed && !bytes.Equal(e.data, op.payload(i)):
		return fmt.Errorf("has the payload %q", e.data)
	}
	return nil
}

// checkOpened returns an error unless every sealed event opens to the payload that was sent.
func (l *ledger) checkOpened(ctx context.Context, c client, events []event) error {
	for at := 0; at < len(events); {
		page, err := c.fields(ctx, "open", fields{{"after", uint64(at)}, {"limit", 1000}})
		if err != nil {
			return err
		}
		opened, _ := page.get("data").([]any)
		if len(opened) == 0 {
			return fmt.Errorf("open after %d: an empty page", at)
		}
		for _, x := range opened {
			f, _ := x.(fields)
			e := &events[at]
			i, _ := strconv.Atoi(e.meta.str("i"))
			want := l.sent[e.meta.str("op")].payload(i)
			if f.str("state") != "opened" || !bytes.Equal(pack(f.get("data")), want) {
				return fmt.Errorf("event %d opens as %v", e.seq, f)
			}
			at++
		}
	}
	return nil
}
