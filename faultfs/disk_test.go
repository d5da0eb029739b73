package faultfs_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"

	"batpak/faultfs"
)

func TestFailedSyncLeavesWhatThePolicySays(t *testing.T) {
	const begin = "create f; write f 0 aaaa; sync f; syncdir .; write f 0 bbbbcccc; failsync f; "
	for _, test := range []struct {
		name        string
		policy      faultfs.FailedSync
		script      string
		read, after string // a loss of power, which keeps nothing that it may lose
	}{
		{"KeepClean", faultfs.KeepClean, "", "f=bbbbcccc", "f=aaaa"},
		{"KeepClean, synced again", faultfs.KeepClean, "sync f", "f=bbbbcccc", "f=aaaa"},
		{"KeepClean, written again", faultfs.KeepClean, "write f 0 bbbbcccc", "f=bbbbcccc", "f=aaaa"},
		{"KeepClean, written again and synced", faultfs.KeepClean, "write f 0 bbbbcccc; sync f", "f=bbbbcccc", "f=bbbbcccc"},
		{"KeepClean, half written again and synced", faultfs.KeepClean, "write f 0 bbbb; sync f", "f=bbbbcccc", "f=bbbb"},
		{"KeepClean, a byte of each written again and synced", faultfs.KeepClean, "write f 3 bc; sync f", "f=bbbbcccc", "f=bbbbc"},
		{"KeepClean, more written and synced", faultfs.KeepClean, "write f 8 d; sync f", "f=bbbbccccd", "f=aaaa....d"},
		{"KeepClean, cut again and synced", faultfs.KeepClean, "truncate f 8; sync f", "f=bbbbcccc", "f=aaaa...."},
		{"Revert", faultfs.Revert, "", "f=aaaa", "f=aaaa"},
		{"Revert, synced again", faultfs.Revert, "sync f", "f=aaaa", "f=aaaa"},
		{"Revert, written again and synced", faultfs.Revert, "write f 0 bbbbcccc; sync f", "f=bbbbcccc", "f=bbbbcccc"},
		{"Redirty", faultfs.Redirty, "", "f=bbbbcccc", "f=aaaa"},
		{"Redirty, synced again", faultfs.Redirty, "sync f", "f=bbbbcccc", "f=bbbbcccc"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, sizeFirst := range []bool{false, true} {
				boot := faultfs.NewDisk(with(loose, func(m *faultfs.Model) { m.FailedSync, m.SizeFirst = test.policy, sizeFirst })).Mount()
				play(t, boot, begin+test.script)
				if got := found(t, boot); got != test.read {
					t.Errorf("what is read is %q, want %q", got, test.read)
				}
				units := boot.Snapshot().Unsynced()
				lost := make([]int, units)
				for i := range lost {
					lost[i] = 1
				}
				after := boot.Crash(faultfs.Given(lost...)).Mount()
				if got := found(t, after); got != test.after {
					t.Errorf("SizeFirst %v: after a crash there is %q, want %q", sizeFirst, got, test.after)
				}
			}
		})
	}
}

// What a failed sync took for written is lost even when all that may be kept is kept.
func TestZerosWrittenAgainAfterAFailedSyncAreDurable(t *testing.T) {
	for _, sizeFirst := range []bool{false, true} {
		boot := faultfs.NewDisk(faultfs.Model{Sector: 4, SizeFirst: sizeFirst}).Mount()
		play(t, boot, "create f; syncdir .; write f 0 aaaa....; failsync f")
		if got := found(t, boot.Snapshot().Crash(faultfs.Given()).Mount()); got != "f=" {
			t.Errorf("lost bytes are there: %q", got)
		}
		play(t, boot, "write f 0 aaaa....; sync f")
		if got := found(t, boot.Crash(faultfs.Given()).Mount()); got != "f=aaaa...." {
			t.Errorf("SizeFirst %v: written again and synced there is %q", sizeFirst, got)
		}
	}
}

func TestKillKeepsTheCacheAndItStaysUnsynced(t *testing.T) {
	boot := faultfs.NewDisk(loose).Mount()
	play(t, boot, "create f; syncdir .; write f 0 aaaa; create g")
	killed := boot.Kill()
	if n := killed.Unsynced(); n != 2 {
		t.Errorf("%d units are not synced, want 2", n)
	}
	again := killed.Mount()
	if got := found(t, again); got != "f=aaaa g=" {
		t.Errorf("after a kill there is %q", got)
	}
	play(t, again, "sync g") // which has nothing to do with the rest
	if states := afterCrashes(t, again.Snapshot()); strings.Join(states, "|") != "f=|f= g=|f=aaaa|f=aaaa g=" {
		t.Errorf("after a kill and a loss of power there may be %q", states)
	}
	play(t, again, "sync f; syncdir .")
	if states := afterCrashes(t, again.Kill()); len(states) != 1 || states[0] != "f=aaaa g=" {
		t.Errorf("what the next program synced may be %q", states)
	}
}

