package component

import (
	"context"
	"errors"
	"fmt"
	"runtime"

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

// verifyWorkers is how many goroutines decode and hash for one verification: as many as leave a core to appends when
// maxVerifies of them run, and one at least, which with four cores and fewer may be all of them.
func verifyWorkers() int { return max(1, (runtime.GOMAXPROCS(0)-1)/maxVerifies) }

// verifyRange checks hashes, chains and signatures of the events from body.From to body.To.
func (n *Node) verifyRange(ctx context.Context, body *codec.VerifyRequest) (codec.VerifyReply, error) {
	found, err := n.journal.VerifyWith(ctx, journal.VerifyOptions{From: body.From, To: body.To, Workers: verifyWorkers()})
	reply := codec.VerifyReply{Valid: err == nil, Checked: found.Checked, Head: found.Head, Hash: found.Hash,
		Bytes: found.Bytes, Signed: found.Signed, Signers: found.Signers}
	var broken *journal.VerifyError
	var damage *journal.DamageError
	switch {
	case errors.As(err, &broken), errors.As(err, &damage):
		reply.Reason, err = printable(err.Error()), nil
	}
	return reply, err
}

// verifyReceipt says whether the journal has the event that the receipt is about, as the receipt
// has it, and signed as its proof says.
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
	if reply.Reason == "" && body.Receipt.Proof != nil {
		reply.Reason, err = n.disproves(body.Receipt.Proof, &ev)
	}
	reply.Valid = reply.Reason == "" && err == nil
	return reply, err
}

// disproves says why a proof does not prove an event of the journal; "" when it does. The signer has to be the
// one that the log has, or anybody could sign.
func (n *Node) disproves(p *codec.Proof, ev *causal.Event) (string, error) {
	if err := p.Verify(ev.Lineage, ev.Seq, ev.Hash); err != nil {
		return printable(err.Error()), nil
	}
	own, err := n.journal.Proof(ev.Seq)
	switch {
	case err != nil:
		return "", err
	case own == nil:
		return "the event is not signed in the journal", nil
	case own.Signer != p.Signer:
		return fmt.Sprintf("the event is signed by %s, not by %s", own.Signer, p.Signer), nil
	}
	return "", nil
}
