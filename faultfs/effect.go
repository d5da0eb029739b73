package faultfs

import (
	"fmt"
	"io"
	"syscall"
	"time"
)

// Effect is what happens to an operation. When several rules fire for one
// operation, their effects happen in the order in which the rules were added:
// waits add up, and the first that is no wait decides the outcome.
//
// An effect that an operation cannot have makes it fail with
// errors.ErrUnsupported, so that a rule that does nothing is noticed.
type Effect struct {
	kind  effectKind
	err   error
	n     int64
	mask  byte
	delay time.Duration
	until <-chan struct{}
}

type effectKind uint8

const (
	effectNone effectKind = iota
	effectFail
	effectShort
	effectDelay
	effectBlock
	effectLie
	effectLate
	effectFailSync
	effectFlip
	effectStale
	effectQuota
)

var effectNames = [...]string{"nothing", "fail", "short", "delay", "block", "lie", "late", "fail sync", "flip", "stale", "quota"}

// String is for people, such as "fail: input/output error".
func (e Effect) String() string {
	s := effectNames[e.kind]
	switch e.kind {
	case effectFail:
		s += ": " + e.err.Error()
	case effectShort, effectQuota:
		s += fmt.Sprintf(" %d", e.n)
	case effectDelay:
		s += " " + e.delay.String()
	case effectFlip:
		s += fmt.Sprintf(" %#02x", e.mask)
	}
	return s
}

// Fail makes the operation return err and do nothing. The error comes in an
// [io/fs.PathError], as a real one does. Fail(nil) is Fail(syscall.EIO).
func Fail(err error) Effect {
	if err == nil {
		err = syscall.EIO
	}
	return Effect{kind: effectFail, err: err}
}

// Short makes the operation do its first n bytes only. One that is not longer
// than n is not affected.
//
// A write or an allocation that is cut fails with an error that is both
// io.ErrShortWrite and syscall.ENOSPC, and ReadAt with io.ErrUnexpectedEOF. Read
// returns n bytes and no error, which a file may always do, except that for n of
// 0 it returns io.ErrUnexpectedEOF. An operation that has no length fails with
// syscall.ENOSPC.
func Short(n int) Effect { return Effect{kind: effectShort, n: int64(max(n, 0))} }

// Delay makes the operation wait before it happens. In a testing/synctest bubble
// that takes no real time.
func Delay(d time.Duration) Effect { return Effect{kind: effectDelay, delay: d} }

// Block makes the operation wait, before it happens, until ch is closed or has
// been received from.
func Block(ch <-chan struct{}) Effect { return Effect{kind: effectBlock, until: ch} }

// Lie makes the operation return as if it had been done, and do nothing: a sync
// that leaves everything in the cache, a rename or a write that is skipped. It is
// for operations that give nothing back but an error, and for WriteAt, but not for
// ReadAt, Read and what opens or locks.
func Lie() Effect { return Effect{kind: effectLie} }

// Late makes the operation return as if it had been done, and be done right after
// the next one that changes something: the two are swapped. It is for the
// operations that Lie is for.
func Late() Effect { return Effect{kind: effectLate} }

// FailSync makes a sync of a file fail with EIO, and lose what it was about: on a
// [Mount] as its [Model] says, for most that the next sync says yes and the bytes
// are gone after a loss of power. Over another FS, and for SyncDir, the sync is not
// done.
func FailSync() Effect { return Effect{kind: effectFailSync} }

// Flip makes a read return its first byte with the bits of mask flipped. What is
// on the disk stays. A mask of 0 is 1.
func Flip(mask byte) Effect {
	if mask == 0 {
		mask = 1
	}
	return Effect{kind: effectFlip, mask: mask}
}

// Stale makes ReadAt on a file of a [Mount] return what was durable, and not what
// was written since: a cache that was dropped, or a write that went nowhere.
func Stale() Effect { return Effect{kind: effectStale} }

// Quota makes an operation fail that would make the files of a [Mount] have more
// than so many bytes in all, with EDQUOT. A write or an allocation does what still
// fits. A new file needs room for one byte, and does not take it. It is for OpCreate,
// WriteAt and Allocate.
func Quota(bytes int64) Effect { return Effect{kind: effectQuota, n: max(bytes, 0)} }

// errCut is the error of a write that was cut.
var errCut = fmt.Errorf("%w: %w", io.ErrShortWrite, syscall.ENOSPC)

// errOverQuota is the error of a write that was cut by a quota.
var errOverQuota = fmt.Errorf("%w: %w", io.ErrShortWrite, syscall.EDQUOT)
