package component

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync/atomic"

	"batpak/codec"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// endpoint is one endpoint of the service: one form of subject.
type endpoint struct {
	name string // of the endpoint in the service's info
	form string // of the subject behind "P.J."

	// serve begins a request and must not wait. It says whether the request goes on after it
	// returned; then whoever ends it calls Node.leave.
	serve func(n *Node, req request) (goesOn bool)

	// What may wait in the subscription, in messages and bytes. The handlers do not wait, so this
	// is a bound for the worst, and what is over it gets no reply.
	pendingMsgs, pendingBytes int

	intake bool // it appends, and so ends when a drain begins
	skip   int  // length of "P.J.name.", what is in front of the subject's own tokens

	replies  atomic.Uint64 // that were not errors
	refusals [numCodes]atomic.Uint64
	unasked  atomic.Uint64 // requests without a usable reply subject
	lost     atomic.Uint64 // replies that could not be sent
}

// request is what a node keeps of a request. The micro.Request itself is left behind when its
// handler returns: what it remembers of a reply is read right after, without a lock.
type request struct {
	ep     *endpoint
	tokens string // the subject behind "P.J.name."
	reply  string
	format codec.Format
	header micro.Headers
	body   []byte // nobody else's: each message has its own
}

// endpoints returns the node's endpoints, in the order of the protocol's page.
func endpoints() []*endpoint {
	const (
		many     = 64 << 10 // messages
		few      = 4 << 10
		manySize = 64 << 20 // bytes
		fewSize  = 4 << 20
	)
	return []*endpoint{
		{name: "append", form: "append.*.*", serve: (*Node).serveAppend, intake: true, pendingMsgs: many, pendingBytes: manySize},
		{name: "batch", form: "batch", serve: (*Node).serveBatch, intake: true, pendingMsgs: few, pendingBytes: manySize},
		{name: "batch-scope", form: "batch.*", serve: (*Node).serveBatch, intake: true, pendingMsgs: few, pendingBytes: manySize},
		{name: "head", form: "head.*.*", serve: (*Node).serveHead, pendingMsgs: many, pendingBytes: manySize},
		{name: "get", form: "get", serve: (*Node).serveGet, pendingMsgs: few, pendingBytes: fewSize},
		{name: "read", form: "read", serve: (*Node).serveRead, pendingMsgs: few, pendingBytes: fewSize},
		{name: "read-scope", form: "read.*", serve: (*Node).serveRead, pendingMsgs: few, pendingBytes: fewSize},
		{name: "open", form: "open", serve: (*Node).serveOpen, pendingMsgs: few, pendingBytes: fewSize},
		{name: "open-scope", form: "open.*", serve: (*Node).serveOpen, pendingMsgs: few, pendingBytes: fewSize},
		{name: "walk", form: "walk", serve: (*Node).serveWalk, pendingMsgs: few, pendingBytes: fewSize},
		{name: "graph", form: "graph", serve: (*Node).serveGraph, pendingMsgs: few, pendingBytes: fewSize},
		{name: "verify", form: "verify", serve: (*Node).serveVerify, pendingMsgs: few, pendingBytes: fewSize},
		{name: "shred", form: "shred", serve: (*Node).serveShred, intake: true, pendingMsgs: few, pendingBytes: fewSize},
		{name: "status", form: "status", serve: (*Node).serveStatus, pendingMsgs: few, pendingBytes: fewSize},
	}
}

// strays are the subjects of nobody's endpoint that still get an error instead of silence. They
// leave out what is deeper than the longest form under an unknown first token: a pattern for it
// would also match every append, or every event that goes onward. Requests to an endpoint that
// match "*" or "*.*" too come twice, and the stray handler lets them go; appends never do.
var strays = []string{"*", "*.*", "append.*.*.>", "head.*.*.>",
	"batch.*.>", "get.*.>", "read.*.>", "open.*.>", "walk.*.>", "graph.*.>", "verify.*.>", "shred.*.>", "status.*.>"}

