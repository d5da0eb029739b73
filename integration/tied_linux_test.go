package integration

import (
	"os/exec"
	"runtime"
	"syscall"
)

// startTied starts a process that the system kills when this one ends, however that happens. To
// the system the parent is the thread that starts it, so the calling goroutine keeps its thread
// until it calls release, and does that when the process has ended.
func startTied(cmd *exec.Cmd) (release func(), err error) {
	runtime.LockOSThread()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := cmd.Start(); err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	return runtime.UnlockOSThread, nil
}
