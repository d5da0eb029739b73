package projection

import (
	"container/list"

	"batpak/causal"
)

// heads remembers the last event of the streams that were seen most recently.
type heads struct {
	limit    int
	complete bool // began at event 1, and nothing was forgotten
	streams  map[causal.Stream]*list.Element
	recent   *list.List // of *streamHead, the most recent in front
}

type streamHead struct {
	stream causal.Stream
	head   causal.Head
}

func newHeads(limit int, complete bool) *heads {
	return &heads{limit: limit, complete: complete, streams: map[causal.Stream]*list.Element{}, recent: list.New()}
}

// follow checks that an event continues its stream, and makes it the stream's head. The error
// matches causal.ErrChain.
func (h *heads) follow(ev *causal.Event) error {
	stream := ev.Stream()
	e, ok := h.streams[stream]
	if !ok {
		if h.complete {
			if err := (causal.Head{}).Check(&ev.Header); err != nil {
				return err
			}
		}
		var last *streamHead
		if h.recent.Len() < h.limit {
			last = new(streamHead)
			e = h.recent.PushFront(last)
		} else { // the element that was used longest ago gets a new owner
			h.complete = false
			e = h.recent.Back()
			last = e.Value.(*streamHead)
			delete(h.streams, last.stream)
			h.recent.MoveToFront(e)
		}
		*last = streamHead{stream: stream, head: causal.Head{}.Next(&ev.Header, ev.Hash)}
		h.streams[stream] = e
		return nil
	}
	last := e.Value.(*streamHead)
	if err := last.head.Check(&ev.Header); err != nil {
		return err
	}
	last.head = last.head.Next(&ev.Header, ev.Hash)
	h.recent.MoveToFront(e)
	return nil
}
