package faultfs_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"batpak/faultfs"
)

// both runs a test over a real directory and over a mount, each with a file f of
// "abcd" that is durable and a folder d.
func both(t *testing.T, run func(t *testing.T, in *faultfs.Injector)) {
	t.Run("Dir", func(t *testing.T) {
		root, err := os.OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = root.Close() })
		fsys := faultfs.Dir(root)
		play(t, fsys, "create f; write f 0 abcd; mkdir d")
		run(t, faultfs.Inject(fsys))
	})
	t.Run("Mount", func(t *testing.T) {
		m := faultfs.NewDisk(loose).Mount()
		play(t, m, "create f; write f 0 abcd; sync f; mkdir d; syncdir .")
		run(t, faultfs.Inject(m))
	})
}

func TestLieSaysYesAndDoesNothing(t *testing.T) {
	for on, script := range map[faultfs.Op]string{
		faultfs.OpWrite:    "write f 0 xyz",
		faultfs.OpAllocate: "allocate f 100",
		faultfs.OpTruncate: "truncate f 1",
		faultfs.OpRename:   "rename f g",
		faultfs.OpRemove:   "remove f",
		faultfs.OpMkdir:    "mkdir e",
		faultfs.OpSyncDir:  "syncdir missing", // which it does not even notice
		faultfs.OpSync:     "sync f",
	} {
		t.Run(on.String(), func(t *testing.T) {
			both(t, func(t *testing.T, in *faultfs.Injector) {
				in.Add(faultfs.Rule{On: on, Do: faultfs.Lie()})
				play(t, in, script)
				if got := found(t, in); got != "d/ f=abcd" {
					t.Errorf("after a lie about %s there is %q", script, got)
				}
			})
		})
	}
}

func TestSyncThatLiesLeavesAllInTheCache(t *testing.T) {
	for name, sync := range map[string]func(f faultfs.File) error{
		"Sync": faultfs.File.Sync, "SyncData": faultfs.File.SyncData, "Writeback": faultfs.File.Writeback,
	} {
		m := faultfs.NewDisk(loose).Mount()
		play(t, m, "create f; syncdir .; write f 0 abcd")
		in := faultfs.Inject(m, faultfs.Rule{On: faultfs.OpSync | faultfs.OpSyncData | faultfs.OpWriteback, Do: faultfs.Lie()})
		if err := on(in, "f", 0, sync); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if states := afterCrashes(t, m.Kill()); strings.Join(states, "|") != "f=|f=abcd" {
			t.Errorf("%s: %q", name, states)
		}
	}
}

func TestLateIsDoneRightAfterTheNextChange(t *testing.T) {
	for _, test := range []struct {
		name         string
		on           faultfs.Op
		script       string
		before, then string // what is found after the script, and after one more change
	}{
		{"write", faultfs.OpWrite, "write f 0 xyz", "d/ f=abcd", "d/ e/ f=xyzd"},
		{"allocate", faultfs.OpAllocate, "allocate f 6", "d/ f=abcd", "d/ e/ f=abcd.."},
		{"truncate", faultfs.OpTruncate, "truncate f 1", "d/ f=abcd", "d/ e/ f=a"},
		{"rename", faultfs.OpRename, "rename f g", "d/ f=abcd", "d/ e/ g=abcd"},
		{"remove", faultfs.OpRemove, "remove f", "d/ f=abcd", "d/ e/"},
		{"two in a row", faultfs.OpWrite | faultfs.OpRename, "write f 0 xyz; rename f g", "d/ f=abcd", "d/ e/ g=xyzd"},
	} {
		t.Run(test.name, func(t *testing.T) {
			both(t, func(t *testing.T, in *faultfs.Injector) {
				in.Add(faultfs.Rule{On: test.on, Do: faultfs.Late()})
				play(t, in, test.script)
				if got := found(t, in); got != test.before {
					t.Errorf("too early: %q", got) // a look is no change
				}
				play(t, in, "mkdir e")
				if got := found(t, in); got != test.then {
					t.Errorf("there is %q, want %q", got, test.then)
				}
			})
		})
	}
}

// The next change comes first, and what is late then overtakes nothing else.
func TestLateSwapsTwoOperations(t *testing.T) {
	both(t, func(t *testing.T, in *faultfs.Injector) {
		in.Add(faultfs.Rule{On: faultfs.OpWrite, Nth: 1, Do: faultfs.Late()})
		play(t, in, "write f 0 1111; write f 0 22; write f 1 3")
		if got := found(t, in); got != "d/ f=1311" {
			t.Errorf("there is %q", got)
		}
	})
}

// A file that was closed is not closed before what is late on it.
func TestLateOnAFileThatIsClosed(t *testing.T) {
	m := faultfs.NewDisk(loose).Mount()
	in := faultfs.Inject(m, faultfs.Rule{On: faultfs.OpSync, Do: faultfs.Late()})
	var calls []string
	in.Before(func(c faultfs.Call) { calls = append(calls, c.Op.String()) })
	play(t, in, "create t; write t 0 abcd; sync t; rename t f; syncdir .")
	if states := afterCrashes(t, m.Kill()); strings.Join(states, "|") != "f=abcd" {
		t.Errorf("there may be %q", states)
	}
	if got := strings.Join(calls, " "); got != "open|create open write open sync rename sync syncdir" {
		t.Errorf("it was asked for %s", got)
	}
}

