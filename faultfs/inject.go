package faultfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Injector is an FS that passes operations on to another, subject to rules. It
// is safe for concurrent use, and so are the files it opens, as far as those of
// the other FS are. Close and Stat are passed on without being looked at, except
// that a file on which something is [Late] is closed after that.
type Injector struct {
	fsys   FS
	before func(Call)
	sites  bool

	mu    sync.Mutex // guards what follows; not held while an operation runs or waits
	rules []*counted
	trace []Call
	late  []late // done after the next change
}

// late is an operation that was not done in its time, or the close of a file that has
// to wait for one, and then the call has no Op. File is the one that it is on, if any.
type late struct {
	file *injectedFile
	call Call
	do   func() error
}

type counted struct {
	Rule
	count int
}

// Inject wraps fsys. Files that were opened through the injector stay subject to
// rules that are added later. The trace keeps every operation for as long as the
// injector lives, about 90 bytes each.
func Inject(fsys FS, rules ...Rule) *Injector {
	in := &Injector{fsys: fsys}
	in.Add(rules...)
	return in
}

// Before calls f at the start of every operation, ahead of the rules, in the
// goroutine that asked for it, and once more when one is done that was [Late].
// Operations may run concurrently; f may hold one up. It is set before the first
// operation.
func (in *Injector) Before(f func(Call)) { in.before = f }

// NoteSites makes the trace have the place in the program that each operation was
// asked for from, which takes some microseconds. It is set before the first
// operation.
func (in *Injector) NoteSites() { in.sites = true }

// Add adds rules after those there are. They count from now.
func (in *Injector) Add(rules ...Rule) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, r := range rules {
		in.rules = append(in.rules, &counted{Rule: r})
	}
}

// Clear takes away all rules. Operations that wait under one go on waiting. The
// trace stays.
func (in *Injector) Clear() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.rules = nil
}

// Count is how many operations in the set were asked for since Inject, those
// that failed or still wait included.
func (in *Injector) Count(ops Op) int {
	in.mu.Lock()
	defer in.mu.Unlock()
	n := 0
	for i := range in.trace {
		if in.trace[i].Op&ops != 0 {
			n++
		}
	}
	return n
}

// Trace is a copy of every operation since Inject, in the order in which they
// were asked for.
func (in *Injector) Trace() []Call {
	in.mu.Lock()
	defer in.mu.Unlock()
	return slices.Clone(in.trace)
}

// outcome is what the rules make of an operation.
type outcome struct {
	effect Effect // the one that decides; of kind effectNone when the operation just happens
	n      int64  // bytes to do
	cut    error  // not nil when n is less than was asked for
	err    error  // takes the operation's place
}

// begin notes the call and lets the rules happen to it, of which those with kinds
// in can are done by the caller.
func (in *Injector) begin(c Call, can ...effectKind) outcome {
	if in.sites {
		c.Site = site()
	}
	if in.before != nil {
		in.before(c)
	}
	fails := func(err error) outcome {
		return outcome{err: &fs.PathError{Op: c.Op.String(), Path: c.Name, Err: err}}
	}
	effects, err := in.fired(c)
	if err != nil {
		return fails(err)
	}
	for _, e := range effects {
		switch e.kind {
		case effectNone:
		case effectDelay:
			time.Sleep(e.delay)
		case effectBlock:
			<-e.until
		case effectFail:
			return fails(e.err)
		case effectShort:
			if !slices.Contains(can, effectShort) {
				return fails(syscall.ENOSPC)
			}
			if e.n < c.Len {
				return outcome{n: e.n, cut: errCut}
			}
		default:
			if !slices.Contains(can, e.kind) {
				return fails(errors.ErrUnsupported)
			}
			return outcome{effect: e, n: c.Len}
		}
	}
	return outcome{n: c.Len}
}

func (in *Injector) fired(c Call) ([]Effect, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.trace = append(in.trace, c)
	var effects []Effect
	for _, r := range in.rules {
		ok, err := r.matches(&c)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		r.count++
		if r.fires(r.count) {
			effects = append(effects, r.Do)
		}
	}
	return effects, nil
}

// change does an operation that changes something, as a whole or not at all. Those
// that were late are done after it. failSync is what it does under FailSync, nil
// when it is no sync.
func (in *Injector) change(c Call, do, failSync func() error) error {
	return in.changeFile(nil, c, do, failSync)
}

