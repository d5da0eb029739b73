package faultfs

import (
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
// the other FS are. Close and Stat are passed on without being looked at.
type Injector struct {
	fsys FS

	mu    sync.Mutex // guards what follows; not held while an operation runs or waits
	rules []*counted
	trace []Call
}

type counted struct {
	Rule
	count int
}

// Inject wraps fsys. Files that were opened through the injector stay subject to
// rules that are added later. The trace keeps every operation for as long as the
// injector lives, about 70 bytes each.
func Inject(fsys FS, rules ...Rule) *Injector {
	in := &Injector{fsys: fsys}
	in.Add(rules...)
	return in
}

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

// begin notes the call and lets the rules happen to it. It returns how many
// bytes of the call are to be done, all of them in the normal case, and whether
// that is a cut; or the error that takes the call's place.
func (in *Injector) begin(c Call) (n int64, cut bool, err error) {
	effects, err := in.fired(c)
	if err != nil {
		return 0, false, &fs.PathError{Op: c.Op.String(), Path: c.Name, Err: err}
	}
	for _, e := range effects {
		switch e.kind {
		case delay:
			time.Sleep(e.delay)
		case block:
			<-e.until
		case fail:
			return 0, false, &fs.PathError{Op: c.Op.String(), Path: c.Name, Err: e.err}
		case short:
			if c.Op&(OpRead|OpReadAt|OpWrite|OpAllocate) == 0 {
				return 0, false, &fs.PathError{Op: c.Op.String(), Path: c.Name, Err: syscall.ENOSPC}
			}
			if int64(e.n) < c.Len {
				return int64(e.n), true, nil
			}
		}
	}
	return c.Len, false, nil
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

// whole is begin for a call that is done as a whole or not at all.
func (in *Injector) whole(c Call) error {
	_, _, err := in.begin(c)
	return err
}

// Open opens a file or folder for reading.
func (in *Injector) Open(name string) (fs.File, error) {
	if err := in.whole(Call{Op: OpOpen, Name: name}); err != nil {
		return nil, err
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
	if err := in.whole(Call{Op: op, Name: name}); err != nil {
		return nil, err
	}
	f, err := in.fsys.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &injectedFile{injectedReader: injectedReader{File: f, in: in, name: name}, file: f}, nil
}

// ReadDir lists a folder.
func (in *Injector) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := in.whole(Call{Op: OpReadDir, Name: name}); err != nil {
		return nil, err
	}
	return in.fsys.ReadDir(name)
}

// Rename renames a file.
func (in *Injector) Rename(oldname, newname string) error {
	if err := in.whole(Call{Op: OpRename, Name: oldname, To: newname}); err != nil {
		return err
	}
	return in.fsys.Rename(oldname, newname)
}

// Remove removes a file or an empty folder.
func (in *Injector) Remove(name string) error {
	if err := in.whole(Call{Op: OpRemove, Name: name}); err != nil {
		return err
	}
	return in.fsys.Remove(name)
}

// Mkdir makes a folder.
func (in *Injector) Mkdir(name string, perm fs.FileMode) error {
	if err := in.whole(Call{Op: OpMkdir, Name: name}); err != nil {
		return err
	}
	return in.fsys.Mkdir(name, perm)
}

// SyncDir makes a folder's names durable.
func (in *Injector) SyncDir(name string) error {
	if err := in.whole(Call{Op: OpSyncDir, Name: name}); err != nil {
		return err
	}
	return in.fsys.SyncDir(name)
}

// Lock takes a lock. Releasing it is not an operation that rules see.
func (in *Injector) Lock(name string) (io.Closer, error) {
	if err := in.whole(Call{Op: OpLock, Name: name}); err != nil {
		return nil, err
	}
	return in.fsys.Lock(name)
}
