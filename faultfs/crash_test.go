package faultfs_test

import (
	"slices"
	"strings"
	"testing"

	"batpak/faultfs"
)

var (
	// inOrder is the zero model, and loose keeps any subset of everything.
	inOrder = faultfs.Model{Sector: 4}
	loose   = faultfs.Model{Sector: 4, Reorder: true, Namespace: faultfs.Arbitrary}

	presets = map[string]faultfs.Model{"POSIX": faultfs.POSIX, "ext4": faultfs.Ext4, "XFS": faultfs.XFS, "Btrfs": faultfs.Btrfs}
)

func with(m faultfs.Model, change func(m *faultfs.Model)) faultfs.Model {
	change(&m)
	return m
}

// What may be found after a loss of power: exactly these states.
func TestCrashLeavesExactly(t *testing.T) {
	sizeFirst := func(m *faultfs.Model) { m.SizeFirst = true }
	journaled := func(m *faultfs.Model) { m.Namespace = faultfs.Journaled }
	savesName := func(m *faultfs.Model) { m.FsyncSavesName = true }
	tears := func(m *faultfs.Model) { m.TearSector = true }
	for _, test := range []struct {
		name    string
		model   faultfs.Model
		durable string // steps, all of which are made durable
		script  string
		want    string // states, separated by "|"
	}{
		{"nothing was done", loose, "create f; write f 0 aaaa", "", "f=aaaa"},
		{"sectors in order", inOrder, "create f", "write f 0 aaaabbbb", "f=|f=aaaa|f=aaaabbbb"},
		{"any sectors", loose, "create f", "write f 0 aaaabbbb", "f=|f=....bbbb|f=aaaa|f=aaaabbbb"},
		{"sectors over others", loose, "create f; write f 0 aaaabbbb", "write f 2 xxxx", "f=aaaabbbb|f=aaaaxxbb|f=aaxxbbbb|f=aaxxxxbb"},
		{"writes in order", inOrder, "create f", "write f 4 bbbb; write f 0 aaaa", "f=|f=....bbbb|f=aaaabbbb"},
		{"two writes of one sector", loose, "create f; write f 0 aaaa", "write f 0 b; write f 1 c", "f=aaaa|f=baaa|f=bcaa"},
		{"size before bytes, in order", with(inOrder, sizeFirst), "create f", "write f 0 aaaabbbb", "f=|f=........|f=aaaa....|f=aaaabbbb"},
		{"size before bytes, any", with(loose, sizeFirst), "create f", "write f 0 aaaabb", "f=|f=......|f=....bb|f=aaaa|f=aaaa..|f=aaaabb"},
		{"bytes that were synced", loose, "create f", "write f 0 aaaabbbb; sync f", "f=aaaabbbb"},
		{"bytes after a sync", loose, "create f", "write f 0 aaaa; sync f; write f 4 b", "f=aaaa|f=aaaab"},
		{"a sync of one file", loose, "create f; create g", "write f 0 a; write g 0 b; sync f", "f=a g=|f=a g=b"},
		{"cut", loose, "create f; write f 0 aaaabb", "truncate f 1", "f=a|f=aaaabb"},
		{"cut and grown again", loose, "create f; write f 0 aaaa", "truncate f 1; truncate f 3", "f=a|f=a..|f=aaa|f=aaaa"},
		{"reserved", loose, "create f; write f 0 a", "allocate f 3", "f=a|f=a.."},
		{"nothing behind the end", loose, "create f", "write f 0 aaaa; write f 0 b; allocate f 6", "f=|f=......|f=aaaa|f=aaaa..|f=b|f=b.....|f=baaa|f=baaa.."},

		{"more than is searched", with(loose, func(m *faultfs.Model) { m.Subsets = 2 }), "create f; write f 0 aaaabbbbcccc", "write f 0 xxxxxxxxxxxx",
			"f=aaaabbbbcccc|f=aaaabbbbxxxx|f=aaaaxxxxcccc|f=aaaaxxxxxxxx|f=xxxxbbbbcccc|f=xxxxbbbbxxxx|f=xxxxxxxxcccc|f=xxxxxxxxxxxx"},
		{"many more than are searched", with(loose, func(m *faultfs.Model) { m.Subsets = 1 }), "create f; write f 0 aaaabbbbccccdddd", "write f 0 xxxxxxxxxxxxxxxx",
			"f=aaaabbbbccccdddd|f=xxxxxxxxxxxxxxxx" +
				"|f=aaaabbbbccccxxxx|f=aaaabbbbxxxxdddd|f=aaaaxxxxccccdddd|f=xxxxbbbbccccdddd" +
				"|f=aaaaxxxxxxxxxxxx|f=xxxxbbbbxxxxxxxx|f=xxxxxxxxccccxxxx|f=xxxxxxxxxxxxdddd"},

		// Of "aaaa" and "abca" the two in the middle changed: the first, the last, or garbage.
		{"torn", with(loose, tears), "create f; write f 0 aaaa", "write f 0 abca", "f=aaaa|f=aaca|f=abaa|f=abca|f=a\xc7\xc6a"},
		{"only one is torn", with(loose, tears), "create f; write f 0 aaaabbbb", "write f 1 xx; write f 5 yy",
			"f=aaaabbbb|f=aaaabyyb|f=axxabbbb|f=axxabyyb" + // none is torn
				"|f=aaxabbbb|f=axaabbbb|f=a\xdd\xddabbbb|f=aaxabyyb|f=axaabyyb|f=a\xdd\xddabyyb" +
				"|f=aaaabbyb|f=aaaabybb|f=aaaab\xdc\xdcb|f=axxabbyb|f=axxabybb|f=axxab\xdc\xdcb"},
		{"torn in order", with(inOrder, tears), "create f; write f 0 aaaabbbb", "write f 0 xx; write f 4 yy",
			"f=aaaabbbb|f=xxaabbbb|f=xxaayybb" +
				"|f=axaabbbb|f=xaaabbbb|f=\xdd\xddaabbbb" +
				"|f=xxaabybb|f=xxaaybbb|f=xxaa\xdc\xdcbb"},

		{"new names in order", inOrder, "", "create a; create b", "|a=|a= b="},
		{"new names, any", loose, "", "create a; create b", "|a=|a= b=|b="},
		{"new names, any bytes", with(loose, journaled), "", "create a; write a 0 x; create b", "|a=|a= b=|a=x|a=x b="},
		{"bytes of a name that is lost", loose, "", "create a; write a 0 x; sync a", "|a=x"},
		{"rename", loose, "create a; write a 0 x", "rename a b", "a=x|b=x"},
		{"rename over another", loose, "create a; write a 0 x; create b; write b 0 y", "rename a b", "a=x b=y|b=x"},
		{"rename of bytes that were not synced", loose, "create b; write b 0 y", "create a; write a 0 x; rename a b", "a= b=y|a=x b=y|b=|b=x|b=y"},
		{"remove", loose, "create a; write a 0 x", "remove a", "|a=x"},
		{"remove that was synced", loose, "create a; write a 0 x", "remove a; syncdir .", ""},
		{"remove and make again", loose, "create a; write a 0 x", "remove a; create a; write a 0 y; sync a", "|a=x|a=y"},
		{"remove and make again, in order", inOrder, "create a; write a 0 x", "remove a; create a; write a 0 y; sync a", "|a=x|a=y"},
		{"folder", loose, "", "mkdir d", "|d/"},
		{"folder removed", loose, "mkdir d", "remove d", "|d/"},
		{"folder renamed", loose, "mkdir d; create d/f; write d/f 0 x", "rename d e", "d/ d/f=x|e/ e/f=x"},
		{"file in a folder that is lost", loose, "", "mkdir d; create d/f; write d/f 0 x; sync d/f; syncdir d", "|d/ d/f=x"},
		{"file in a folder that is kept", loose, "", "mkdir d; syncdir .; create d/f; write d/f 0 x; sync d/f", "d/|d/ d/f=x"},
		{"between folders, in order", with(loose, journaled), "mkdir d; mkdir e; create d/f", "rename d/f e/f", "d/ d/f= e/|d/ e/ e/f="},
		{"between folders, any", loose, "mkdir d; mkdir e; create d/f", "rename d/f e/f", "d/ d/f= e/|d/ d/f= e/ e/f=|d/ e/|d/ e/ e/f="},
		{"between folders, old one synced", loose, "mkdir d; mkdir e; create d/f", "rename d/f e/f; syncdir d", "d/ e/|d/ e/ e/f="},
		{"between folders, new one synced", loose, "mkdir d; mkdir e; create d/f", "rename d/f e/f; syncdir e", "d/ d/f= e/ e/f=|d/ e/ e/f="},
		{"between folders, both synced", loose, "mkdir d; mkdir e; create d/f", "rename d/f e/f; syncdir e; syncdir d", "d/ e/ e/f="},

		{"sync of a folder, any", loose, "mkdir d", "create d/f; create g; syncdir d", "d/ d/f=|d/ d/f= g="},
		{"sync of another folder, any", loose, "mkdir d", "create d/f; create g; syncdir .", "d/ d/f= g=|d/ g="},
		{"sync of a folder, in order", inOrder, "mkdir d", "create d/f; create g; syncdir d; create h", "d/ d/f= g=|d/ d/f= g= h="},
		{"sync of a folder and not of bytes", loose, "", "create f; write f 0 x; syncdir .", "f=|f=x"},

		{"sync of a file and not of its name", loose, "", "create f; sync f", "|f="},
		{"sync saves the names so far", with(with(loose, journaled), savesName), "mkdir d", "create g; create d/f; sync d/f; create h", "d/ d/f= g=|d/ d/f= g= h="},
		{"sync saves its name only", with(loose, savesName), "", "create g; create f; sync f", "f=|f= g="},
		{"sync saves its new name", with(loose, savesName), "", "create f; write f 0 x; rename f g; sync g", "g=x"},
		{"sync saves the way to it", with(loose, savesName), "", "mkdir d; mkdir d/e; create d/e/f; create d/g; sync d/e/f", "d/ d/e/ d/e/f=|d/ d/e/ d/e/f= d/g="},
		{"what a saved name replaced stays replaced", with(loose, savesName), "", "create b; write b 0 y; create a; write a 0 x; rename a b; sync b", "b=x"},
		{"what was moved away before is moved", with(loose, savesName), "create b; write b 0 y", "rename b c; create b; sync b", "b= c=y"},
	} {
		t.Run(test.name, func(t *testing.T) {
			setup := faultfs.NewDisk(test.model).Mount()
			play(t, setup, test.durable)
			boot := settled(t, setup).Mount()
			play(t, boot, test.script)
			want := slices.Compact(slices.Sorted(strings.SplitSeq(test.want, "|")))
			if got := afterCrashes(t, boot.Snapshot()); !slices.Equal(got, want) {
				t.Errorf("after %q there is\n%q, want\n%q", test.script, got, want)
			}
			if all := found(t, boot.Snapshot().Crash(faultfs.Given()).Mount()); all != found(t, boot) {
				t.Errorf("when all is kept there is %q, want %q", all, found(t, boot))
			}
		})
	}
}

