package faultfs_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"batpak/faultfs"
)

func TestRuleMeansTheNthMatchAndWithStickyAllAfterIt(t *testing.T) {
	for _, test := range []struct {
		name string
		rule faultfs.Rule
		want string // one letter per sync: . passes, X fails
	}{
		{"every", faultfs.Rule{On: faultfs.OpSync}, "XXXX"},
		{"second", faultfs.Rule{On: faultfs.OpSync, Nth: 2}, ".X.."},
		{"second and after", faultfs.Rule{On: faultfs.OpSync, Nth: 2, Sticky: true}, ".XXX"},
		{"name", faultfs.Rule{On: faultfs.OpSync, Name: "f", Nth: 3}, "..X."},
		{"pattern", faultfs.Rule{On: faultfs.OpSync, Name: "?", Nth: 1}, "X..."},
		{"other name", faultfs.Rule{On: faultfs.OpSync, Name: "g"}, "...."},
		{"other operation", faultfs.Rule{On: faultfs.OpSyncDir | faultfs.OpSyncData | faultfs.OpWriteback}, "...."},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := faultfs.Inject(newDir(t))
			f := create(t, in, "f")
			test.rule.Do = faultfs.Fail(syscall.EIO)
			in.Add(test.rule) // the file was open before
			var got strings.Builder
			for range 4 {
				switch err := f.Sync(); {
				case err == nil:
					got.WriteByte('.')
				case errors.Is(err, syscall.EIO):
					got.WriteByte('X')
				default:
					t.Fatal(err)
				}
			}
			if got.String() != test.want {
				t.Fatalf("syncs went %s, want %s", got.String(), test.want)
			}
		})
	}
}

func TestRuleCountsFromWhenItIsAdded(t *testing.T) {
	in := faultfs.Inject(newDir(t))
	must(t, in.SyncDir("."))
	in.Add(faultfs.Rule{On: faultfs.OpSyncDir, Nth: 1, Do: faultfs.Fail(nil)})
	wantErr(t, in.SyncDir("."), syscall.EIO)
	must(t, in.SyncDir("."))
	in.Add(faultfs.Rule{On: faultfs.OpSyncDir, Sticky: true, Do: faultfs.Fail(nil)})
	wantErr(t, in.SyncDir("."), syscall.EIO)
	in.Clear()
	must(t, in.SyncDir("."))
}

func TestEachOperationFailsInsteadOfHappening(t *testing.T) {
	boom := errors.New("boom")
	file := func(fsys faultfs.FS) (faultfs.File, error) { return fsys.OpenFile("f", os.O_RDWR, 0) }
	onFile := func(do func(faultfs.File) error) func(faultfs.FS) error {
		return func(fsys faultfs.FS) error {
			f, err := file(fsys)
			if err != nil {
				return err
			}
			defer f.Close()
			return do(f)
		}
	}
	one := make([]byte, 1)
	for op, do := range map[faultfs.Op]func(faultfs.FS) error{
		faultfs.OpOpen:      func(fsys faultfs.FS) error { _, err := fsys.Open("f"); return err },
		faultfs.OpCreate:    func(fsys faultfs.FS) error { _, err := fsys.OpenFile("g", os.O_RDWR|os.O_CREATE, 0o600); return err },
		faultfs.OpRead:      onFile(func(f faultfs.File) error { _, err := f.Read(one); return err }),
		faultfs.OpReadAt:    onFile(func(f faultfs.File) error { _, err := f.ReadAt(one, 0); return err }),
		faultfs.OpWrite:     onFile(func(f faultfs.File) error { _, err := f.WriteAt(one, 0); return err }),
		faultfs.OpSync:      onFile(faultfs.File.Sync),
		faultfs.OpSyncData:  onFile(faultfs.File.SyncData),
		faultfs.OpWriteback: onFile(faultfs.File.Writeback),
		faultfs.OpSyncDir:   func(fsys faultfs.FS) error { return fsys.SyncDir(".") },
		faultfs.OpRename:    func(fsys faultfs.FS) error { return fsys.Rename("f", "g") },
		faultfs.OpRemove:    func(fsys faultfs.FS) error { return fsys.Remove("f") },
		faultfs.OpMkdir:     func(fsys faultfs.FS) error { return fsys.Mkdir("g", 0o755) },
		faultfs.OpTruncate:  onFile(func(f faultfs.File) error { return f.Truncate(0) }),
		faultfs.OpAllocate:  onFile(func(f faultfs.File) error { return f.Allocate(0, 100) }),
		faultfs.OpLock:      func(fsys faultfs.FS) error { _, err := fsys.Lock("g"); return err },
		faultfs.OpReadDir:   func(fsys faultfs.FS) error { _, err := fsys.ReadDir("."); return err },
	} {
		t.Run(op.String(), func(t *testing.T) {
			real := newDir(t)
			write(t, real, "f", "unchanged")
			in := faultfs.Inject(real, faultfs.Rule{On: op, Do: faultfs.Fail(boom)})
			err := do(in)
			wantErr(t, err, boom)
			if pe := (*fs.PathError)(nil); !errors.As(err, &pe) {
				t.Fatalf("error is a %T, want an fs.PathError as the real ones", err)
			}
			wantContents(t, real, "f", "unchanged")
			wantNames(t, real, ".", "f")
			if n := in.Count(op); n != 1 {
				t.Fatalf("%s was counted %d times", op, n)
			}
			in.Clear()
			must(t, do(in)) // the control: without the rule it happens
		})
	}
}

