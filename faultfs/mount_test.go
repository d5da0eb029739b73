package faultfs_test

import (
	"testing"

	"batpak/faultfs"
	"batpak/faultfs/faulttest"
)

func TestMountConforms(t *testing.T) {
	for name, m := range map[string]faultfs.Model{"POSIX": faultfs.POSIX, "ext4": faultfs.Ext4, "Btrfs": faultfs.Btrfs, "zero": {}} {
		t.Run(name, func(t *testing.T) {
			faulttest.Conformance(t, func(t *testing.T) faultfs.FS { return faultfs.NewDisk(m).Mount() })
		})
	}
}