// settled is the disk with everything on it durable.
func settled(t *testing.T, m *faultfs.Mount) *faultfs.Disk {
	d := m.Crash(faultfs.Given()) // all is kept
	if n := d.Unsynced(); n != 0 {
		t.Fatalf("%d units are not synced after a crash", n)
	}
	return d
}

// What is asked of each preset: may that be found?
func TestPresetsKeepAndLose(t *testing.T) {
	const (
		may   = true
		never = false
	)
	for _, test := range []struct {
		script, state           string
		posix, ext4, xfs, btrfs bool
	}{
		{"create f; write f 0 aaaa", "", may, may, may, may},
		{"create f; sync f", "", may, never, never, never},
		{"create f; syncdir .; write f 0 aaaabbbb", "f=....bbbb", may, may, may, may},
		{"create f; syncdir .; write f 0 aaaabbbb", "f=........", may, never, never, never},
		{"create f; syncdir .; write f 0 aaaabbbb; sync f", "f=aaaa", never, never, never, never},
		{"create a; create b", "b=", may, never, never, may},
		{"create a; create b; sync b", "b=", may, never, never, may},
		{"create a; create b; sync a", "", may, never, never, never},
		{"create a; create b; sync b", "a= b=", may, may, may, may},
		{"create a; create b; syncdir .", "b=", never, never, never, never},
		{"create f; write f 0 old; sync f; syncdir .; create t; write t 0 new; rename t f", "f=", may, may, may, may},
		{"create f; write f 0 old; sync f; syncdir .; create t; write t 0 new; sync t; rename t f", "f=", never, never, never, never},
		{"create f; write f 0 old; sync f; syncdir .; create t; write t 0 new; sync t; rename t f", "f=old", may, never, never, never},
		{"create f; write f 0 old; sync f; syncdir .; create t; write t 0 new; sync t; rename t f", "f=old t=new", may, may, may, may},
		{"create f; write f 0 old; sync f; syncdir .; create t; write t 0 new; rename t f; sync f", "f=old", may, never, never, never},
		{"create f; syncdir .; remove f", "f=", may, may, may, may},
		{"create f; syncdir .; remove f; create g", "f= g=", may, never, never, may},
		{"mkdir d; mkdir e; create d/f; syncdir d; syncdir .; rename d/f e/f", "d/ e/", may, never, never, may},
		{"mkdir d; mkdir e; create d/f; syncdir d; syncdir .; rename d/f e/f; syncdir e; syncdir d", "d/ d/f= e/", never, never, never, never},
		{"mkdir d; create d/f; syncdir d", "", may, never, never, may},
		{"mkdir d; create d/f; sync d/f", "", may, never, never, never},
	} {
		for name, want := range map[string]bool{"POSIX": test.posix, "ext4": test.ext4, "XFS": test.xfs, "Btrfs": test.btrfs} {
			boot := faultfs.NewDisk(tiny(presets[name])).Mount()
			play(t, boot, test.script)
			states := afterCrashes(t, boot.Snapshot())
			if slices.Contains(states, test.state) != want {
				t.Errorf("%s: after %q it is %v that %q may be found, of %q", name, test.script, !want, test.state, states)
			}
		}
	}
}

