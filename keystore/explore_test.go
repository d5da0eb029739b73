package keystore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"batpak/causal"
	"batpak/faultfs"
	"batpak/faultfs/faulttest"
)

// What a workload promises, and what it says before it does it.
type (
	flushing struct{ keys string } // these keys are on their way
	flushed  struct{ keys string } // and are durable
	opens    struct {              // acknowledged, in the log: it opens for good, unless
		name string
		c    sealed
	}
	erasing struct{ id causal.KeyID }
	seen    struct{ seq uint64 } // acknowledged: at least so much of the log needs no reading
	erased  struct {             // acknowledged: it never opens again
		id     causal.KeyID
		name   string
		sealed [sealedSize]byte // zero when it was found destroyed
	}
)

// user seals and erases as the fence asks for it.
type user struct {
	*Store
	disk   faultfs.FS
	log    []opens // what a journal would have in its log
	ack    func(promise any)
	midway func() // called once, during a flush
}

// userDisk makes the user the disk of their own store, for midway.
type userDisk struct {
	faultfs.FS
	u *user
}

func (d userDisk) OpenFile(name string, flag int, perm fs.FileMode) (faultfs.File, error) {
	f, err := d.FS.OpenFile(name, flag, perm)
	return userFile{f, d.u}, err
}

type userFile struct {
	faultfs.File
	u *user
}

func (f userFile) WriteAt(p []byte, off int64) (int, error) {
	if midway := f.u.midway; midway != nil {
		f.u.midway = nil
		midway()
	}
	return f.File.WriteAt(p, off)
}

