package keystore

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"batpak/causal"
	"batpak/faultfs"
)

func TestScopeByGranularity(t *testing.T) {
	base := causal.Header{Coordinate: causal.Coordinate{Scope: "s", Entity: "e"}, Kind: 0x1001,
		ID: causal.EventID{1}, Subject: "p", Lane: 1, Version: 1, Seq: 1}
	change := map[string]func(*causal.Header){
		"scope":    func(h *causal.Header) { h.Coordinate.Scope = "s2" },
		"entity":   func(h *causal.Header) { h.Entity = "e2" },
		"type":     func(h *causal.Header) { h.Kind = 0x1002 },
		"category": func(h *causal.Header) { h.Kind = 0x2001 },
		"id":       func(h *causal.Header) { h.ID[0] = 2 },
		"subject":  func(h *causal.Header) { h.Subject = "p2" },
		"others":   func(h *causal.Header) { h.Lane, h.Version, h.Seq = 2, 2, 2 },
	}
	for g, parts := range map[Granularity][]string{
		Entity: {"scope", "entity"}, Category: {"category"}, Kind: {"type", "category"}, Event: {"id"}, Subject: {"subject"},
	} {
		was, ok := g.Scope(&base)
		if !ok {
			t.Fatalf("%s does not seal", g)
		}
		for name, do := range change {
			h := base
			do(&h)
			got, _ := g.Scope(&h)
			if differs := got != was; differs != slices.Contains(parts, name) {
				t.Errorf("%s: another %s gives another scope: %v", g, name, differs)
			}
		}
	}
	// "together" does not mean joined.
	a, _ := Entity.Scope(&causal.Header{Coordinate: causal.Coordinate{Scope: "a/b", Entity: "c"}})
	b, _ := Entity.Scope(&causal.Header{Coordinate: causal.Coordinate{Scope: "a", Entity: "b/c"}})
	if a == b {
		t.Error("two coordinates share a scope")
	}
}

func TestWhatIsNeverSealed(t *testing.T) {
	if _, ok := None.Scope(&causal.Header{Subject: "p"}); ok {
		t.Error("none seals")
	}
	if _, ok := Subject.Scope(&causal.Header{Kind: 1}); ok {
		t.Error("an event without a subject is sealed")
	}
	for _, g := range sealing {
		h := causal.Header{Coordinate: causal.Coordinate{Scope: causal.SystemScope, Entity: "e"}, Kind: causal.KindShred,
			ID: causal.EventID{1}, Subject: "p"}
		if _, ok := g.Scope(&h); ok {
			t.Errorf("%s seals the record of an erasure", g)
		}
	}
}

func TestGranularityNames(t *testing.T) {
	for g := None; g <= Subject; g++ {
		if got, err := ParseGranularity(g.String()); got != g || err != nil {
			t.Errorf("%s is read as %s, %v", g, got, err)
		}
	}
	for _, bad := range []string{"", "unspecified", "Entity", "granularity 9"} {
		_, err := ParseGranularity(bad)
		wantErr(t, err, ErrGranularity)
	}
}

func TestNoKeyForABadScope(t *testing.T) {
	long := strings.Repeat("x", causal.MaxName+1)
	coordinate := func(scope, entity string) *causal.Header {
		return &causal.Header{Coordinate: causal.Coordinate{Scope: scope, Entity: entity}}
	}
	scope := func(g Granularity, h *causal.Header) Scope { s, _ := g.Scope(h); return s }
	for _, test := range []struct {
		name  string
		g     Granularity
		scope Scope
	}{
		{"zero", Entity, Scope{}},
		{"zero in none", None, Scope{}},
		{"other granularity", Entity, subject("p")},
		{"empty scope", Entity, scope(Entity, coordinate("", "e"))},
		{"empty entity", Entity, scope(Entity, coordinate("s", ""))},
		{"long scope", Entity, scope(Entity, coordinate(long, "e"))},
		{"long entity", Entity, scope(Entity, coordinate("s", long))},
		{"empty subject", Subject, subject("")},
		{"long subject", Subject, subject(long)},
		{"event without id", Event, scope(Event, &causal.Header{})},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStore(t, newDisk(t), test.g)
			for _, ask := range []func(Scope) (*Key, error){s.Get, s.GetOrCreate, s.Renew} {
				k, err := ask(test.scope)
				wantErr(t, err, ErrScope)
				if k != nil {
					t.Fatal("a key came with the error")
				}
			}
			_, err := s.Destroy(test.scope)
			wantErr(t, err, ErrScope)
			if s.Len() != 0 || s.Dirty() {
				t.Fatal("a bad scope changed the store")
			}
		})
	}
}

