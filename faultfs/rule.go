package faultfs

import (
	"fmt"
	"io"
	"path"
	"syscall"
	"time"
)

// Rule says which operations an effect happens to.
//
// A rule counts the operations that match On and Name, from when it is added to
// the injector. Operations that another rule failed are counted too.
type Rule struct {
	// On is the set of operations that the rule looks at. One operation
	// matches when it shares a bit with the set.
	On Op

	// Name is a pattern as of path.Match for the whole name; "" matches any. A
	// rename matches by either of its names. While a pattern that is not well
	// formed is in place, every operation in On fails with path.ErrBadPattern.
	Name string

	// Nth is the one matching operation that is meant, from 1. 0 means every.
	Nth int

	// Sticky means the Nth and all after it.
	Sticky bool

	// Do is what happens. The zero Effect is nothing at all.
	Do Effect
}

func (r *Rule) matches(c *Call) (bool, error) {
	if r.On&c.Op == 0 {
		return false, nil
	}
	if r.Name == "" {
		return true, nil
	}
	ok, err := path.Match(r.Name, c.Name)
	if !ok && err == nil && c.To != "" {
		ok, err = path.Match(r.Name, c.To)
	}
	return ok, err
}

func (r *Rule) fires(count int) bool {
	return r.Nth == 0 || count == r.Nth || r.Sticky && count > r.Nth
}

// Effect is what happens to an operation: [Fail], [Short], [Delay] or [Block].
//
// When several rules fire for one operation, their effects happen in the order
// in which the rules were added: waits add up, and the first Fail or Short
// decides the outcome.
type Effect struct {
	kind  effectKind
	err   error
	n     int
	delay time.Duration
	until <-chan struct{}
}

type effectKind uint8

const (
	nothing effectKind = iota
	fail
	short
	delay
	block
)

// Fail makes the operation return err and do nothing. The error comes in an
// [io/fs.PathError], as a real one does. Fail(nil) is Fail(syscall.EIO).
func Fail(err error) Effect {
	if err == nil {
		err = syscall.EIO
	}
	return Effect{kind: fail, err: err}
}

// Short makes the operation do its first n bytes only. One that is not longer
// than n is not affected.
//
// A write or an allocation that is cut fails with an error that is both
// io.ErrShortWrite and syscall.ENOSPC, and ReadAt with io.ErrUnexpectedEOF. Read
// returns n bytes and no error, which a file may always do, except that for n of
// 0 it returns io.ErrUnexpectedEOF. An operation that has no length fails with
// syscall.ENOSPC.
func Short(n int) Effect { return Effect{kind: short, n: max(n, 0)} }

// Delay makes the operation wait before it happens. In a testing/synctest bubble
// that takes no real time.
func Delay(d time.Duration) Effect { return Effect{kind: delay, delay: d} }

// Block makes the operation wait, before it happens, until ch is closed or has
// been received from.
func Block(ch <-chan struct{}) Effect { return Effect{kind: block, until: ch} }

// errCut is the error of a write that was cut.
var errCut = fmt.Errorf("%w: %w", io.ErrShortWrite, syscall.ENOSPC)
