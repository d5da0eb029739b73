package faulttest

import (
	"syscall"

	"batpak/faultfs"
)

// growing is the operations that need room on the disk.
const growing = faultfs.OpCreate | faultfs.OpWrite | faultfs.OpAllocate | faultfs.OpMkdir

// faults is every single thing that goes wrong with an operation of a run, the
// n-th from 1.
func (o *Options) faults(calls []faultfs.Call, n int) []faultfs.Rule {
	c := calls[n-1]
	once := func(effects ...faultfs.Effect) (rules []faultfs.Rule) {
		for _, e := range effects {
			rules = append(rules, faultfs.Rule{On: faultfs.OpAny, Nth: n, Do: e})
		}
		return rules
	}
	half := faultfs.Short(int(c.Len / 2))
	eio, enospc, edquot := faultfs.Fail(syscall.EIO), faultfs.Fail(syscall.ENOSPC), faultfs.Fail(syscall.EDQUOT)
	switch {
	case c.Op&faultfs.OpWrite != 0:
		return append(once(eio, faultfs.Short(0), faultfs.Short(1), half), full(calls, n))
	case c.Op&faultfs.OpAllocate != 0:
		return append(once(enospc, edquot, eio, half), full(calls, n))
	case c.Op&(faultfs.OpSync|faultfs.OpSyncData|faultfs.OpSyncDir) != 0:
		return once(faultfs.FailSync(), eio)
	case c.Op&faultfs.OpReadAt != 0:
		if o.GoodReads {
			return once(eio, half)
		}
		return once(eio, half, faultfs.Flip(0x10), faultfs.Stale())
	case c.Op&faultfs.OpRead != 0:
		if o.GoodReads {
			return once(eio)
		}
		return once(eio, faultfs.Flip(0x10))
	case c.Op&(faultfs.OpCreate|faultfs.OpRename|faultfs.OpRemove|faultfs.OpMkdir|faultfs.OpTruncate) != 0:
		return once(eio, enospc)
	}
	return once(eio)
}

// full is a disk that has no room any more from the n-th operation on.
func full(calls []faultfs.Call, n int) faultfs.Rule {
	nth := 0
	for _, c := range calls[:n] {
		if c.Op&growing != 0 {
			nth++
		}
	}
	return faultfs.Rule{On: growing, Nth: nth, Sticky: true, Do: faultfs.Fail(syscall.ENOSPC)}
}
