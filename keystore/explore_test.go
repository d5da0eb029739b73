package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"testing"

	"batpak/causal"
	"batpak/faultfs"
	"batpak/faultfs/faulttest"
)

// What a workload promises, and what it says before it does it.
type (
	flushing struct{ file []byte } // these bytes are on their way
	flushed  struct{ file []byte } // and are durable
	opens    struct{ c sealed }    // acknowledged: it opens for good, unless
	erasing  struct{ id causal.KeyID }
	erased   struct { // acknowledged: it never opens again
		id     causal.KeyID
		scope  Scope
		secret [KeySize]byte // zero when it was found destroyed
	}
)

// user seals and erases as the fence asks for it.
type user struct {
	*Store
	disk   faultfs.FS
	ack    func(promise any)
	midway func() // called once, during a flush
}

// OpenFile makes the user the disk of their own store, for midway.
func (u *user) OpenFile(name string, flag int, perm fs.FileMode) (faultfs.File, error) {
	if midway := u.midway; midway != nil && flag&os.O_CREATE != 0 {
		u.midway = nil
		midway()
	}
	return u.disk.OpenFile(name, flag, perm)
}

// userDisk is the other methods of the disk.
type userDisk struct {
	faultfs.FS
	u *user
}

func (d userDisk) OpenFile(name string, flag int, perm fs.FileMode) (faultfs.File, error) {
	return d.u.OpenFile(name, flag, perm)
}

// open loads the keyset, or makes it when there is none.
func (u *user) open() (err error) {
	disk := userDisk{u.disk, u}
	u.Store, err = Load(disk, Subject)
	if !errors.Is(err, ErrNotExist) {
		return err
	}
	file := encode(Subject, nil)
	u.ack(flushing{file})
	if u.Store, err = New(disk, Subject); err == nil {
		u.ack(flushed{file})
	}
	return err
}

// fence flushes if it must.
func (u *user) fence() error {
	if !u.Dirty() {
		return nil
	}
	return u.flush()
}

// flush flushes until it succeeds, or has failed three times.
func (u *user) flush() (err error) {
	for range 3 {
		file := encode(Subject, u.keys)
		u.ack(flushing{file})
		if err = u.Flush(); err == nil {
			u.ack(flushed{file})
			return nil
		}
		if !u.Dirty() {
			return faulttest.Violated("clean after a flush that failed with %v", err)
		}
	}
	return err
}

// seal seals under the scope's key, and acknowledges that later.
func (u *user) seal(get func(Scope) (*Key, error), name string) (acknowledge func(), err error) {
	k, err := get(subject(name))
	if err != nil {
		return nil, faulttest.Violated("no key of %s: %v", name, err)
	}
	c := sealed{key: k.ID(), aad: []byte(name), plaintext: []byte("of " + name)}
	c.nonce = k.NewNonce()
	if c.ciphertext, err = k.Seal(nil, c.plaintext, c.aad, &c.nonce); err != nil {
		return nil, faulttest.Violated("sealing for %s: %v", name, err)
	}
	return func() { u.ack(opens{c}) }, nil
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
		return nil, faulttest.Violated("no key of %s to destroy: %v", name, err)
	}
	gone := erased{k.ID(), k.Scope(), *k.secret}
	u.ack(erasing{gone.id})
	if _, err := u.Destroy(gone.scope); err != nil {
		return nil, faulttest.Violated("destroy %s: %v", name, err)
	}
	return func() { u.ack(gone) }, nil
}