func TestFailSyncOverADirectoryDoesNotSync(t *testing.T) {
	both(t, func(t *testing.T, in *faultfs.Injector) {
		in.Add(faultfs.Rule{On: faultfs.OpSync | faultfs.OpSyncData | faultfs.OpSyncDir, Do: faultfs.FailSync()})
		for name, err := range map[string]error{
			"Sync": on(in, "f", 0, faultfs.File.Sync), "SyncData": on(in, "f", 0, faultfs.File.SyncData), "SyncDir": in.SyncDir("."),
		} {
			if !errors.Is(err, syscall.EIO) || !errors.As(err, new(*fs.PathError)) {
				t.Errorf("%s: error is %v, want EIO", name, err)
			}
		}
		if got := found(t, in); got != "d/ f=abcd" {
			t.Errorf("there is %q", got)
		}
	})
}

func TestFailSyncOfAFolderKeepsNoNames(t *testing.T) {
	m := faultfs.NewDisk(loose).Mount()
	in := faultfs.Inject(m, faultfs.Rule{On: faultfs.OpSyncDir, Nth: 1, Do: faultfs.FailSync()})
	if err := errors.Join(in.Mkdir("d", 0o700), in.SyncDir(".")); !errors.Is(err, syscall.EIO) {
		t.Errorf("error is %v", err)
	}
	if states := afterCrashes(t, m.Snapshot()); strings.Join(states, "|") != "|d/" {
		t.Errorf("there may be %q", states)
	}
	play(t, in, "syncdir .")
	if states := afterCrashes(t, m.Kill()); strings.Join(states, "|") != "d/" {
		t.Errorf("after another sync there may be %q", states)
	}
}

func TestFlipSpoilsOneReadAndNotTheDisk(t *testing.T) {
	both(t, func(t *testing.T, in *faultfs.Injector) {
		in.Add(faultfs.Rule{On: faultfs.OpRead | faultfs.OpReadAt, Do: faultfs.Flip(0x20)})
		f, err := in.OpenFile("f", os.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		b := make([]byte, 2)
		if n, err := f.ReadAt(b, 1); n != 2 || err != nil || string(b) != "Bc" {
			t.Errorf("ReadAt gives %q, %v", b[:n], err)
		}
		if n, err := f.Read(b); n != 2 || err != nil || string(b) != "Ab" {
			t.Errorf("Read gives %q, %v", b[:n], err)
		}
		if n, err := f.ReadAt(b, 4); n != 0 || err != io.EOF {
			t.Errorf("at the end: %d, %v", n, err)
		}
		in.Clear()
		if got := found(t, in); got != "d/ f=abcd" {
			t.Errorf("there is %q", got)
		}
		in.Add(faultfs.Rule{On: faultfs.OpReadAt, Do: faultfs.Flip(0)})
		if _, err := f.ReadAt(b, 0); err != nil || b[0] != 'a'^1 {
			t.Errorf("a mask of 0 gives %q, %v", b, err)
		}
	})
}

func TestStaleReadsWhatWasDurable(t *testing.T) {
	m := faultfs.NewDisk(loose).Mount()
	play(t, m, "create f; write f 0 abcd; sync f; syncdir .; write f 0 xyz; write f 4 more")
	in := faultfs.Inject(m, faultfs.Rule{On: faultfs.OpReadAt, Nth: 1, Do: faultfs.Stale()})
	f, err := in.OpenFile("f", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 8)
	if n, err := f.ReadAt(b, 0); err != io.EOF || string(b[:n]) != "abcd" {
		t.Errorf("the stale read gives %q, %v", b[:n], err)
	}
	if n, err := f.ReadAt(b, 0); err != nil || string(b[:n]) != "xyzdmore" {
		t.Errorf("the read after it gives %q, %v", b[:n], err)
	}
}

func TestQuotaLetsThroughWhatStillFits(t *testing.T) {
	quota := faultfs.Rule{On: faultfs.OpCreate | faultfs.OpWrite | faultfs.OpAllocate, Do: faultfs.Quota(10)}
	start := func(t *testing.T, script string) *faultfs.Injector {
		m := faultfs.NewDisk(loose).Mount()
		play(t, m, script)
		return faultfs.Inject(m, quota)
	}
	for _, test := range []struct{ name, begin, do, want string }{
		{"fits", "create f", "write f 0 0123456789", ""},
		{"too long", "create f", "write f 0 0123456789A", "f=0123456789"},
		{"other files count", "create f; create g; write g 0 12345", "write f 0 abcdefgh", "f=abcde g=12345"},
		{"over what is there", "create f; write f 0 0123456789", "write f 5 x", ""},
		{"no room at all", "create f; write f 0 0123456789", "write f 10 x", "f=0123456789"},
		{"over the end", "create f; write f 0 01234567", "write f 6 abcdef", "f=012345abcd"},
		{"behind a gap", "create f", "write f 12 x", "f="},
		{"more than fits already", "create f; write f 0 0123456789abc", "write f 13 d", "f=0123456789abc"},
		{"reserve what fits", "create f", "allocate f 10", ""},
		{"reserve too much", "create f; create g; write g 0 12345", "allocate f 9", "f=..... g=12345"},
		{"new file", "create f; write f 0 012345678", "create g", ""},
		{"new file without room", "create f; write f 0 0123456789", "create g", "f=0123456789"},
		{"old file without room", "create f; write f 0 0123456789", "sync f", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := start(t, test.begin)
			err := step(in, test.do)
			if test.want == "" {
				if err != nil {
					t.Errorf("error is %v", err)
				}
				return
			}
			if !errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.ENOSPC) {
				t.Errorf("error is %v, want EDQUOT", err)
			}
			if got := found(t, in); got != test.want {
				t.Errorf("there is %q, want %q", got, test.want)
			}
		})
	}
	in := start(t, "create f; write f 0 012345")
	err := on(in, "f", 0, func(f faultfs.File) error {
		n, err := f.WriteAt([]byte("abcdef"), 6)
		if n != 4 {
			t.Errorf("%d bytes were written, want 4", n)
		}
		return err
	})
	if !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("error is %v, want ErrShortWrite too", err)
	}
	if _, err := in.OpenFile("f", os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		t.Errorf("a file that is there cannot be opened: %v", err)
	}
}

