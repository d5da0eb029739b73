//go:build unix

package integration

import (
	"os"
	"os/exec"
	"syscall"
)

// nobody is a user who owns nothing.
const nobody = 65534

// asSomebodyElse makes a command run as a user who may not write everything.
func asSomebodyElse(cmd *exec.Cmd) {
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
}