func (u *user) erase(name string) error {
	acknowledge, err := u.destroy(name)
	if err == nil {
		err = u.flush()
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
	if err := u.flush(); err != nil {
		return err
	}
	acknowledge()
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	if err := u.flush(); err != nil {
		return err
	}
	later[0]()
	later[1]()
	return nil
}

// exploredWorkload seals, erases, renews and loads again.
func exploredWorkload(fsys faultfs.FS, steps int, ack func(any)) error {
	u := &user{disk: fsys, ack: ack}
	if err := u.open(); err != nil {
		if err = u.open(); err != nil { // once more, over what that has left
			return err
		}
	}
	for step := range steps {
		name := func(of string) string { return fmt.Sprintf("%s%d", of, step/7) }
		var err error
		switch step % 7 {
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
				err = u.sealAll(u.Get, name("c"))
			}
		case 6:
			err = u.sealAll(u.Renew, name("a"), name("f"))
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
	files := [][]byte{nil} // one of these is there; nil is none
	var sealed []opens
	var gone []erased
	going := map[causal.KeyID]bool{}
	for _, p := range acked {
		switch p := p.(type) {
		case flushing:
			files = append(files, p.file)
		case flushed:
			files = [][]byte{p.file}
		case opens:
			sealed = append(sealed, p)
		case erasing:
			going[p.id] = true
		case erased:
			gone = append(gone, p)
		}
	}
	if _, err := Load(fsys, Subject); errors.Is(err, ErrNotExist) && files[0] != nil {
		return faulttest.Violated("%v", err)
	}
	if err := u.open(); err != nil {
		return err
	}
	if file := encode(Subject, u.keys); !slices.ContainsFunc(files, func(f []byte) bool {
		return bytes.Equal(f, file) || f == nil && len(u.keys) == 0
	}) {
		return faulttest.Violated("the keyset is neither the old one nor a new one: %d keys", len(u.keys))
	}
	for _, p := range sealed {
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
		return faulttest.Violated("acknowledged %q: %v", p.c.plaintext, err)
	}
	got, err := k.Open(nil, p.c.ciphertext, p.c.aad, &p.c.nonce)
	if err != nil || !bytes.Equal(got, p.c.plaintext) {
		return faulttest.Violated("acknowledged %q opens to %q: %v", p.c.plaintext, got, err)
	}
	return nil
}

func (p erased) check(s *Store, fsys fs.FS) error {
	if _, err := s.ByID(p.id); !errors.Is(err, ErrShredded) {
		return faulttest.Violated("erased key of %s: %v", p.scope, err)
	}
	if _, err := fs.Stat(fsys, fileName+faultfs.TempSuffix); err == nil {
		return errors.New("a temporary file cannot be removed")
	}
	file, err := fs.ReadFile(fsys, fileName)
	if err == nil && p.secret != [KeySize]byte{} && bytes.Contains(file, p.secret[:]) {
		return faulttest.Violated("the keyset holds the erased key of %s", p.scope)
	}
	return err
}

// goOn uses a keyset that was loaded: it believes what it finds, once the fence has let it through, and adds to it.
func (u *user) goOn(n int) error {
	if err := u.fence(); err != nil {
		return err
	}
	for _, k := range u.keys {
		if k.dead {
			ids, err := u.Destroy(k.scope, k.id)
			if err != nil || len(ids) > 0 || u.Dirty() {
				return faulttest.Violated("destroying a destroyed key: %v, %v", ids, err)
			}
			u.ack(erased{id: k.id, scope: k.scope})
		} else if err := u.sealAll(u.Get, k.scope.name); err != nil {
			return err
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
	for name, m := range map[string]faultfs.Model{"POSIX": faultfs.POSIX, "ext4": faultfs.Ext4, "Btrfs": faultfs.Btrfs} {
		t.Run(name, func(t *testing.T) {
			test := faulttest.Test{Model: m, Steps: 14, Run: exploredWorkload, Check: exploredCheck}
			r := faulttest.Explore(t, test, faulttest.Bounds(
				faulttest.Options{Recover: 1, RecoverKills: 1},
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
	test := faulttest.Test{Model: faultfs.POSIX, Steps: 7, Run: exploredWorkload, Check: exploredCheck}
	for v := range faulttest.Lies(t, test, faulttest.Options{Recover: 1, RecoverKills: 1}) {
		t.Log(v)
		if !v.Caught {
			t.Errorf("%v", v)
		}
	}
}