func TestOneKeyPerScope(t *testing.T) {
	s := newStore(t, newDisk(t), Subject)
	keys := make([]*Key, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() { keys[i], _ = s.GetOrCreate(subject("a")) })
	}
	wg.Wait()
	for _, k := range keys {
		if k == nil || k != keys[0] {
			t.Fatal("two callers have two keys of one scope")
		}
	}
	other := mintKey(t, s, subject("b"))
	if other.ID() == keys[0].ID() || *secretOf(other) == *secretOf(keys[0]) {
		t.Fatal("two scopes share a key")
	}
	if k, err := s.ByID(other.ID()); k != other || err != nil {
		t.Fatalf("by id: %v, %v", k, err)
	}
	if s.Len() != 2 {
		t.Fatalf("%d keys, want 2", s.Len())
	}
}

func TestMissingAndShreddedAreNotTheSame(t *testing.T) {
	disk := newDisk(t)
	s := newStore(t, disk, Subject)
	gone := mintKey(t, s, subject("gone"))
	id := gone.ID()
	kept := seal(t, mintKey(t, s, subject("kept")), "text")
	must(t, s.Flush())
	ids, err := s.Destroy(subject("gone"))
	must(t, err)
	if !slices.Equal(ids, []causal.KeyID{gone.ID()}) {
		t.Fatalf("destroyed %v, want %v", ids, gone.ID())
	}
	must(t, s.Flush())

	for _, s := range []*Store{s, load(t, disk, Subject)} {
		_, err := s.Get(subject("gone"))
		wantErr(t, err, ErrShredded)
		_, err = s.GetOrCreate(subject("gone"))
		wantErr(t, err, ErrShredded)
		_, err = s.ByID(gone.ID())
		wantErr(t, err, ErrShredded)
		_, err = s.Get(subject("never"))
		wantErr(t, err, ErrKeyMissing)
		_, err = s.ByID(causal.KeyID{1})
		wantErr(t, err, ErrKeyMissing)
		_, err = s.Destroy(subject("never"))
		wantErr(t, err, ErrKeyMissing)
		kept.wantOpens(t, s)
		if s.Len() != 1 {
			t.Fatalf("%d live keys, want 1", s.Len())
		}
		must(t, s.Flush())
		if ids, err := s.Destroy(subject("gone")); len(ids) != 0 || err != nil || s.Dirty() {
			t.Fatalf("a second erasure gave %v, %v, dirty %v", ids, err, s.Dirty())
		}
	}
	must(t, fs.WalkDir(disk, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(disk, name)
		if at := bytes.Index(data, id[:]); name == fileName && (at < 0 || !allZero(data[at+len(id):][:sealedSize])) {
			t.Errorf("%s still holds the destroyed key", name)
		}
		return err
	}))
}

