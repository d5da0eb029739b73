package faultfs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"batpak/faultfs"
)

// A program publishes its settings; the disk is full when it does so again.
func Example() {
	folder, err := os.MkdirTemp("", "settings")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	root, err := os.OpenRoot(folder)
	if err != nil {
		panic(err)
	}
	defer root.Close()

	disk := faultfs.Inject(faultfs.Dir(root))
	fmt.Println(faultfs.Publish(disk, "settings", []byte("colour=red"), 0o644))

	disk.Add(faultfs.Rule{On: faultfs.OpWrite, Name: "settings.tmp", Nth: 1, Do: faultfs.Short(4)})
	err = faultfs.Publish(disk, "settings", []byte("colour=blue"), 0o644)
	fmt.Println(errors.Is(err, syscall.ENOSPC))

	text, err := fs.ReadFile(disk, "settings")
	fmt.Println(string(text), err)
	// Output:
	// <nil>
	// true
	// colour=red <nil>
}
