package component

import (
	"batpak/codec"

	"github.com/nats-io/nats.go/micro"
)

func (n *Node) serveStatus(req request) (goesOn bool) {
	var body codec.StatusRequest
	if err := codec.Unmarshal(req.body, req.format, &body); err != nil {
		n.refuse(&req, err)
		return false
	}
	status := n.Status()
	n.respond(&req, answer{body: &status})
	return false
}

// Status says how the node is.
func (n *Node) Status() codec.Status {
	stats := n.journal.Stats()
	s := codec.Status{
		Journal:  n.journal.Name(),
		Lineage:  n.journal.Lineage(),
		State:    codec.NodeServing,
		Head:     stats.Head,
		Durable:  stats.Durable,
		Segments: uint64(stats.Segments),
		Bytes:    uint64(stats.Bytes),
		Streams:  uint64(stats.Streams),
		Keys:     uint64(stats.Keys),
		Wrapped:  n.journal.KeyMethod(),
		Gates:    n.journal.GateNames(),
		Signer:   n.journal.Signer(),
		Version:  n.cfg.Version,
	}
	if n.relay != nil {
		s.Published = n.relay.Published()
	}
	switch {
	case n.state.Load() != stateServing:
		s.State = codec.NodeDraining
	case n.journal.Poisoned() != nil:
		s.State = codec.NodePoisoned
	}
	return s
}

// EndpointStats is what the service's statistics say of an endpoint under "data". The service's
// own count of errors is of what happened before the handler returned; these count every reply.
type EndpointStats struct {
	Replies uint64                `json:"replies"`           // that were not errors
	Errors  map[codec.Code]uint64 `json:"errors"`            // error replies, by code
	Ignored uint64                `json:"ignored,omitempty"` // requests without a usable reply subject
	Lost    uint64                `json:"lost,omitempty"`    // replies that could not be sent
}

// statsOf is the service's StatsHandler.
func (n *Node) statsOf(e *micro.Endpoint) any {
	for _, ep := range n.endpoints {
		if ep.name == e.Name {
			return ep.stats()
		}
	}
	return nil
}

func (ep *endpoint) stats() EndpointStats {
	s := EndpointStats{
		Replies: ep.replies.Load(), Ignored: ep.unasked.Load(), Lost: ep.lost.Load(),
		Errors: map[codec.Code]uint64{},
	}
	for i := range ep.refusals {
		if count := ep.refusals[i].Load(); count > 0 {
			s.Errors[codeNumbers[i]] = count
		}
	}
	return s
}