func TestRenewedScopeHasAnotherKeyAndTheOldOneStaysShredded(t *testing.T) {
	disk := newDisk(t)
	s := newStore(t, disk, Subject)
	first := mintKey(t, s, subject("a"))
	if k, err := s.Renew(subject("a")); k != first || err != nil {
		t.Fatalf("renewing a live scope gave %v, %v", k, err)
	}
	if k, err := s.Renew(subject("new")); k == nil || err != nil {
		t.Fatalf("renewing a scope without a key gave %v, %v", k, err)
	}
	_, err := s.Destroy(subject("a"))
	must(t, err)
	second, err := s.Renew(subject("a"))
	must(t, err)
	if second.ID() == first.ID() {
		t.Fatal("the renewed key has the id of the old one")
	}
	c := seal(t, second, "after the renewal")
	must(t, s.Flush())
	for _, s := range []*Store{s, load(t, disk, Subject)} {
		c.wantOpens(t, s)
		if k, err := s.GetOrCreate(subject("a")); err != nil || k.ID() != second.ID() {
			t.Fatalf("the scope's key is %v, %v", k, err)
		}
		_, err := s.ByID(first.ID())
		wantErr(t, err, ErrShredded)
	}
}

// The record of an erasure names the ids, and is applied to whatever keyset is
// found: one from before the erasure, from before the mint, or from after a
// renewal.
func TestRecordedErasureAppliesToAnyKeyset(t *testing.T) {
	disk := newDisk(t)
	s := newStore(t, disk, Subject)
	first := mintKey(t, s, subject("a"))
	other := mintKey(t, s, subject("b"))
	_, err := s.Destroy(subject("a"))
	must(t, err)
	second, err := s.Renew(subject("a"))
	must(t, err)

	// After the renewal: nothing is left to do, and the new key lives.
	if ids, err := s.Destroy(subject("a"), first.ID()); len(ids) != 0 || err != nil {
		t.Fatalf("applied again it destroyed %v, %v", ids, err)
	}
	if k, err := s.Get(subject("a")); err != nil || k.ID() != second.ID() {
		t.Fatalf("the renewed key is %v, %v", k, err)
	}
	// An id of another scope is refused, and the others with it.
	_, err = s.Destroy(subject("a"), second.ID(), other.ID())
	wantErr(t, err, ErrScope)
	if _, err := s.Get(subject("a")); err != nil {
		t.Fatal("a refused erasure destroyed a key")
	}

	// From before the mint: the ids are noted.
	older := newStore(t, newDisk(t), Subject)
	ids, err := older.Destroy(subject("a"), first.ID())
	must(t, err)
	if !slices.Equal(ids, []causal.KeyID{first.ID()}) || !older.Dirty() {
		t.Fatalf("noted %v, dirty %v", ids, older.Dirty())
	}
	must(t, older.Flush())
	for _, s := range []*Store{older, load(t, older.fsys, Subject)} {
		_, err = s.ByID(first.ID())
		wantErr(t, err, ErrShredded)
		_, err = s.GetOrCreate(subject("a"))
		wantErr(t, err, ErrShredded)
	}
	// Noted beside a live key of the scope: that one stays, also on disk.
	beside := newStore(t, newDisk(t), Subject)
	live := seal(t, mintKey(t, beside, subject("a")), "text")
	_, err = beside.Destroy(subject("a"), first.ID())
	must(t, err)
	must(t, beside.Flush())
	for _, s := range []*Store{beside, load(t, beside.fsys, Subject)} {
		live.wantOpens(t, s)
		if k, err := s.GetOrCreate(subject("a")); err != nil || k.ID() != live.key {
			t.Fatalf("the scope's key is %v, %v", k, err)
		}
	}
}