func TestSnapshotLetsTheMountGoOn(t *testing.T) {
	boot := faultfs.NewDisk(loose).Mount()
	play(t, boot, "create f; write f 0 aaaa")
	before := boot.Snapshot()
	play(t, boot, "write f 0 bbbb; remove f")
	if got := found(t, before.Mount()); got != "f=aaaa" {
		t.Errorf("the snapshot has %q", got)
	}
	if got := found(t, boot); got != "" {
		t.Errorf("the mount has %q", got)
	}
}

func TestDeadMountAndItsFilesSayThatItCrashed(t *testing.T) {
	for name, end := range map[string]func(m *faultfs.Mount){
		"kill":  func(m *faultfs.Mount) { m.Kill() },
		"crash": func(m *faultfs.Mount) { m.Crash(faultfs.Given()) },
	} {
		t.Run(name, func(t *testing.T) {
			m := faultfs.NewDisk(faultfs.POSIX).Mount()
			play(t, m, "create f; mkdir d; write f 0 aaaa")
			file, err := m.OpenFile("f", os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			folder, err := m.Open(".")
			if err != nil {
				t.Fatal(err)
			}
			lock, err := m.Lock("LOCK")
			if err != nil {
				t.Fatal(err)
			}
			end(m)
			b := make([]byte, 1)
			for op, do := range map[string]func() error{
				"Open":           func() error { _, err := m.Open("f"); return err },
				"OpenFile":       func() error { _, err := m.OpenFile("g", os.O_RDWR|os.O_CREATE, 0o600); return err },
				"ReadDir":        func() error { _, err := m.ReadDir("."); return err },
				"Rename":         func() error { return m.Rename("f", "g") },
				"Remove":         func() error { return m.Remove("f") },
				"Mkdir":          func() error { return m.Mkdir("e", 0o700) },
				"SyncDir":        func() error { return m.SyncDir(".") },
				"Lock":           func() error { _, err := m.Lock("other"); return err },
				"Stat":           func() error { _, err := file.Stat(); return err },
				"Read":           func() error { _, err := file.Read(b); return err },
				"ReadAt":         func() error { _, err := file.ReadAt(b, 0); return err },
				"WriteAt":        func() error { _, err := file.WriteAt(b, 0); return err },
				"Truncate":       func() error { return file.Truncate(0) },
				"Allocate":       func() error { return file.Allocate(0, 1) },
				"Writeback":      func() error { return file.Writeback() },
				"SyncData":       func() error { return file.SyncData() },
				"Sync":           func() error { return file.Sync() },
				"folder.ReadDir": func() error { _, err := folder.(fs.ReadDirFile).ReadDir(-1); return err },
				"folder.Stat":    func() error { _, err := folder.Stat(); return err },
			} {
				if err := do(); !errors.Is(err, faultfs.ErrCrashed) {
					t.Errorf("%s: error is %v, want ErrCrashed", op, err)
				}
			}
			if err := errors.Join(file.Close(), folder.Close(), lock.Close()); err != nil {
				t.Errorf("closing says %v", err)
			}
			if err := file.Sync(); !errors.Is(err, fs.ErrClosed) {
				t.Errorf("a closed file says %v, want ErrClosed", err)
			}
			if got := found(t, m.Snapshot().Mount()); !strings.Contains(got, "f=aaaa") {
				t.Errorf("there is %q", got)
			}
		})
	}
}

func TestALockIsGoneWithItsMount(t *testing.T) {
	m := faultfs.NewDisk(loose).Mount()
	if _, err := m.Lock("LOCK"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Lock("LOCK"); !errors.Is(err, faultfs.ErrLocked) {
		t.Errorf("error is %v, want ErrLocked", err)
	}
	if _, err := m.Kill().Mount().Lock("LOCK"); err != nil {
		t.Errorf("after a kill: %v", err)
	}
}

// A disk is a value: what happens on mounts of it, and on disks that crashes made of
// it, stays there.
func TestMountsOfOneDiskDoNotInterfere(t *testing.T) {
	setup := faultfs.NewDisk(loose).Mount()
	play(t, setup, "create f; write f 0 aaaabbbb; sync f; syncdir .; write f 0 xxxx; create g")
	disk := setup.Kill()
	image := disk.Image()
	one, other := disk.Mount(), disk.Mount()
	play(t, one, "write f 0 11112222; sync f; remove g; mkdir d; syncdir .")
	play(t, other, "truncate f 1; rename f h; syncdir .")
	if err := disk.Crash(faultfs.Given(1, 1, 1)).Flip("f", 0, 1); err != nil {
		t.Fatal(err)
	}
	if got := found(t, one); got != "d/ f=11112222" {
		t.Errorf("the first mount has %q", got)
	}
	if got := found(t, other); got != "g= h=x" {
		t.Errorf("the second mount has %q", got)
	}
	if got := disk.Image(); got != image {
		t.Errorf("the disk was\n%sand is\n%s", image, got)
	}
	if states := afterCrashes(t, disk); strings.Join(states, "|") != "f=aaaabbbb|f=aaaabbbb g=|f=xxxxbbbb|f=xxxxbbbb g=" {
		t.Errorf("%q", states)
	}
}

func TestADiskMayBeBootedFromConcurrently(t *testing.T) {
	setup := faultfs.NewDisk(faultfs.POSIX).Mount()
	play(t, setup, "create f; write f 0 aaaabbbb; sync f; syncdir .; write f 0 xxxx")
	disk := setup.Kill()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for c := range faultfs.AllChoices() {
				m := disk.Crash(c).Mount()
				err := step(m, "write f 2 y")
				if b, rerr := fs.ReadFile(m, "f"); err != nil || rerr != nil || b[2] != 'y' {
					t.Errorf("%q, %v, %v", b, err, rerr)
				}
				disk.Digest()
				disk.Image()
			}
		})
	}
	wg.Wait()
}

