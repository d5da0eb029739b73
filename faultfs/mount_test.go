package faultfs

import "testing"

func TestMountConforms(t *testing.T) {
	for name, m := range map[string]Model{"POSIX": POSIX, "ext4": Ext4, "Btrfs": Btrfs, "zero": {}} {
		t.Run(name, func(t *testing.T) {
			testFS(t, func(t *testing.T) FS { return NewDisk(m).Mount() })
		})
	}
}
