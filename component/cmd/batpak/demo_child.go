package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// child is the node of the demo: batpak serve in a process of its own, so that it can be killed.
type child struct {
	cmd   *exec.Cmd
	hold  io.Closer // its standard input: when this process is gone, it ends
	ended chan struct{}
	err   error // of the process; read it after ended
	url   string
}

// startChild starts the node and returns when it answers.
func startChild(ctx context.Context, home, listen string) (*child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	logName := filepath.Join(home, "serve.log")
	log, err := os.OpenFile(logName, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	c := &child{ended: make(chan struct{})}
	c.cmd = exec.Command(program, "serve", "--demo",
		"--dir", filepath.Join(home, "journal"), "--journal", demoJournal, "--listen", listen,
		"--seal", "subject", "--segment-size", "8MiB", "--log-level", "warn", "--keys-wrap", "")
	c.cmd.Env = withoutNATS(os.Environ())
	c.cmd.Stderr = log
	if c.hold, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	// The process ends this goroutine, and close ends the process. Output ends before Wait.
	ready := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if url, found := strings.CutPrefix(lines.Text(), "ready "); found {
				url, _, _ = strings.Cut(url, " ")
				ready <- url
			}
		}
		c.err = c.cmd.Wait()
		close(c.ended)
	}()
	select {
	case c.url = <-ready:
		return c, nil
	case <-c.ended:
		said, _ := os.ReadFile(logName)
		return nil, fmt.Errorf("the node did not start: %w: %s", c.err, bytes.TrimSpace(said))
	case <-ctx.Done():
		c.close()
		return nil, ctx.Err()
	}
}

// withoutNATS is an environment in which serve starts its own server.
func withoutNATS(environ []string) []string {
	var kept []string
	for _, v := range environ {
		if !strings.HasPrefix(v, "NATS_") {
			kept = append(kept, v)
		}
	}
	return kept
}

// kill ends the process with SIGKILL, and waits until it is gone.
func (c *child) kill() error {
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-c.ended
	return nil
}

// terminate has the process drain, and returns what it ended with.
func (c *child) terminate(ctx context.Context) error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-c.ended:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close makes sure that nothing is left.
func (c *child) close() {
	_ = c.kill()
	_ = c.hold.Close()
}