func TestRotIsDurable(t *testing.T) {
	setup := faultfs.NewDisk(loose).Mount()
	play(t, setup, "create f; write f 0 aaaabbbb; sync f; syncdir .; write f 0 xxxx; mkdir d; create d/g; write d/g 0 y")
	disk := setup.Kill()
	if err := errors.Join(disk.Flip("f", 5, 0x01), disk.Truncate("d/g", 0)); err != nil {
		t.Fatal(err)
	}
	if got := found(t, disk.Mount()); got != "d/ d/g= f=xxxxbcbb" {
		t.Errorf("there is %q", got)
	}
	if states := afterCrashes(t, disk); strings.Join(states, "|") != "d/ d/g= f=xxxxbcbb|d/ f=xxxxbcbb|f=xxxxbcbb" {
		t.Errorf("%q", states)
	}
	for what, err := range map[string]error{
		"flip behind the end": disk.Flip("f", 8, 1), "flip before the start": disk.Flip("f", -1, 1), "flip a folder": disk.Flip("d", 0, 1),
		"cut to more": disk.Truncate("f", 9), "cut to less than nothing": disk.Truncate("f", -1), "cut a folder": disk.Truncate("d", 0),
		"a bad name": disk.Flip("../f", 0, 1),
	} {
		if !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: error is %v, want ErrInvalid", what, err)
		}
	}
	if err := disk.Flip("missing", 0, 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v, want ErrNotExist", err)
	}
}

func TestUsedIsTheSumOfSizes(t *testing.T) {
	m := faultfs.NewDisk(loose).Mount()
	play(t, m, "create f; write f 6 a; mkdir d; create d/g; allocate d/g 5; create h; write h 0 abc; remove h")
	if used := m.Used(); used != 12 {
		t.Errorf("%d bytes are used, want 12", used)
	}
}

// Files of a mount that are closed or opened for something else refuse.
func TestMountFileRefusesWhatItWasNotOpenedFor(t *testing.T) {
	m := faultfs.NewDisk(loose).Mount()
	play(t, m, "create f; write f 0 abc")
	r, err := m.OpenFile("f", os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	w, err := m.OpenFile("f", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.WriteAt([]byte("x"), 0); err == nil {
		t.Error("a file that is open for reading was written")
	}
	if _, err := w.ReadAt(make([]byte, 1), 0); err == nil || err == io.EOF {
		t.Errorf("a file that is open for writing was read: %v", err)
	}
	if got := found(t, m); got != "f=abc" {
		t.Errorf("there is %q", got)
	}
}