func TestNewIsDurableAndRefusesAKeysetThatExists(t *testing.T) {
	disk := newDisk(t)
	_, err := Load(t.Context(), disk, Entity, bare)
	wantErr(t, err, ErrNotExist)
	wantErr(t, err, fs.ErrNotExist)
	newStore(t, disk, Entity)
	if disk.Count(faultfs.OpSync) != 1 || disk.Count(faultfs.OpSyncDir) != 1 {
		t.Fatalf("New returned before file and folder were synced: %v", disk.Trace())
	}
	info, err := fs.Stat(disk, fileName)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Fatalf("the keyset's mode is %v", info.Mode())
	}
	for _, g := range []Granularity{Entity, Subject} {
		_, err = New(t.Context(), disk, g, bare)
		wantErr(t, err, ErrExists)
	}
	if n := load(t, disk, Entity).Len(); n != 0 {
		t.Fatalf("%d keys in a new keyset", n)
	}
	for _, step := range publishSteps {
		disk := newDisk(t)
		disk.Add(faultfs.Rule{On: step, Nth: 1, Do: faultfs.Fail(syscall.EROFS)})
		s, err := New(t.Context(), disk, Entity, bare)
		wantErr(t, err, syscall.EROFS)
		if s != nil {
			t.Fatal("a store came with the error")
		}
	}
	for _, bad := range []Granularity{Unspecified, Subject + 1} {
		_, err = New(t.Context(), newDisk(t), bad, bare)
		wantErr(t, err, ErrGranularity)
		_, err = Load(t.Context(), disk, bad, bare)
		wantErr(t, err, ErrGranularity)
	}
}

func TestUnreadableKeysetIsNotAnEmptyOne(t *testing.T) {
	disk := newDisk(t)
	s := newStore(t, disk, Subject)
	mintKey(t, s, subject("a"))
	must(t, s.Flush())
	for _, rule := range []faultfs.Rule{
		{On: faultfs.OpOpen, Do: faultfs.Fail(syscall.EIO)},
		{On: faultfs.OpOpen, Do: faultfs.Fail(syscall.EACCES)},
		{On: faultfs.OpReadAt, Do: faultfs.Fail(syscall.EIO)},
		{On: faultfs.OpReadAt, Do: faultfs.Short(60)},
		{On: faultfs.OpReadAt, Do: faultfs.Short(0)},
	} {
		disk.Add(rule)
		s, err := Load(t.Context(), disk, Subject, bare)
		if s != nil || err == nil || errors.Is(err, ErrNotExist) {
			t.Fatalf("load gave %v, %v", s, err)
		}
		if rule.On == faultfs.OpOpen {
			if _, err := New(t.Context(), disk, Subject, bare); err == nil {
				t.Fatal("New made a keyset where one could not be looked for")
			}
		}
		disk.Clear()
	}
	must(t, disk.Mkdir("folder", 0o700))
	must(t, faultfs.Sub(disk, "folder").Mkdir(fileName, 0o700))
	s, err := Load(t.Context(), faultfs.Sub(disk, "folder"), Subject, bare)
	if s != nil || err == nil || errors.Is(err, ErrNotExist) {
		t.Fatalf("loading a folder gave %v, %v", s, err)
	}
	if n := load(t, disk, Subject).Len(); n != 1 { // the control
		t.Fatalf("%d keys, want 1", n)
	}
}

func TestTemporaryFileOfACrashIsRemovedAndNeverRead(t *testing.T) {
	leave := func(disk faultfs.FS, data []byte) {
		f, err := disk.OpenFile(fileName+faultfs.TempSuffix, os.O_WRONLY|os.O_CREATE, 0o600)
		must(t, err)
		_, err = f.WriteAt(data, 0)
		must(t, err)
		must(t, f.Close())
	}
	whole := golden(t, Subject)
	for _, data := range [][]byte{nil, whole[:40], whole} {
		disk := newDisk(t)
		leave(disk, data)
		_, err := Load(t.Context(), disk, Subject, bare)
		wantErr(t, err, ErrNotExist)

		newStore(t, disk, Subject)
		leave(disk, data)
		s := load(t, disk, Subject)
		if s.Len() != 0 {
			t.Fatal("the temporary file was read")
		}
		_, err = fs.Stat(disk, fileName+faultfs.TempSuffix)
		wantErr(t, err, fs.ErrNotExist)

		// Where nothing can be removed the keyset can still be read.
		leave(disk, data)
		disk.Add(faultfs.Rule{On: faultfs.OpRemove, Do: faultfs.Fail(syscall.EROFS)})
		load(t, disk, Subject)
	}
}