func TestOnlyPOSIXTearsSectors(t *testing.T) {
	for name, m := range presets {
		m.Sector = 4
		boot := faultfs.NewDisk(m).Mount()
		play(t, boot, "create f; write f 0 aaaa; sync f; syncdir .; write f 1 bc")
		states := afterCrashes(t, boot.Snapshot())
		if torn := slices.Contains(states, "f=abaa"); torn != (name == "POSIX") {
			t.Errorf("%s: %q", name, states)
		}
	}
}

// A sector is 512 bytes unless a model says otherwise, and is kept whole.
func TestSectorIsFiveHundredAndTwelveBytes(t *testing.T) {
	boot := faultfs.NewDisk(faultfs.Model{}).Mount()
	play(t, boot, "create f; syncdir .; write f 0 "+strings.Repeat("x", 1300))
	var sizes []int
	for _, state := range afterCrashes(t, boot.Snapshot()) {
		sizes = append(sizes, len(state)-len("f="))
	}
	if want := []int{0, 512, 1024, 1300}; !slices.Equal(sizes, want) {
		t.Errorf("sizes are %v, want %v", sizes, want)
	}
}

// Folders that are moved into each other are not left inside of themselves.
func TestNoFolderIsFoundInsideOfItself(t *testing.T) {
	boot := faultfs.NewDisk(loose).Mount()
	play(t, boot, "mkdir a; mkdir b; syncdir .; rename a b/a; rename b/a c; rename b c/b")
	states := afterCrashes(t, boot.Snapshot())
	if !slices.Contains(states, "c/ c/b/") || !slices.Contains(states, "a/ b/") {
		t.Errorf("%q", states)
	}
}
