package component

import (
	"errors"
	"log/slog"
	"strconv"
	"sync"

	"batpak/codec"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// replies holds buffers for encoded replies. The connection copies what is published, so a
// buffer goes back right after.
var replies = sync.Pool{New: func() any { return new([]byte) }}

// keptReply is the largest buffer, in bytes, that is kept for the next reply.
const keptReply = 256 << 10

// answer is the reply to a request that went well.
type answer struct {
	body codec.Body
	// shrink makes the body smaller, because it takes size bytes and a message has limit. It
	// returns an error when it cannot. Nil is for a body that is always small.
	shrink func(size, limit int) error
}

// respond publishes an answer, as much of it as fits a message.
func (n *Node) respond(req *request, a answer) {
	buf := replies.Get().(*[]byte)
	limit := n.maxMessage()
	out, err := codec.Marshal((*buf)[:0], req.format, a.body)
	for err == nil && len(out) > limit {
		if a.shrink == nil {
			err = &sizeError{reason: "the reply does not fit a message of the connection", limit: limit}
		} else if err = a.shrink(len(out), limit); err == nil {
			out, err = codec.Marshal(out[:0], req.format, a.body)
		}
	}
	if err != nil {
		n.refuse(req, err)
	} else {
		n.publish(req, out)
	}
	if cap(out) <= keptReply {
		*buf = out
		replies.Put(buf)
	}
}

// publish sends an encoded reply.
func (n *Node) publish(req *request, out []byte) {
	var err error
	if len(req.header) > 0 && len(req.header.Values(headerHLC)) > 0 {
		err = n.nc.PublishMsg(&nats.Msg{Subject: req.reply, Data: out, Header: nats.Header{headerHLC: []string{n.cfg.Clock.Now().String()}}})
	} else {
		err = n.nc.Publish(req.reply, out)
	}
	if err != nil {
		n.replyLost(req, err)
		return
	}
	req.ep.replies.Add(1)
}

// refuse publishes an error reply. It is counted by its code, not among the replies.
func (n *Node) refuse(req *request, err error) {
	body := errorReply(err)
	req.ep.refusals[codeNumber(body.Code)].Add(1)
	n.tell(req, err, body.Code)

	out, err := n.encodeRefusal(req.format, &body)
	if err != nil {
		n.replyLost(req, err)
		return
	}
	msg := &nats.Msg{Subject: req.reply, Data: out, Header: nats.Header{
		micro.ErrorHeader:     []string{body.Message},
		micro.ErrorCodeHeader: []string{strconv.Itoa(body.Code.Number())},
	}}
	if err := n.nc.PublishMsg(msg); err != nil {
		n.replyLost(req, err)
	}
}

// encodeRefusal leaves out details that cannot be written or that do not fit: first the events
// of a conflict, then what a gate gave, then all.
func (n *Node) encodeRefusal(format codec.Format, body *codec.ErrorReply) ([]byte, error) {
	for {
		out, err := codec.Marshal(nil, format, body)
		switch {
		case err == nil && len(out)+headerRoom <= n.maxMessage():
			return out, nil
		case len(body.Details) == 0:
			if err == nil {
				err = errors.New("component: an error does not fit a message of the connection")
			}
			return nil, err
		case conflictEvents(body) > 0:
			body.Details["events"] = codec.Envelopes{}
		case keepOwn(body.Details):
		default:
			body.Details = nil
		}
	}
}

// keepOwn removes all details but those of the protocol, and says whether there were others.
func keepOwn(details map[string]any) (removed bool) {
	for k := range details {
		switch k {
		case "code", "seq", "version", "events", "limit", "retry_after_ms":
		default:
			delete(details, k)
			removed = true
		}
	}
	return removed
}

func conflictEvents(body *codec.ErrorReply) int {
	events, _ := body.Details["events"].(codec.Envelopes)
	return len(events)
}

// headerRoom is what the headers of an error reply take at most, in bytes.
const headerRoom = maxMessage + 128

// maxMessage is the size in bytes that the connection's server takes now.
func (n *Node) maxMessage() int { return int(n.nc.MaxPayload()) }

func (n *Node) replyLost(req *request, err error) {
	req.ep.lost.Add(1)
	n.log.Debug("reply could not be sent", slog.String("endpoint", req.ep.name), slog.Any("error", err))
}