func TestCreateIsAnOpenAndBothBitsMatch(t *testing.T) {
	for _, on := range []faultfs.Op{faultfs.OpOpen, faultfs.OpCreate} {
		in := faultfs.Inject(newDir(t), faultfs.Rule{On: on, Nth: 1, Do: faultfs.Fail(nil)})
		_, err := in.OpenFile("f", os.O_RDWR|os.O_CREATE, 0o600)
		wantErr(t, err, syscall.EIO)
		create(t, in, "f")
		if in.Count(faultfs.OpOpen) != 2 || in.Count(faultfs.OpCreate) != 2 || in.Count(faultfs.OpOpen|faultfs.OpCreate) != 2 {
			t.Fatalf("trace is %v", in.Trace())
		}
	}
}

func TestRenameMatchesByEitherName(t *testing.T) {
	for _, name := range []string{"from", "to", "t*"} {
		in := faultfs.Inject(newDir(t), faultfs.Rule{On: faultfs.OpRename, Name: name, Do: faultfs.Fail(nil)})
		write(t, in, "from", "")
		wantErr(t, in.Rename("from", "to"), syscall.EIO)
	}
}

func TestBadPatternIsLoud(t *testing.T) {
	in := faultfs.Inject(newDir(t), faultfs.Rule{On: faultfs.OpMkdir, Name: "[", Nth: 100, Do: faultfs.Fail(nil)})
	wantErr(t, in.Mkdir("d", 0o755), path.ErrBadPattern)
}

func TestShortDoesTheFirstBytes(t *testing.T) {
	in := faultfs.Inject(newDir(t))
	f := create(t, in, "f")
	in.Add(faultfs.Rule{On: faultfs.OpWrite | faultfs.OpAllocate | faultfs.OpReadAt | faultfs.OpRead, Do: faultfs.Short(3)})

	n, err := f.WriteAt([]byte("12345"), 0)
	wantErr(t, err, syscall.ENOSPC)
	wantErr(t, err, io.ErrShortWrite)
	wantContents(t, in, "f", "123")
	if n != 3 {
		t.Fatalf("%d bytes were reported, want 3", n)
	}
	_, err = f.WriteAt([]byte("abc"), 0) // not longer than 3
	must(t, err)

	buf := make([]byte, 5)
	n, err = f.ReadAt(buf, 0)
	wantErr(t, err, io.ErrUnexpectedEOF)
	if string(buf[:n]) != "abc" {
		t.Fatalf("read %q", buf[:n])
	}
	n, err = f.Read(buf)
	must(t, err)
	if n != 3 {
		t.Fatalf("Read gave %d bytes, want 3", n)
	}
	wantErr(t, f.Allocate(2, 100), syscall.ENOSPC)
	info, err := f.Stat()
	must(t, err)
	if info.Size() != 5 {
		t.Fatalf("a cut allocation left %d bytes, want 5", info.Size())
	}

	in.Add(faultfs.Rule{On: faultfs.OpSync, Do: faultfs.Short(3)})
	wantErr(t, f.Sync(), syscall.ENOSPC)
}

