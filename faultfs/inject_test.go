package faultfs

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
)

func TestRuleMeansTheNthMatchAndWithStickyAllAfterIt(t *testing.T) {
	for _, test := range []struct {
		name string
		rule Rule
		want string // one letter per sync: . passes, X fails
	}{
		{"every", Rule{On: OpSync}, "XXXX"},
		{"second", Rule{On: OpSync, Nth: 2}, ".X.."},
		{"second and after", Rule{On: OpSync, Nth: 2, Sticky: true}, ".XXX"},
		{"name", Rule{On: OpSync, Name: "f", Nth: 3}, "..X."},
		{"pattern", Rule{On: OpSync, Name: "?", Nth: 1}, "X..."},
		{"other name", Rule{On: OpSync, Name: "g"}, "...."},
		{"other operation", Rule{On: OpSyncDir | OpSyncData | OpWriteback}, "...."},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := Inject(newDir(t))
			f := create(t, in, "f")
			test.rule.Do = Fail(syscall.EIO)
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
	in := Inject(newDir(t))
	must(t, in.SyncDir("."))
	in.Add(Rule{On: OpSyncDir, Nth: 1, Do: Fail(nil)})
	wantErr(t, in.SyncDir("."), syscall.EIO)
	must(t, in.SyncDir("."))
	in.Add(Rule{On: OpSyncDir, Sticky: true, Do: Fail(nil)})
	wantErr(t, in.SyncDir("."), syscall.EIO)
	in.Clear()
	must(t, in.SyncDir("."))
}

func TestEachOperationFailsInsteadOfHappening(t *testing.T) {
	boom := errors.New("boom")
	file := func(fsys FS) (File, error) { return fsys.OpenFile("f", os.O_RDWR, 0) }
	onFile := func(do func(File) error) func(FS) error {
		return func(fsys FS) error {
			f, err := file(fsys)
			if err != nil {
				return err
			}
			defer f.Close()
			return do(f)
		}
	}
	one := make([]byte, 1)
	for op, do := range map[Op]func(FS) error{
		OpOpen:      func(fsys FS) error { _, err := fsys.Open("f"); return err },
		OpCreate:    func(fsys FS) error { _, err := fsys.OpenFile("g", os.O_RDWR|os.O_CREATE, 0o600); return err },
		OpRead:      onFile(func(f File) error { _, err := f.Read(one); return err }),
		OpReadAt:    onFile(func(f File) error { _, err := f.ReadAt(one, 0); return err }),
		OpWrite:     onFile(func(f File) error { _, err := f.WriteAt(one, 0); return err }),
		OpSync:      onFile(File.Sync),
		OpSyncData:  onFile(File.SyncData),
		OpWriteback: onFile(File.Writeback),
		OpSyncDir:   func(fsys FS) error { return fsys.SyncDir(".") },
		OpRename:    func(fsys FS) error { return fsys.Rename("f", "g") },
		OpRemove:    func(fsys FS) error { return fsys.Remove("f") },
		OpMkdir:     func(fsys FS) error { return fsys.Mkdir("g", 0o755) },
		OpTruncate:  onFile(func(f File) error { return f.Truncate(0) }),
		OpAllocate:  onFile(func(f File) error { return f.Allocate(0, 100) }),
		OpLock:      func(fsys FS) error { _, err := fsys.Lock("g"); return err },
		OpReadDir:   func(fsys FS) error { _, err := fsys.ReadDir("."); return err },
	} {
		t.Run(op.String(), func(t *testing.T) {
			real := newDir(t)
			write(t, real, "f", "unchanged")
			in := Inject(real, Rule{On: op, Do: Fail(boom)})
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
	for _, on := range []Op{OpOpen, OpCreate} {
		in := Inject(newDir(t), Rule{On: on, Nth: 1, Do: Fail(nil)})
		_, err := in.OpenFile("f", os.O_RDWR|os.O_CREATE, 0o600)
		wantErr(t, err, syscall.EIO)
		create(t, in, "f")
		if in.Count(OpOpen) != 2 || in.Count(OpCreate) != 2 || in.Count(OpOpen|OpCreate) != 2 {
			t.Fatalf("trace is %v", in.Trace())
		}
	}
}

func TestRenameMatchesByEitherName(t *testing.T) {
	for _, name := range []string{"from", "to", "t*"} {
		in := Inject(newDir(t), Rule{On: OpRename, Name: name, Do: Fail(nil)})
		write(t, in, "from", "")
		wantErr(t, in.Rename("from", "to"), syscall.EIO)
	}
}

func TestBadPatternIsLoud(t *testing.T) {
	in := Inject(newDir(t), Rule{On: OpMkdir, Name: "[", Nth: 100, Do: Fail(nil)})
	wantErr(t, in.Mkdir("d", 0o755), path.ErrBadPattern)
}

func TestShortDoesTheFirstBytes(t *testing.T) {
	in := Inject(newDir(t))
	f := create(t, in, "f")
	in.Add(Rule{On: OpWrite | OpAllocate | OpReadAt | OpRead, Do: Short(3)})

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

	in.Add(Rule{On: OpSync, Do: Short(3)})
	wantErr(t, f.Sync(), syscall.ENOSPC)
}

func TestDelayAndBlockHoldOneOperationAndNoOther(t *testing.T) {
	real := newDir(t)
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		in := Inject(real,
			Rule{On: OpMkdir, Name: "slow", Do: Delay(time.Hour)},
			Rule{On: OpMkdir, Name: "slow", Do: Block(gate)})
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
	in := Inject(newDir(t))
	must(t, Publish(in, "f", []byte("12345"), 0o600))
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
	for op, want := range map[Op]string{
		OpCreate: "old", OpWrite: "old", OpSync: "old", OpRename: "old", OpSyncDir: "new",
	} {
		t.Run(op.String(), func(t *testing.T) {
			in := Inject(newDir(t))
			must(t, Publish(in, "f", []byte("old"), 0o600))
			in.Add(Rule{On: op, Nth: 1, Do: Fail(syscall.ENOSPC)})
			wantErr(t, Publish(in, "f", []byte("new"), 0o600), syscall.ENOSPC)
			wantContents(t, in, "f", want)
			wantNames(t, in, ".", "f")
			must(t, Publish(in, "f", []byte("again"), 0o600))
			wantContents(t, in, "f", "again")
		})
	}
}

func TestPublishThatCouldNotCleanUpIsRepeatable(t *testing.T) {
	in := Inject(newDir(t), Rule{On: OpWrite, Nth: 1, Do: Short(2)}, Rule{On: OpRemove, Nth: 1, Do: Fail(nil)})
	wantErr(t, Publish(in, "f", []byte("12345"), 0o600), io.ErrShortWrite)
	wantContents(t, in, "f"+TempSuffix, "12")
	must(t, Publish(in, "f", []byte("12345"), 0o600))
	wantContents(t, in, "f", "12345")
	wantNames(t, in, ".", "f")
}

func TestOpNames(t *testing.T) {
	for op, want := range map[Op]string{
		OpReadDir: "readdir", OpWriteback: "writeback", OpOpen | OpCreate: "open|create", 0: "0x0", opEnd: "0x10000", OpSync | opEnd<<1: "sync|0x20000",
	} {
		if got := op.String(); got != want {
			t.Errorf("%#x is %q, want %q", uint(op), got, want)
		}
	}
}
