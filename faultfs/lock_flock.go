//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package faultfs

import (
	"errors"

	"golang.org/x/sys/unix"
)

// lockFile uses flock, which belongs to the open file and not to the process:
// a second open of the same file in this process is refused too.
func lockFile(fd uintptr) error {
	for {
		err := unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EWOULDBLOCK):
			return ErrLocked
		case !errors.Is(err, unix.EINTR):
			return err
		}
	}
}

func unlockFile(fd uintptr) error { return unix.Flock(int(fd), unix.LOCK_UN) }
