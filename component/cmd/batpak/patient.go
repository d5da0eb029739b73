package main

import (
	"context"
	"io"
)

// patient reads from somewhere that may not answer for long, and gives up with its context.
type patient struct {
	ctx context.Context
	r   io.Reader
}

type piece struct {
	b   []byte
	err error
}

// Read waits in a goroutine of its own, which outlives it when the context ends: until there is something to
// read, or the process ends.
func (p *patient) Read(b []byte) (int, error) {
	got := make(chan piece, 1)
	own := make([]byte, min(len(b), 256<<10))
	go func() {
		n, err := p.r.Read(own)
		got <- piece{own[:n], err}
	}()
	select {
	case g := <-got:
		return copy(b, g.b), g.err
	case <-p.ctx.Done():
		return 0, p.ctx.Err()
	}
}

func isTerminal(stream any) bool {
	_, ok := terminal(stream)
	return ok
}
