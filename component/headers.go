package component

import (
	"strconv"
	"strings"

	"batpak/causal"
	"batpak/codec"

	"github.com/nats-io/nats.go/micro"
)

// Headers of a request that say what its body can say too, besides Content-Type.
const (
	headerKey         = "Nats-Msg-Id"
	headerExpect      = "Batpak-Expected-Version"
	headerExpectSeq   = "Nats-Expected-Last-Subject-Sequence"
	headerTraceparent = "traceparent"
)

// headerHLC has a reading of the sender's clock. In a request, what the request does comes later than that; a reply to
// such a request has the node's.
const headerHLC = "Batpak-HLC"

// observe takes in the clock that a request came with.
func (n *Node) observe(h micro.Headers) error {
	text, there, err := headerValue(h, headerHLC)
	if err != nil || !there {
		return err
	}
	remote, err := causal.ParseHLC(text)
	if err != nil {
		return &invalidError{"the header " + headerHLC + " is not milliseconds, a dot and ticks"}
	}
	if _, err := n.cfg.Clock.Observe(remote); err != nil {
		return &invalidError{"the header " + headerHLC + ": " + err.Error()}
	}
	return nil
}

// keyOf returns the idempotency key that the header and the body agree on.
func keyOf(h micro.Headers, body string) (string, error) {
	key, there, err := headerValue(h, headerKey)
	switch {
	case err != nil:
		return "", err
	case !there:
		return body, nil
	case body != "" && body != key:
		return "", &invalidError{"the header " + headerKey + " and the body's key differ"}
	}
	if err := causal.CheckName("the header "+headerKey, key); err != nil {
		return "", err
	}
	return key, nil
}

// expectOf returns the number that the header and the body agree on.
func expectOf(h micro.Headers, name string, body *uint64) (*uint64, error) {
	text, there, err := headerValue(h, name)
	if err != nil || !there {
		return body, err
	}
	v, err := strconv.ParseUint(text, 10, 64)
	switch {
	case err != nil:
		return nil, &invalidError{"the header " + name + " is not a number"}
	case body != nil && *body != v:
		return nil, &invalidError{"the header " + name + " and the body's expect differ"}
	}
	return &v, nil
}

// headerValue returns the one value of a header.
func headerValue(h micro.Headers, name string) (value string, there bool, err error) {
	switch values := h.Values(name); len(values) {
	case 0:
		return "", false, nil
	case 1:
		return values[0], true, nil
	default:
		return "", false, &invalidError{"the header " + name + " is there more than once"}
	}
}

// traceOf returns the request's trace context, "" when there is none or when it is nothing to
// keep. Tracing never fails a request.
func traceOf(h micro.Headers) string {
	v := h.Get(headerTraceparent)
	if v == "" {
		v = h.Get("Traceparent") // as libraries for HTTP write it
	}
	if !codec.ValidTraceparent(v) {
		return ""
	}
	return v
}

// withTrace puts the request's trace context into meta, unless meta names one itself: what is
// said of one event comes before what is said of the request that carried it. It is left out when meta
// has no room for it.
func withTrace(meta map[string]string, trace string) map[string]string {
	if trace == "" {
		return meta
	}
	if _, there := meta[codec.MetaTraceparent]; there || len(meta) >= codec.MaxMeta {
		return meta
	}
	size := len(codec.MetaTraceparent) + len(trace)
	for k, v := range meta {
		size += len(k) + len(v)
	}
	if size > codec.MaxMetaBytes {
		return meta
	}
	if meta == nil {
		meta = make(map[string]string, 1)
	}
	meta[codec.MetaTraceparent] = trace
	return meta
}

// formatOf returns the format that the request's header asks for: JSON when its content type is
// that, with parameters or not, in any case.
func formatOf(h micro.Headers) codec.Format {
	v := h.Get("Content-Type")
	if v == "" {
		for key, values := range h {
			if len(values) > 0 && strings.EqualFold(key, "Content-Type") {
				v = values[0]
			}
		}
	}
	media, _, _ := strings.Cut(v, ";")
	if strings.EqualFold(strings.TrimSpace(media), "application/json") {
		return codec.JSON
	}
	return codec.Msgpack
}
