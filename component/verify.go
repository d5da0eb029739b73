package component

import (
	"context"
	"errors"

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
	reply.Reason = body.Receipt.Differs(&ev)
	reply.Valid = reply.Reason == ""
	return reply, nil
}
