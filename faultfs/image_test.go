package faultfs_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"batpak/faultfs"
)

func image(t *testing.T, script string) *faultfs.Disk {
	t.Helper()
	m := faultfs.NewDisk(loose).Mount()
	play(t, m, script)
	return m.Kill()
}

// Image and digest are equal for the same names and bytes, however they came to be,
// and for no others.
func TestImageAndDigestTellDisksApart(t *testing.T) {
	const end = "; sync f; syncdir ."
	same := []string{
		"create f; write f 0 aaaabbbb" + end,
		"create f; write f 4 bbbb; write f 0 aaaa" + end,
		"create f; write f 0 aaaabbbbcccc; truncate f 8" + end,
		"create g; write g 0 aaaabbbb; rename g f" + end,
		"create f; write f 0 x; remove f; create f; allocate f 8; write f 0 aaaabbbb" + end,
	}
	first := image(t, same[0])
	for _, script := range same[1:] {
		d := image(t, script)
		if d.Image() != first.Image() || d.Digest() != first.Digest() {
			t.Errorf("after %q the disk is\n%s, want\n%s", script, d.Image(), first.Image())
		}
	}
	others := []string{
		"", "create g; write g 0 aaaabbbb; syncdir .; sync g", "create f" + end, "mkdir f; syncdir .",
		"create f; write f 0 aaaabbb" + end, "create f; write f 0 aaaabbbb." + end, "create f; write f 0 bbbbaaaa" + end,
		"create f; write f 0 aaaabbbb; create g" + end, "mkdir d; create d/f; write d/f 0 aaaabbbb; sync d/f; syncdir d; syncdir .",
		"mkdir d; create f; write f 0 aaaabbbb" + end, "create f; write f 0 ........" + end, "create f; write f 0 ............" + end,
	}
	images, digests := map[string]string{first.Image(): same[0]}, map[[2]uint64]string{first.Digest(): same[0]}
	for _, script := range others {
		d := image(t, script)
		if other, taken := images[d.Image()]; taken {
			t.Errorf("%q and %q have the image\n%s", script, other, d.Image())
		}
		if other, taken := digests[d.Digest()]; taken {
			t.Errorf("%q and %q have one digest", script, other)
		}
		images[d.Image()], digests[d.Digest()] = script, script
	}
}

// Of disks that a program cannot tell apart and a loss of power can, the digest is the
// same and the image is not.
func TestImageTellsWhatIsNotDurable(t *testing.T) {
	const both = "create a; create b; write a 0 x; write b 0 x; sync a; sync b; syncdir .; "
	for _, pair := range [][2]string{
		{both + "write a 0 y; write b 0 y; sync a", both + "write a 0 y; write b 0 y; sync b"},
		{"create a; syncdir .; write a 0 x; sync a; write a 0 y", "create a; syncdir .; write a 0 z; sync a; write a 0 y"},
		{"create a; syncdir .; write a 0 y; failsync a", "create a; syncdir .; write a 0 y; sync a"},
		{"create a; syncdir .; allocate a 8", "create a; syncdir .; truncate a 8"},
		{"create a; write a 0 x; sync a; syncdir .; rename a b", "create a; write a 0 x; sync a; create b; write b 0 x; sync b; syncdir .; remove a"},
	} {
		one, other := image(t, pair[0]), image(t, pair[1])
		if one.Digest() != other.Digest() {
			t.Errorf("%q and %q have two digests", pair[0], pair[1])
		}
		if one.Image() == other.Image() {
			t.Errorf("%q and %q have the image\n%s", pair[0], pair[1], one.Image())
		}
	}
}

func TestDigestIsTheSameInEachProcess(t *testing.T) {
	d := image(t, "mkdir d; create d/f; write d/f 0 aaaabbbb")
	if got, want := d.Digest(), [2]uint64{0xdc05264a02c3a840, 0x29ca820e6d92bc3f}; got != want {
		t.Errorf("digest is %#x here, and %#x elsewhere", got, want)
	}
	for _, line := range []string{"d/\n", "d/f 8 e5c1edb5", "durable:\n", "unsynced: mkdir d", "unsynced: d/f sector 1 "} {
		if !strings.Contains(d.Image(), line) {
			t.Errorf("there is no %q in\n%s", line, d.Image())
		}
	}
}

// Equal images and equal digests go with equal states, over the crashes of random programs.
func TestDigestIsThatOfWhatIsFound(t *testing.T) {
	digests, states := map[string][2]uint64{}, map[[2]uint64]string{}
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 2))
		m := with(faultfs.POSIX, func(m *faultfs.Model) { m.Sector = 4 })
		mount, ref := faultfs.NewDisk(m).Mount(), newReference(m)
		for range 12 {
			line := ref.script(rng)
			ref.step(line)
			play(t, mount, line)
		}
		for seed := range uint64(100) {
			d := mount.Snapshot().Crash(faultfs.Seeded(seed))
			state, digest := found(t, d.Mount()), d.Digest()
			if other, ok := states[digest]; ok && other != state {
				t.Fatalf("%q and %q have one digest", state, other)
			}
			if other, ok := digests[state]; ok && other != digest {
				t.Fatalf("%q has two digests", state)
			}
			digests[state], states[digest] = digest, state
		}
	}
	if len(states) < 300 {
		t.Errorf("only %d states were compared", len(states))
	}
}