// register adds the endpoints to the service, and the subscriptions for strays.
func (n *Node) register() error {
	base := n.subject("")
	for _, ep := range n.endpoints {
		first, _, _ := strings.Cut(ep.form, ".")
		ep.skip = len(base) + len(first) + 1
		err := n.service.AddEndpoint(ep.name, n.handler(ep),
			micro.WithEndpointSubject(base+ep.form),
			micro.WithEndpointPendingLimits(ep.pendingMsgs, ep.pendingBytes))
		if err != nil {
			return fmt.Errorf("component: endpoint %s: %w", ep.name, err)
		}
	}
	for _, form := range strays {
		sub, err := n.nc.Subscribe(base+form, func(m *nats.Msg) { n.stray(m, len(base)) })
		if err != nil {
			return fmt.Errorf("component: subscribe to %s: %w", base+form, err)
		}
		n.strays = append(n.strays, sub)
		if err := sub.SetPendingLimits(4<<10, 64<<20); err != nil {
			return fmt.Errorf("component: limit %s: %w", base+form, err)
		}
	}
	return nil
}

// handler makes an endpoint's handler. It is called on the goroutine of the endpoint's
// subscription, for one request after the other.
func (n *Node) handler(ep *endpoint) micro.HandlerFunc {
	return func(r micro.Request) {
		req := request{ep: ep, reply: r.Reply(), header: r.Headers(), body: r.Data()}
		if !n.usableReply(&req, r.Subject()) {
			return
		}
		if subject := r.Subject(); len(subject) > ep.skip {
			req.tokens = subject[ep.skip:]
		}
		if len(req.header) > 0 {
			req.format = formatOf(req.header)
		}
		if !n.enter(ep) {
			n.refuse(&req, errDraining)
			return
		}
		goesOn := false
		defer func() {
			if v := recover(); v != nil {
				n.panicked(&req, v)
			}
			if !goesOn {
				n.leave(ep)
			}
		}()
		goesOn = ep.serve(n, req)
	}
}

// usableReply says whether the request names a subject that a reply may go to. A request that
// does not is not worked on, because nobody could learn what became of it. The subjects of the
// nodes and of the server itself are not usable: whoever may only append could otherwise make
// the node publish where he may not, into the onward stream for one.
func (n *Node) usableReply(req *request, subject string) bool {
	if req.reply != "" && req.reply[0] != '$' && !strings.HasPrefix(req.reply, n.ownSubjects) {
		return true
	}
	req.ep.unasked.Add(1)
	n.log.Debug("request without a usable reply subject is ignored",
		slog.String("subject", subject), slog.String("reply", req.reply))
	return false
}

// stray answers a request to no endpoint.
func (n *Node) stray(m *nats.Msg, skip int) {
	ours, deeper, _ := strings.Cut(m.Subject[skip:], ".")
	if m.Subject[skip:] == headsToken && m.Reply == "" {
		return // the node's own
	}
	for _, ep := range n.endpoints {
		first, rest, _ := strings.Cut(ep.form, ".")
		if first == ours && strings.Count(rest, "*") == tokens(deeper) {
			return // the endpoint's own subscription has it too
		}
	}
	req := request{ep: n.unknown, reply: m.Reply}
	if !n.usableReply(&req, m.Subject) {
		return
	}
	if len(m.Header) > 0 {
		req.format = formatOf(micro.Headers(m.Header))
	}
	n.refuse(&req, &invalidError{"unknown endpoint: " + printable(m.Subject[skip:])})
}

// tokens counts the tokens of a subject or a part of one.
func tokens(s string) int {
	if s == "" {
		return 0
	}
	return strings.Count(s, ".") + 1
}

// inBackground works on a request in a goroutine of its own, which ends with the reply. There
// are as many as slots has room for; beyond that the request is refused.
func (n *Node) inBackground(slots chan struct{}, req request, work func(ctx context.Context, req *request) (answer, error)) (goesOn bool) {
	select {
	case slots <- struct{}{}:
	default:
		n.refuse(&req, errBusy)
		return false
	}
	kept := req // not req itself, which would then be on the heap for every request
	go func() {
		defer n.leave(kept.ep)
		defer func() { <-slots }()
		defer func() {
			if v := recover(); v != nil {
				n.panicked(&kept, v)
			}
		}()
		a, err := work(n.ctx, &kept)
		if err != nil {
			n.refuse(&kept, err)
			return
		}
		n.respond(&kept, a)
	}()
	return true
}

// panicked answers a request whose handler panicked.
func (n *Node) panicked(req *request, v any) {
	n.log.Error("handler panicked", slog.String("endpoint", req.ep.name),
		slog.String("panic", fmt.Sprintf("%T: %v", v, v)), slog.String("stack", string(debug.Stack())))
	n.refuse(req, errDefect)
}
