package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// ErrReply is found in [Row.Err] when a reply was an error.
var ErrReply = errors.New("error reply")

// errorReply says what a reply's headers complain of.
func errorReply(m *nats.Msg) error {
	if status := m.Header.Get("Status"); status != "" {
		if status == "503" {
			return nats.ErrNoResponders
		}
		return fmt.Errorf("status %s: %w", status, ErrReply)
	}
	if code := m.Header.Get(micro.ErrorCodeHeader); code != "" {
		return fmt.Errorf("%s %s: %w", code, m.Header.Get(micro.ErrorHeader), ErrReply)
	}
	return nil
}

// CheckSame makes a check that accepts replies with exactly these bytes.
func CheckSame(body []byte) func(*nats.Msg) error {
	return func(m *nats.Msg) error {
		if !bytes.Equal(m.Data, body) {
			return fmt.Errorf("reply of %d bytes is not the %d that were sent: %w", len(m.Data), len(body), ErrReply)
		}
		return nil
	}
}

// CheckPubAck accepts the acknowledgement of a JetStream publish, unless it
// carries an error.
func CheckPubAck(m *nats.Msg) error {
	// The usual acknowledgement is told by its start, because to decode JSON
	// for each would cost more than the publish.
	if bytes.HasPrefix(m.Data, []byte(`{"stream":`)) {
		return nil
	}
	var ack struct {
		Stream string `json:"stream"`
		Error  struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &ack); err != nil {
		return fmt.Errorf("publish acknowledgement: %w: %w", err, ErrReply)
	}
	if ack.Error.Description != "" || ack.Stream == "" {
		return fmt.Errorf("publish acknowledgement: %s: %w", ack.Error.Description, ErrReply)
	}
	return nil
}

// Same makes requests that are all alike.
func Same(subject string, body []byte) func(int, uint64) (string, []byte) {
	return func(int, uint64) (string, []byte) { return subject, body }
}

// Spread makes requests with one body that go round the subjects; each slot
// starts at another one.
func Spread(subjects []string, body []byte) func(int, uint64) (string, []byte) {
	return func(slot int, n uint64) (string, []byte) {
		return subjects[(uint64(slot)+n)%uint64(len(subjects))], body
	}
}