// A rule that cannot do what it says is loud, and the operation is not done.
func TestEffectsThatAnOperationCannotHaveAreLoud(t *testing.T) {
	file := func(do func(f faultfs.File) error) func(fsys faultfs.FS) error {
		return func(fsys faultfs.FS) error { return on(fsys, "f", 0, do) }
	}
	b := make([]byte, 1)
	operations := map[faultfs.Op]func(fsys faultfs.FS) error{
		faultfs.OpOpen:      func(fsys faultfs.FS) error { _, err := fsys.Open("f"); return err },
		faultfs.OpCreate:    func(fsys faultfs.FS) error { return step(fsys, "create g") },
		faultfs.OpRead:      file(func(f faultfs.File) error { _, err := f.Read(b); return err }),
		faultfs.OpReadAt:    file(func(f faultfs.File) error { _, err := f.ReadAt(b, 0); return err }),
		faultfs.OpWrite:     func(fsys faultfs.FS) error { return step(fsys, "write f 0 xyz") },
		faultfs.OpSync:      file(faultfs.File.Sync),
		faultfs.OpSyncData:  file(faultfs.File.SyncData),
		faultfs.OpWriteback: file(faultfs.File.Writeback),
		faultfs.OpSyncDir:   func(fsys faultfs.FS) error { return fsys.SyncDir(".") },
		faultfs.OpRename:    func(fsys faultfs.FS) error { return fsys.Rename("f", "g") },
		faultfs.OpRemove:    func(fsys faultfs.FS) error { return fsys.Remove("f") },
		faultfs.OpMkdir:     func(fsys faultfs.FS) error { return fsys.Mkdir("e", 0o700) },
		faultfs.OpTruncate:  file(func(f faultfs.File) error { return f.Truncate(1) }),
		faultfs.OpAllocate:  file(func(f faultfs.File) error { return f.Allocate(0, 9) }),
		faultfs.OpLock:      func(fsys faultfs.FS) error { _, err := fsys.Lock("g"); return err },
		faultfs.OpReadDir:   func(fsys faultfs.FS) error { _, err := fsys.ReadDir("."); return err },
	}
	const changes = faultfs.OpWrite | faultfs.OpSync | faultfs.OpSyncData | faultfs.OpWriteback | faultfs.OpSyncDir |
		faultfs.OpRename | faultfs.OpRemove | faultfs.OpMkdir | faultfs.OpTruncate | faultfs.OpAllocate
	for _, effect := range []struct {
		do       faultfs.Effect
		can      faultfs.Op
		ofMounts bool
	}{
		{faultfs.Lie(), changes, false},
		{faultfs.Late(), changes, false},
		{faultfs.FailSync(), faultfs.OpSync | faultfs.OpSyncData | faultfs.OpSyncDir, false},
		{faultfs.Flip(1), faultfs.OpRead | faultfs.OpReadAt, false},
		{faultfs.Stale(), faultfs.OpReadAt, true},
		{faultfs.Quota(1000), faultfs.OpCreate | faultfs.OpWrite | faultfs.OpAllocate, true},
	} {
		for op, do := range operations {
			t.Run(effect.do.String()+" "+op.String(), func(t *testing.T) {
				both(t, func(t *testing.T, in *faultfs.Injector) {
					in.Add(faultfs.Rule{On: op, Do: effect.do})
					err := do(in)
					can := effect.can&op != 0 && !(effect.ofMounts && strings.HasSuffix(t.Name(), "/Dir"))
					if can == errors.Is(err, errors.ErrUnsupported) {
						t.Errorf("error is %v", err)
					}
					in.Clear()
					if got := found(t, in); !can && got != "d/ f=abcd" {
						t.Errorf("there is %q", got)
					}
				})
			})
		}
	}
}