// dump is what a keyset says of the keys that are somebody's.
func (s *Store) dump() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var lines []string
	for n := range s.keys.n {
		e := s.keys.at(n)
		if e.scope != (scopeHash{}) {
			lines = append(lines, fmt.Sprintln(e.id, e.scope, e.state))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// little is a reserve that is soon used up.
var little = Options{Reserve: 2}

// open loads the keyset, or makes it when there is none.
func (u *user) open() (err error) {
	if u.Store != nil {
		u.Close()
	}
	disk := userDisk{u.disk, u}
	u.Store, err = Load(context.Background(), disk, Subject, little)
	if errors.Is(err, ErrNotExist) {
		u.ack(flushing{})
		if u.Store, err = New(context.Background(), disk, Subject, little); err == nil {
			u.ack(flushed{})
		}
	}
	return err
}

// bind tells the store what the log says.
func (u *user) bind() error {
	for _, e := range u.log {
		if err := u.Bind(subject(e.name), e.c.key); err != nil {
			return faulttest.Violated("the log binds %s to %s: %v", e.name, e.c.key, err)
		}
	}
	return nil
}

// fence flushes if it must.
func (u *user) fence() error {
	if !u.Dirty() {
		return nil
	}
	return u.flush(u.Flush)
}

// flush flushes until it succeeds, or has failed three times.
func (u *user) flush(flush func() error) (err error) {
	for range 3 {
		keys := u.dump()
		u.ack(flushing{keys})
		dirty := u.Dirty()
		if err = flush(); err == nil {
			u.ack(flushed{keys})
			return nil
		}
		if dirty && !u.Dirty() {
			return faulttest.Violated("clean after a flush that failed with %v", err)
		}
	}
	return err
}

// seal seals under the scope's key, and acknowledges that later.
func (u *user) seal(get func(Scope) (*Key, error), name string) (acknowledge func(), err error) {
	k, err := get(subject(name))
	if err != nil {
		return nil, badKey(err, "no key of %s", name)
	}
	c := sealed{key: k.ID(), aad: []byte(name), plaintext: []byte("of " + name)}
	c.nonce = k.NewNonce()
	if c.ciphertext, err = k.Seal(nil, c.plaintext, c.aad, &c.nonce); err != nil {
		return nil, faulttest.Violated("sealing for %s: %v", name, err)
	}
	return func() {
		u.Used(k)
		u.log = append(u.log, opens{name, c})
		u.ack(opens{name, c})
	}, nil
}

// badKey is an error of the disk, or else a violation.
func badKey(err error, format string, args ...any) error {
	for _, is := range []error{ErrShredded, ErrKeyMissing, ErrScope} {
		if errors.Is(err, is) {
			return faulttest.Violated("%s: %v", fmt.Sprintf(format, args...), err)
		}
	}
	return err
}

// sealAll seals for several scopes and acknowledges them behind one fence, which is a flush only when it must.
func (u *user) sealAll(get func(Scope) (*Key, error), names ...string) error {
	var all []func()
	for _, name := range names {
		acknowledge, err := u.seal(get, name)
		if err != nil {
			return err
		}
		all = append(all, acknowledge)
	}
	if err := u.fence(); err != nil {
		return err
	}
	for _, acknowledge := range all {
		acknowledge()
	}
	return nil
}

// destroy destroys the keys of a scope, and acknowledges that later.
func (u *user) destroy(name string) (acknowledge func(), err error) {
	k, err := u.Get(subject(name))
	if err != nil {
		return nil, badKey(err, "no key of %s to destroy", name)
	}
	gone := erased{k.ID(), name, u.master.record(k.ID(), secretOf(k)).body}
	u.ack(erasing{gone.id})
	if _, err := u.Destroy(subject(name)); err != nil {
		return nil, faulttest.Violated("destroy %s: %v", name, err)
	}
	return func() { u.ack(gone) }, nil
}

func (u *user) erase(name string) error {
	acknowledge, err := u.destroy(name)
	if err == nil {
		err = u.flush(u.Flush)
	}
	if err == nil {
		acknowledge()
	}
	return err
}

// busyFlush mints and destroys while a flush runs, which then has not made the store clean.
func (u *user) busyFlush(first, second, gone string) error {
	acknowledge, err := u.seal(u.GetOrCreate, first)
	if err != nil {
		return err
	}
	var later [2]func()
	var errs [2]error
	u.midway = func() {
		later[0], errs[0] = u.seal(u.GetOrCreate, second)
		later[1], errs[1] = u.destroy(gone)
	}
	if err := u.flush(u.Flush); err != nil {
		return err
	}
	acknowledge()
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	if err := u.flush(u.Flush); err != nil || u.midway != nil {
		return err
	}
	later[0]()
	later[1]()
	return nil
}

// exploredWorkload seals, erases, renews and loads again.
func exploredWorkload(fsys faultfs.FS, steps int, ack func(any)) error {
	u := &user{disk: fsys, ack: ack}
	defer func() {
		if u.Store != nil {
			u.Close()
		}
	}()
	if err := u.open(); err != nil {
		if err = u.open(); err != nil { // once more, over what that has left
			return err
		}
	}
	for step := range steps {
		name := func(of string) string { return fmt.Sprintf("%s%d", of, step/9) }
		var err error
		switch step % 9 {
		case 0:
			err = u.sealAll(u.GetOrCreate, name("a"))
		case 1:
			err = u.sealAll(u.GetOrCreate, name("b"), name("c"))
		case 2:
			err = u.sealAll(u.Get, name("a"))
		case 3:
			err = u.erase(name("a"))
		case 4:
			err = u.busyFlush(name("d"), name("e"), name("b"))
		case 5:
			if err = u.open(); err == nil {
				if err = u.bind(); err == nil {
					err = u.sealAll(u.Get, name("c"))
				}
			}
		case 6:
			err = u.sealAll(u.Renew, name("a"), name("f"))
		case 7:
			u.SetSeen(uint64(step))
			if err = u.flush(u.Flush); err == nil {
				u.ack(seen{uint64(step)})
				err = u.flush(u.Reserve)
			}
		case 8:
			if err = u.erase(name("c")); err == nil {
				if err = u.sealAll(u.Successor, name("c")); err == nil {
					err = u.sealAll(u.GetOrCreate, name("g"))
				}
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// exploredCheck loads what is there, holds it against the promises, and goes on from there.
func exploredCheck(fsys faultfs.FS, acked []any, ack func(any)) error {
	u := &user{disk: fsys, ack: ack}
	defer func() {
		if u.Store != nil {
			u.Close()
		}
	}()
	keysets := []string{} // one of these is there; none at all when there are none
	var gone []erased
	going := map[causal.KeyID]bool{}
	made, read := false, uint64(0)
	for _, p := range acked {
		switch p := p.(type) {
		case flushing:
			keysets = append(keysets, p.keys)
		case flushed:
			keysets, made = []string{p.keys}, true
		case opens:
			u.log = append(u.log, p)
		case erasing:
			going[p.id] = true
		case erased:
			gone = append(gone, p)
		case seen:
			read = p.seq
		}
	}
	if _, err := fs.Stat(fsys, fileName); made && errors.Is(err, fs.ErrNotExist) {
		return faulttest.Violated("%v", err)
	}
	if err := u.open(); err != nil {
		return err
	}
	if keys := u.dump(); !slices.Contains(keysets, keys) && keys != "" {
		return faulttest.Violated("the keyset is neither the old one nor a new one:\n%s", keys)
	}
	if u.Seen() < read {
		return faulttest.Violated("it has seen %d, and had seen %d", u.Seen(), read)
	}
	if err := u.bind(); err != nil {
		return err
	}
	for _, p := range u.log {
		if err := p.check(u.Store, going[p.c.key]); err != nil {
			return err
		}
	}
	for _, p := range gone {
		if err := p.check(u.Store, fsys); err != nil {
			return err
		}
	}
	return u.goOn(len(acked))
}

func (p opens) check(s *Store, going bool) error {
	k, err := s.ByID(p.c.key)
	if going && errors.Is(err, ErrShredded) {
		return nil
	}
	if err != nil {
		return badKey(err, "acknowledged %q", p.c.plaintext)
	}
	got, err := k.Open(nil, p.c.ciphertext, p.c.aad, &p.c.nonce)
	if err != nil || !bytes.Equal(got, p.c.plaintext) {
		return faulttest.Violated("acknowledged %q opens to %q: %v", p.c.plaintext, got, err)
	}
	return nil
}

func (p erased) check(s *Store, fsys fs.FS) error {
	if _, err := s.ByID(p.id); !errors.Is(err, ErrShredded) {
		return faulttest.Violated("erased key of %s: %v", p.name, err)
	}
	if _, err := fs.Stat(fsys, fileName+faultfs.TempSuffix); err == nil {
		return errors.New("a temporary file cannot be removed")
	}
	file, err := fs.ReadFile(fsys, fileName)
	if err == nil && p.sealed != [sealedSize]byte{} && bytes.Contains(file, p.sealed[:]) {
		return faulttest.Violated("the keyset holds the erased key of %s", p.name)
	}
	return err
}

// goOn uses a keyset that was loaded: it believes what it finds, once the fence has let it through, and adds to it.
func (u *user) goOn(n int) error {
	if err := u.fence(); err != nil {
		return err
	}
	names := map[string]bool{}
	for _, e := range u.log {
		names[e.name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		ids, err := u.Keys(subject(name))
		if err != nil {
			return faulttest.Violated("%v", err)
		}
		if len(ids) > 1 {
			return faulttest.Violated("%s has the keys %v", name, ids)
		}
		if len(ids) == 1 {
			if err := u.sealAll(u.Get, name); err != nil {
				return err
			}
			continue
		}
		_, err = u.Get(subject(name))
		if !errors.Is(err, ErrShredded) {
			return faulttest.Violated("%s is erased: %v", name, err)
		}
		if ids, err := u.Destroy(subject(name)); err != nil || len(ids) > 0 {
			return faulttest.Violated("destroying a destroyed key: %v, %v", ids, err)
		}
	}
	// What was found destroyed is destroyed for good, now that the fence was passed.
	for _, e := range u.log {
		if _, err := u.ByID(e.c.key); errors.Is(err, ErrShredded) {
			u.ack(erased{id: e.c.key, name: e.name})
		}
	}
	name := fmt.Sprintf("later%d", n)
	if err := u.sealAll(u.GetOrCreate, name); err != nil {
		return err
	}
	if err := u.erase(name); err != nil {
		return err
	}
	return u.sealAll(u.Renew, name)
}

func TestExploreKeyset(t *testing.T) {
	for _, on := range []struct {
		name  string
		model faultfs.Model
		steps int
		each  int // recovery, is explored
	}{{"POSIX", faultfs.POSIX, 18, 2}, {"ext4", faultfs.Ext4, 9, 3}, {"Btrfs", faultfs.Btrfs, 9, 3}} {
		t.Run(on.name, func(t *testing.T) {
			test := faulttest.Test{Model: on.model, Steps: on.steps, Run: exploredWorkload, Check: exploredCheck}
			r := faulttest.Explore(t, test, faulttest.Bounds(
				faulttest.Options{Recover: on.each, RecoverKills: on.each, RecoverFaults: 6},
				faulttest.Options{Recover: 1, RecoverKills: 1, Schedules: 8, EveryFault: true}))
			t.Logf("%s%v", r, r.Elapsed)
			if !r.Stopped && !r.Complete() {
				t.Error("not every operation was made to fail and crashed at")
			}
		})
	}
}

// Each call that makes something durable is missed when it lies.
func TestExploreKeysetLies(t *testing.T) {
	test := faulttest.Test{Model: faultfs.POSIX, Steps: 9, Run: exploredWorkload, Check: exploredCheck}
	for v := range faulttest.Lies(t, test, faulttest.Options{Recover: 1, RecoverKills: 1}) {
		t.Log(v)
		if !v.Caught {
			t.Errorf("%v", v)
		}
	}
}