// changeFile is change of an open file.
func (in *Injector) changeFile(f *injectedFile, c Call, do, failSync func() error) error {
	can := []effectKind{effectLie, effectLate, effectFailSync}
	if failSync == nil {
		can = can[:2]
	}
	o := in.begin(c, can...)
	if o.err != nil {
		return o.err
	}
	switch o.effect.kind {
	case effectLie:
		return nil
	case effectLate:
		in.postpone(f, c, do)
		return nil
	case effectFailSync:
		return failSync()
	}
	if c.Op&OpChange != 0 {
		defer in.catchUp()()
	}
	return do()
}

func (in *Injector) postpone(f *injectedFile, c Call, do func() error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.late = append(in.late, late{f, c, do})
}

// catchUp takes the operations that are late, for the caller to do. They have
// said yes long ago, so nobody is told how they ended.
func (in *Injector) catchUp() (do func()) {
	in.mu.Lock()
	late := in.late
	in.late = nil
	in.mu.Unlock()
	return func() {
		for _, l := range late {
			if in.before != nil && l.call.Op != 0 {
				in.before(l.call)
			}
			_ = l.do()
		}
	}
}

// Open opens a file or folder for reading.
func (in *Injector) Open(name string) (fs.File, error) {
	if o := in.begin(Call{Op: OpOpen, Name: name}); o.err != nil {
		return nil, o.err
	}
	f, err := in.fsys.Open(name)
	if err != nil {
		return nil, err
	}
	return &injectedReader{File: f, in: in, name: name}, nil
}

// OpenFile opens a file.
func (in *Injector) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	op := OpOpen
	if flag&os.O_CREATE != 0 {
		op |= OpCreate
	}
	o := in.begin(Call{Op: op, Name: name}, effectQuota)
	if o.err == nil && o.effect.kind == effectQuota {
		o.err = in.roomForName(o.effect, op, name)
	}
	if o.err != nil {
		return nil, o.err
	}
	if flag&os.O_CREATE != 0 {
		defer in.catchUp()()
	}
	f, err := in.fsys.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &injectedFile{injectedReader: injectedReader{File: f, in: in, name: name}, file: f}, nil
}

// room is how many more bytes a quota allows, and an error when it is fewer than
// are asked for.
func (in *Injector) room(e Effect, op Op, name string, more int64) (int64, error) {
	fails := func(err error) error { return &fs.PathError{Op: op.String(), Path: name, Err: err} }
	disk, ok := in.fsys.(interface{ Used() int64 })
	if !ok {
		return 0, fails(errors.ErrUnsupported)
	}
	left := max(e.n-disk.Used(), 0)
	if more > left {
		return left, fails(syscall.EDQUOT)
	}
	return left, nil
}

// roomForName is the error of making a file, if it is one that is made.
func (in *Injector) roomForName(e Effect, op Op, name string) error {
	more := int64(0)
	if _, err := fs.Stat(in.fsys, name); op&OpCreate != 0 && errors.Is(err, fs.ErrNotExist) {
		more = 1
	}
	_, err := in.room(e, op, name, more)
	return err
}

// ReadDir lists a folder.
func (in *Injector) ReadDir(name string) ([]fs.DirEntry, error) {
	if o := in.begin(Call{Op: OpReadDir, Name: name}); o.err != nil {
		return nil, o.err
	}
	return in.fsys.ReadDir(name)
}

// Rename renames a file.
func (in *Injector) Rename(oldname, newname string) error {
	return in.change(Call{Op: OpRename, Name: oldname, To: newname}, func() error { return in.fsys.Rename(oldname, newname) }, nil)
}

// Remove removes a file or an empty folder.
func (in *Injector) Remove(name string) error {
	return in.change(Call{Op: OpRemove, Name: name}, func() error { return in.fsys.Remove(name) }, nil)
}

// Mkdir makes a folder.
func (in *Injector) Mkdir(name string, perm fs.FileMode) error {
	return in.change(Call{Op: OpMkdir, Name: name}, func() error { return in.fsys.Mkdir(name, perm) }, nil)
}

// SyncDir makes a folder's names durable.
func (in *Injector) SyncDir(name string) error {
	return in.change(Call{Op: OpSyncDir, Name: name}, func() error { return in.fsys.SyncDir(name) }, func() error {
		return &fs.PathError{Op: OpSyncDir.String(), Path: name, Err: syscall.EIO}
	})
}

// Lock takes a lock. Releasing it is not an operation that rules see.
func (in *Injector) Lock(name string) (io.Closer, error) {
	if o := in.begin(Call{Op: OpLock, Name: name}); o.err != nil {
		return nil, o.err
	}
	defer in.catchUp()() // the file may be made
	return in.fsys.Lock(name)
}
