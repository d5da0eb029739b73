package component

import (
	"context"
	"errors"
	"fmt"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/journal"
)

// maxVerifies is how many verifications run at a time: each may read the whole journal.
const maxVerifies = 4

func (n *Node) serveVerify(req request) (goesOn bool) {
	var body codec.VerifyRequest
	err := codec.Unmarshal(req.body, req.format, &body)
	if err == nil && body.To > 0 && body.From > body.To {
		err = &invalidError{"from is behind to"}
	}
	if err != nil {
		n.refuse(&req, err)
		return false
	}
	return n.inBackground(n.verifies, req, func(ctx context.Context, _ *request) (answer, error) {
		verify := n.verifyRange
		if body.Receipt != nil {
			verify = n.verifyReceipt
		}
		reply, err := verify(ctx, &body)
		return answer{body: &reply}, err
	})
}

// verifyRange checks hashes and chains of the events from body.From to body.To.
func (n *Node) verifyRange(ctx context.Context, body *codec.VerifyRequest) (codec.VerifyReply, error) {
	found, err := n.journal.Verify(ctx, body.From, body.To)
	reply := codec.VerifyReply{Valid: err == nil, Checked: found.Checked, Head: found.Head, Hash: found.Hash}
	var broken *journal.VerifyError
	var damage *journal.DamageError
	switch {
	case errors.As(err, &broken), errors.As(err, &damage):
		reply.Reason, err = printable(err.Error()), nil
	}
	return reply, err
}

// verifyReceipt says whether the journal has the event that the receipt is about, as the receipt
// has it.
func (n *Node) verifyReceipt(_ context.Context, body *codec.VerifyRequest) (codec.VerifyReply, error) {
	var reply codec.VerifyReply
	if reply.Head = n.journal.Visible(); reply.Head > 0 {
		head, err := n.journal.GetSeq(reply.Head)
		if err != nil {
			return reply, err
		}
		reply.Hash = head.Hash
	}
	ev, err := n.journal.Get(body.Receipt.ID)
	if errors.Is(err, journal.ErrNotFound) {
		reply.Reason = "no event has this id"
		return reply, nil
	}
	if err != nil {
		return reply, err
	}
	reply.Checked = 1
	reply.Reason = differs(body.Receipt, &ev)
	reply.Valid = reply.Reason == ""
	return reply, nil
}

// differs says in what a receipt is not about an event; "" when in nothing.
func differs(r *codec.Receipt, ev *causal.Event) string {
	for _, check := range []struct {
		what      string
		same      bool
		got, want any
	}{
		{"lineage", r.Lineage == ev.Lineage, r.Lineage, ev.Lineage},
		{"sequence", r.Seq == ev.Seq, r.Seq, ev.Seq},
		{"version", r.Version == ev.Version, r.Version, ev.Version},
		{"hash", r.Hash == ev.Hash, r.Hash, ev.Hash},
		{"previous hash", r.Prev == ev.Prev, r.Prev, ev.Prev},
		{"time", r.Time == ev.Time.Millis && r.Tick == ev.Time.Tick,
			causal.HLC{Millis: r.Time, Tick: r.Tick}, ev.Time},
	} {
		if !check.same {
			return fmt.Sprintf("the event's %s is %v, not %v", check.what, check.want, check.got)
		}
	}
	return ""
}
