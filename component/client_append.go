package component

import (
	"context"
	"fmt"

	"batpak/causal"
	"batpak/codec"
)

// AppendOption says more of an append than what and where.
type AppendOption func(*codec.Append)

// WithKey makes the append idempotent: as long as the node remembers the key (by default a day
// and a million keys), a repetition gets the first receipt. The key is 1 to 256 bytes and unique
// within a scope.
func WithKey(key string) AppendOption {
	return func(a *codec.Append) { a.Key = key }
}

// Expect makes the append conditional: the stream must be at this version before it. 0 means
// that the stream has no events yet. Otherwise the error matches ErrConflict.
func Expect(version uint64) AppendOption {
	return func(a *codec.Append) { a.Expect = &version }
}

// Unless makes the append conditional: no event may match the selection, which is in the append's
// own scope. Otherwise the error matches ErrConflict.
func Unless(sel codec.Selection) AppendOption {
	return func(a *codec.Append) { a.Unless = &sel }
}

// WithCauses names the events that this one follows from. Those of the same journal must exist.
func WithCauses(causes ...causal.Cause) AppendOption {
	return func(a *codec.Append) { a.Causes = append(a.Causes, causes...) }
}

// WithCorrelation names the event that a whole conversation began with.
func WithCorrelation(id causal.EventID) AppendOption {
	return func(a *codec.Append) { a.Correlation = id }
}

// WithMeta adds entries to the event's meta.
func WithMeta(meta map[string]string) AppendOption {
	return func(a *codec.Append) {
		if a.Meta == nil {
			a.Meta = make(map[string]string, len(meta))
		}
		for k, v := range meta {
			a.Meta[k] = v
		}
	}
}

// WithSubject names the data subject: whose personal data the payload is.
func WithSubject(subject string) AppendOption {
	return func(a *codec.Append) { a.Subject = subject }
}

// Lane appends to another lane of the coordinate than 0.
func Lane(lane uint32) AppendOption {
	return func(a *codec.Append) { a.Lane = lane }
}

// Schema is the payload's version. A typed append has it from its registry.
func Schema(schema uint64) AppendOption {
	return func(a *codec.Append) { a.Schema = schema }
}

// AckStream has the append answered when the onward stream has the event too. The receipt's
// Durable says whether that came about in time.
func AckStream() AppendOption {
	return func(a *codec.Append) { a.Ack = codec.AckStream }
}

// Renew appends into an erased key scope too, under a new key.
func Renew() AppendOption {
	return func(a *codec.Append) { a.Renew = true }
}

// Append appends v at a coordinate, with the kind and schema that its type is registered for.
func Append[T any](ctx context.Context, c *Client, r *codec.Registry, at causal.Coordinate, v T, opts ...AppendOption) (codec.Receipt, error) {
	kind, schema, data, err := r.Encode(v)
	if err != nil {
		return codec.Receipt{}, fmt.Errorf("component: append to %s: %w", at, err)
	}
	a := codec.Append{Kind: kind, Schema: schema, Data: data}
	return c.Append(ctx, at, a, opts...)
}

// AppendRaw appends a payload that is encoded already: one MessagePack value.
func (c *Client) AppendRaw(ctx context.Context, at causal.Coordinate, kind causal.Kind, data []byte, opts ...AppendOption) (codec.Receipt, error) {
	return c.Append(ctx, at, codec.Append{Kind: kind, Data: data}, opts...)
}

// Append appends one event at a coordinate; that of a is not looked at.
func (c *Client) Append(ctx context.Context, at causal.Coordinate, a codec.Append, opts ...AppendOption) (codec.Receipt, error) {
	for _, opt := range opts {
		opt(&a)
	}
	a.Scope, a.Entity = "", ""
	subject, err := coordinateSubject("append.", at)
	if err != nil {
		return codec.Receipt{}, err
	}
	var receipt codec.Receipt
	err = c.ask(ctx, subject, &a, &receipt)
	return receipt, err
}

// Batch appends 1 to codec.MaxBatch events, all or none, each at its own coordinate. A condition
// Unless without a scope looks at the whole journal.
func (c *Client) Batch(ctx context.Context, b codec.Batch) ([]codec.Receipt, error) {
	return c.batch(ctx, "batch", b)
}

// BatchIn is Batch within one scope, by the subject that permissions for one scope are about. The
// events and their conditions may leave the scope out, and have no other.
func (c *Client) BatchIn(ctx context.Context, scope string, b codec.Batch) ([]codec.Receipt, error) {
	subject, err := scopeSubject("batch", scope)
	if err != nil {
		return nil, err
	}
	return c.batch(ctx, subject, b)
}

func (c *Client) batch(ctx context.Context, subject string, b codec.Batch) ([]codec.Receipt, error) {
	var reply codec.BatchReply
	if err := c.ask(ctx, subject, &b, &reply); err != nil {
		return nil, err
	}
	if len(reply.Receipts) != len(b.Events) {
		return nil, fmt.Errorf("component: %s: %w: %d receipts for %d events", subject, ErrReply, len(reply.Receipts), len(b.Events))
	}
	return reply.Receipts, nil
}

// scopeSubject returns the form of an endpoint's subject for one scope.
func scopeSubject(name, scope string) (string, error) {
	if err := causal.CheckName("scope", scope); err != nil {
		return "", fmt.Errorf("component: %s: %w: %w", name, ErrInvalid, err)
	}
	return name + "." + codec.EscapeToken(scope), nil
}
