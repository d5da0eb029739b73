package faultfs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"batpak/faultfs"
)

// saveNaively writes a temporary file, syncs it and renames it. Something is missing.
func saveNaively(fsys faultfs.FS, name string, data []byte) error {
	f, err := fsys.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return fsys.Rename(name+".new", name)
}

// saveWell is Publish, which syncs the folder too.
func saveWell(fsys faultfs.FS, name string, data []byte) error {
	return faultfs.Publish(fsys, name, data, 0o600)
}

// A program saves its settings, is told that all went well, and then the power
// fails. What it finds afterwards is counted over everything that the disk may do.
func Example_crash() {
	for _, program := range []struct {
		name string
		save func(fsys faultfs.FS, name string, data []byte) error
	}{
		{"naively", saveNaively},
		{"with Publish", saveWell},
	} {
		boot := faultfs.NewDisk(faultfs.POSIX).Mount()
		if err := faultfs.Publish(boot, "settings", []byte("old"), 0o600); err != nil {
			panic(err)
		}
		if err := program.save(boot, "settings", []byte("new")); err != nil {
			panic(err)
		}
		// What was not synced is decided by the choices, and here they are all made.
		disk := boot.Kill()
		found := map[string]int{}
		for choices := range faultfs.AllChoices() {
			settings, err := fs.ReadFile(disk.Crash(choices).Mount(), "settings")
			if err != nil {
				panic(err)
			}
			found[string(settings)]++
		}
		fmt.Printf("saved %s: %d images have the old settings, %d the new\n", program.name, found["old"], found["new"])
	}
	// Output:
	// saved naively: 2 images have the old settings, 2 the new
	// saved with Publish: 0 images have the old settings, 1 the new
}
