package faultfs_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"batpak/faultfs"
)

//go:noinline
func saveHere(fsys faultfs.FS) error { return step(fsys, "sync f") }

//go:noinline
func saveThere(fsys faultfs.FS) error {
	f, err := fsys.OpenFile("f", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func TestRuleOfASiteMeansThatPlaceOnly(t *testing.T) {
	both(t, func(t *testing.T, in *faultfs.Injector) {
		in.NoteSites()
		if err := errors.Join(saveHere(in), saveThere(in)); err != nil {
			t.Fatal(err)
		}
		var sites []string
		for _, c := range in.Trace() {
			if c.Op == faultfs.OpSync {
				sites = append(sites, c.Site)
			}
		}
		if len(sites) != 2 || sites[0] == sites[1] {
			t.Fatalf("sites are %q", sites)
		}
		if !strings.HasSuffix(sites[0], "faultfs_test.on") || !strings.HasSuffix(sites[1], "faultfs_test.saveThere") {
			t.Errorf("sites are %q", sites)
		}
		in.Add(faultfs.Rule{On: faultfs.OpSync, Site: sites[1], Do: faultfs.Fail(nil)})
		if err := saveHere(in); err != nil {
			t.Errorf("the other place fails: %v", err)
		}
		if err := saveThere(in); !errors.Is(err, syscall.EIO) {
			t.Errorf("error is %v, want EIO", err)
		}
		in.Clear()
		in.Add(faultfs.Rule{On: faultfs.OpAny, Site: "faultfs_test.nobody", Do: faultfs.Fail(nil)})
		if err := errors.Join(saveHere(in), saveThere(in)); err != nil {
			t.Errorf("a rule of no place matches: %v", err)
		}
	})
}

// A site is functions of the program, not those of this package nor of tests, and
// has no line numbers.
func TestSiteNamesTheProgram(t *testing.T) {
	m := faultfs.NewDisk(loose).Mount()
	in := faultfs.Inject(m)
	in.NoteSites()
	if err := faultfs.Publish(faultfs.Sub(in, "."), "f", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	var sites []string
	for _, c := range in.Trace() {
		sites = append(sites, c.Site)
	}
	want := []string{"faultfs.Publish > faultfs.Replace > faultfs.createTemp", "faultfs.Publish > faultfs.Replace", "faultfs.Publish > faultfs.Replace", "faultfs.Publish > faultfs.Replace", "faultfs.Publish"}
	if !slices.Equal(sites, want) {
		t.Errorf("sites are %q, want %q", sites, want)
	}
}

func TestWithoutNoteSitesThereAreNone(t *testing.T) {
	in := faultfs.Inject(faultfs.NewDisk(loose).Mount())
	play(t, in, "create f; sync f")
	for _, c := range in.Trace() {
		if c.Site != "" {
			t.Errorf("%v has the site %q", c, c.Site)
		}
	}
}
