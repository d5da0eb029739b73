package relay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
)

// acknowledged takes in one reply to a published message. The connection calls it for one
// reply after the other.
func (r *Relay) acknowledged(m *nats.Msg) {
	var seq uint64
	var err error
	if len(m.Data) == 0 && m.Header.Get("Status") != "" {
		// No responders: the stream is gone, or JetStream does not run.
		err = errNoStream
	} else {
		seq, err = r.acks.read(m.Data)
	}

	r.mu.Lock()
	f := r.flight
	if f == nil || f.reply != m.Subject {
		r.mu.Unlock()
		return // of an epoch that has ended
	}
	room, grown := false, false
	switch {
	case err != nil:
	case seq == f.acked+1 && seq <= f.sent:
		f.take()
		r.state.Published = seq
		grown = true
		if f.waiting {
			messages, _ := f.roomFor(r.config.MaxPendingBytes)
			room = messages > 0
		}
	case seq > f.acked:
		err = errAckGap
	}
	r.mu.Unlock()

	if err != nil {
		f.cancel(err)
	}
	if grown {
		r.signal()
	}
	if room {
		select {
		case f.room <- struct{}{}:
		default: // the token of last time is still there
		}
	}
}

// ackReader reads publish acknowledgements. The server builds every positive one of a stream
// from one template with the sequence at the end, so after the first one it is enough to
// compare the template and to read the digits.
type ackReader struct {
	stream   string
	template []byte // what stands before the sequence; nil before the first acknowledgement
}

// read returns the sequence that was given to a message. The error says why there is none: a
// *refusedError when the server said no, or that the reply is not an acknowledgement.
func (a *ackReader) read(b []byte) (uint64, error) {
	if seq, ok := a.fast(b); ok {
		return seq, nil
	}
	var ack struct {
		Stream string `json:"stream"`
		Seq    uint64 `json:"seq"`
		Error  *struct {
			Code        int    `json:"code"`
			ErrCode     int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(b, &ack); err != nil {
		return 0, fmt.Errorf("reply is not an acknowledgement: %w", err)
	}
	if e := ack.Error; e != nil {
		return 0, &refusedError{code: max(e.ErrCode, e.Code), reason: e.Description}
	}
	if ack.Stream != a.stream || ack.Seq == 0 {
		return 0, fmt.Errorf("acknowledged by stream %q as message %d", ack.Stream, ack.Seq)
	}
	tail := strconv.AppendUint([]byte(`"seq":`), ack.Seq, 10)
	if template, ok := bytes.CutSuffix(b, append(tail, '}')); ok {
		a.template = append(append([]byte(nil), template...), `"seq":`...)
	}
	return ack.Seq, nil
}

// fast reads an acknowledgement that is the template, a number and a brace.
func (a *ackReader) fast(b []byte) (seq uint64, ok bool) {
	n := len(a.template)
	if n == 0 || len(b) < n+2 || b[len(b)-1] != '}' || !bytes.Equal(b[:n], a.template) {
		return 0, false
	}
	digits := b[n : len(b)-1]
	if len(digits) > 19 || digits[0] == '0' { // 19 digits cannot overflow
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		seq = seq*10 + uint64(c-'0')
	}
	return seq, true
}
