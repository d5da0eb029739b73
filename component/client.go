package component

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"batpak/causal"
	"batpak/codec"

	"github.com/nats-io/nats.go"
)

// DefaultTimeout is how long a Client waits for a reply when its context has no deadline. It is
// longer than DefaultAckStreamTimeout, so that an append with ack "stream" gets its answer.
const DefaultTimeout = 10 * time.Second

// ClientOptions says which journal a Client talks to.
type ClientOptions struct {
	Journal string        // its name; required
	Prefix  string        // of the subjects; default DefaultPrefix
	Timeout time.Duration // for contexts without a deadline; default DefaultTimeout

	// Clock goes with each request and takes in the node's with each reply, so that what is appended
	// later, to whatever journal by a client with the same clock, has a later time. Nil sends none.
	Clock *causal.Clock
}

// Client talks to the node of one journal. It is safe for concurrent use and holds nothing that
// must be closed. A Witness can have it refuse its node for good. Errors of its methods are an *Error when the node refused, and otherwise match
// ErrNoNode, ErrReply, context.DeadlineExceeded, or are the connection's. After an append, all
// but a refusal leave open whether the event was appended; an append with a key can be repeated.
type Client struct {
	nc      *nats.Conn
	journal string
	base    string // "P.J."
	timeout time.Duration
	clock   *causal.Clock // nil when the client has none

	refused atomic.Pointer[error] // why nothing is asked any more; see Witness
}

// NewClient returns a client. It sends nothing. Its errors match ErrConfig.
func NewClient(nc *nats.Conn, o ClientOptions) (*Client, error) {
	setDefault(&o.Prefix, DefaultPrefix)
	setDefault(&o.Timeout, DefaultTimeout)
	switch {
	case nc == nil:
		return nil, fmt.Errorf("component: %w: no connection", ErrConfig)
	case !validToken(o.Journal):
		return nil, fmt.Errorf("component: %w: journal %q is not 1 to 64 of A-Z a-z 0-9 - _", ErrConfig, o.Journal)
	case !validPrefix(o.Prefix):
		return nil, fmt.Errorf("component: %w: prefix %q", ErrConfig, o.Prefix)
	case o.Timeout < 0:
		return nil, fmt.Errorf("component: %w: timeout %s", ErrConfig, o.Timeout)
	}
	return &Client{nc: nc, journal: o.Journal, base: o.Prefix + "." + o.Journal + ".", timeout: o.Timeout, clock: o.Clock}, nil
}

// Journal returns the name of the journal.
func (c *Client) Journal() string { return c.journal }

// ask sends a request to the subject behind "P.J." and reads the reply into out.
func (c *Client) ask(ctx context.Context, subject string, in, out codec.Body) error {
	if why := c.refused.Load(); why != nil {
		return fmt.Errorf("component: %s: the node is refused: %w", subject, *why)
	}
	body, err := codec.Marshal(nil, codec.Msgpack, in)
	if err != nil {
		return fmt.Errorf("component: %s: %w", subject, err)
	}
	if _, there := ctx.Deadline(); !there {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	msg, err := c.request(ctx, c.base+subject, body)
	if errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("component: %s: %w for journal %s: %w", subject, ErrNoNode, c.journal, err)
	}
	if err == nil {
		err = refusalIn(msg)
	}
	if err != nil {
		return fmt.Errorf("component: %s: %w", subject, err)
	}
	if err := codec.Unmarshal(msg.Data, codec.Msgpack, out); err != nil {
		return fmt.Errorf("component: %s: %w: %w", subject, ErrReply, err)
	}
	return nil
}

// request sends a request with the client's clock, if it has one, and takes in the node's.
func (c *Client) request(ctx context.Context, subject string, body []byte) (*nats.Msg, error) {
	if c.clock == nil {
		return c.nc.RequestWithContext(ctx, subject, body)
	}
	ask := &nats.Msg{Subject: subject, Data: body, Header: nats.Header{headerHLC: []string{c.clock.Now().String()}}}
	msg, err := c.nc.RequestMsgWithContext(ctx, ask)
	if err != nil {
		return nil, err
	}
	if text := msg.Header.Get(headerHLC); text != "" {
		remote, err := causal.ParseHLC(text)
		if err == nil {
			_, err = c.clock.Observe(remote)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: header %s: %w", ErrReply, headerHLC, err)
		}
	}
	return msg, nil
}

// Head returns where a stream stands; zero when it has no events.
func (c *Client) Head(ctx context.Context, s causal.Stream) (causal.Head, error) {
	subject, err := coordinateSubject("head.", s.Coordinate)
	if err != nil {
		return causal.Head{}, err
	}
	var reply codec.HeadReply
	err = c.ask(ctx, subject, &codec.HeadRequest{Lane: s.Lane}, &reply)
	return causal.Head{Seq: reply.Seq, Version: reply.Version, Hash: reply.Hash}, err
}

// Verify has the node check the events of a range of sequences: from 0 is from the first, to 0
// up to the last. What it finds is in the reply, not in the error.
func (c *Client) Verify(ctx context.Context, from, to uint64) (codec.VerifyReply, error) {
	var reply codec.VerifyReply
	err := c.ask(ctx, "verify", &codec.VerifyRequest{From: from, To: to}, &reply)
	return reply, err
}

// VerifyReceipt asks the node whether its journal has the event that the receipt is about, as the
// receipt has it. What it finds is in the reply, not in the error.
func (c *Client) VerifyReceipt(ctx context.Context, r codec.Receipt) (codec.VerifyReply, error) {
	var reply codec.VerifyReply
	err := c.ask(ctx, "verify", &codec.VerifyRequest{Receipt: &r}, &reply)
	return reply, err
}

// Shred erases every payload of one key scope for good: exactly one of the request's Entity, Kind,
// Category, Event and Subject is set, the one that the journal seals by, and a Reason. The reply has the
// receipt of the event that has the erasure on record. The error matches ErrNotFound when nothing was ever
// sealed for the scope. After any other error but a refusal the erasure may have been done or not, and
// asking again is safe: it is on record again then, and has no keys to destroy.
func (c *Client) Shred(ctx context.Context, r codec.ShredRequest) (codec.ShredReply, error) {
	var reply codec.ShredReply
	err := c.ask(ctx, "shred", &r, &reply)
	return reply, err
}

// Status returns how the node is.
func (c *Client) Status(ctx context.Context) (codec.Status, error) {
	var reply codec.Status
	err := c.ask(ctx, "status", &codec.StatusRequest{}, &reply)
	return reply, err
}

// coordinateSubject returns the subject of a coordinate behind an endpoint's name.
func coordinateSubject(name string, at causal.Coordinate) (string, error) {
	if err := at.Validate(); err != nil {
		return "", fmt.Errorf("component: %s%s: %w: %w", name, at, ErrInvalid, err)
	}
	b := make([]byte, 0, len(name)+len(at.Scope)+len(at.Entity)+1+16)
	b = codec.AppendToken(append(b, name...), at.Scope)
	b = codec.AppendToken(append(b, '.'), at.Entity)
	return string(b), nil
}