func TestDelayAndBlockHoldOneOperationAndNoOther(t *testing.T) {
	real := newDir(t)
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		in := faultfs.Inject(real,
			faultfs.Rule{On: faultfs.OpMkdir, Name: "slow", Do: faultfs.Delay(time.Hour)},
			faultfs.Rule{On: faultfs.OpMkdir, Name: "slow", Do: faultfs.Block(gate)})
		start := time.Now()
		done := make(chan error, 1)
		go func() { done <- in.Mkdir("slow", 0o755) }()
		synctest.Wait()
		must(t, in.Mkdir("quick", 0o755))
		wantNames(t, real, ".", "quick")
		time.Sleep(2 * time.Hour) // virtual
		synctest.Wait()
		wantNames(t, real, ".", "quick")
		close(gate)
		must(t, <-done)
		if waited := time.Since(start); waited != 2*time.Hour {
			t.Fatalf("waited %v", waited)
		}
	})
	wantNames(t, real, ".", "quick", "slow")
}

func TestTraceTellsWhatPublishDid(t *testing.T) {
	in := faultfs.Inject(newDir(t))
	must(t, faultfs.Publish(in, "f", []byte("12345"), 0o600))
	var got []string
	for _, c := range in.Trace() {
		got = append(got, c.String())
	}
	want := []string{"open|create f.tmp", "write f.tmp 0+5", "sync f.tmp", "rename f.tmp -> f", "syncdir ."}
	if !slices.Equal(got, want) {
		t.Fatalf("trace is %q, want %q", got, want)
	}
}

// Whatever step of a publish fails, the old contents or the new are there, whole,
// and the old when the rename did not happen.
func TestFailedPublishLeavesOneWholeFile(t *testing.T) {
	for op, want := range map[faultfs.Op]string{
		faultfs.OpCreate: "old", faultfs.OpWrite: "old", faultfs.OpSync: "old", faultfs.OpRename: "old", faultfs.OpSyncDir: "new",
	} {
		t.Run(op.String(), func(t *testing.T) {
			in := faultfs.Inject(newDir(t))
			must(t, faultfs.Publish(in, "f", []byte("old"), 0o600))
			in.Add(faultfs.Rule{On: op, Nth: 1, Do: faultfs.Fail(syscall.ENOSPC)})
			wantErr(t, faultfs.Publish(in, "f", []byte("new"), 0o600), syscall.ENOSPC)
			wantContents(t, in, "f", want)
			wantNames(t, in, ".", "f")
			must(t, faultfs.Publish(in, "f", []byte("again"), 0o600))
			wantContents(t, in, "f", "again")
		})
	}
}

func TestPublishThatCouldNotCleanUpIsRepeatable(t *testing.T) {
	in := faultfs.Inject(newDir(t), faultfs.Rule{On: faultfs.OpWrite, Nth: 1, Do: faultfs.Short(2)}, faultfs.Rule{On: faultfs.OpRemove, Nth: 1, Do: faultfs.Fail(nil)})
	wantErr(t, faultfs.Publish(in, "f", []byte("12345"), 0o600), io.ErrShortWrite)
	wantContents(t, in, "f"+faultfs.TempSuffix, "12")
	must(t, faultfs.Publish(in, "f", []byte("12345"), 0o600))
	wantContents(t, in, "f", "12345")
	wantNames(t, in, ".", "f")
}

func TestOpNames(t *testing.T) {
	const beyond = faultfs.OpAny + 1
	for op, want := range map[faultfs.Op]string{
		faultfs.OpReadDir: "readdir", faultfs.OpWriteback: "writeback", faultfs.OpOpen | faultfs.OpCreate: "open|create", 0: "0x0", beyond: "0x10000", faultfs.OpSync | beyond<<1: "sync|0x20000",
	} {
		if got := op.String(); got != want {
			t.Errorf("%#x is %q, want %q", uint(op), got, want)
		}
	}
}
