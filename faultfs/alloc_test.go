//go:build !race

// The race detector allocates on its own account.

package faultfs_test

import "testing"

func TestHotPathAllocatesNothing(t *testing.T) {
	f := create(t, newDir(t), "f")
	must(t, f.Allocate(0, 1<<16))
	buf := make([]byte, 4096)
	if n := testing.AllocsPerRun(20, func() {
		if _, err := f.WriteAt(buf, 0); err != nil {
			t.Error(err)
		}
		if _, err := f.ReadAt(buf, 0); err != nil {
			t.Error(err)
		}
		if err := f.SyncData(); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Fatalf("WriteAt, ReadAt and SyncData allocate %v times", n)
	}
}
