package faultfs

import (
	"errors"

	"golang.org/x/sys/windows"
)

// lockFile locks the first byte, which belongs to the handle: a second open of
// the same file in this process is refused too.
func lockFile(fd uintptr) error {
	err := windows.LockFileEx(windows.Handle(fd),
		windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrLocked
	}
	return err
}

func unlockFile(fd uintptr) error {
	return windows.UnlockFileEx(windows.Handle(fd), 0, 1, 0, new(windows.Overlapped))
}
