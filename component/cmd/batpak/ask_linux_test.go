package main

import (
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// dialogue is a command that runs on a terminal, where it is answered.
type dialogue struct {
	*exec.Cmd
	t      *testing.T
	master *os.File
	shown  string
}

// talk starts a command on a terminal.
func talk(t *testing.T, args ...string) *dialogue {
	t.Helper()
	master, slave := openTerminal(t)
	d := &dialogue{Cmd: command(t, args...), t: t, master: master}
	d.Env = append(d.Env, "NO_COLOR=1")
	d.Stdin, d.Stdout, d.Stderr = slave, slave, slave
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	return d
}

// until reads until a text is shown, and forgets what was shown up to there.
func (d *dialogue) until(text string) (before string) {
	d.t.Helper()
	b := make([]byte, 1024)
	for {
		if before, after, found := strings.Cut(d.shown, text); found {
			d.shown = after
			return before
		}
		n, err := d.master.Read(b)
		if err != nil {
			d.t.Fatalf("%q was not shown, but %q: %v", text, d.shown, err)
		}
		d.shown += strings.ReplaceAll(string(b[:n]), "\r\n", "\n")
	}
}

// answer types a line when a prompt is shown.
func (d *dialogue) answer(prompt, line string) (before string) {
	d.t.Helper()
	before = d.until(prompt)
	d.write(line + "\n")
	return before
}

// secret is answer where nothing may be seen of it.
func (d *dialogue) secret(prompt, line string) {
	d.t.Helper()
	d.until(prompt)
	d.unseen()
	d.write(line + "\n")
}

// unseen returns when nothing is shown of what is typed: the prompt comes a moment before that.
func (d *dialogue) unseen() {
	d.t.Helper()
	for d.echoes() {
		runtime.Gosched()
	}
}

func (d *dialogue) write(text string) {
	d.t.Helper()
	if _, err := d.master.WriteString(text); err != nil {
		d.t.Fatal(err)
	}
}

// end reads the rest.
func (d *dialogue) end() result {
	d.t.Helper()
	// Reading ends with an error when the last one has closed the terminal.
	rest, _ := io.ReadAll(d.master)
	_ = d.Wait() // the exit code says it
	return result{out: d.shown + strings.ReplaceAll(string(rest), "\r\n", "\n"), code: d.ProcessState.ExitCode()}
}

// echoes says whether the terminal shows what is typed.
func (d *dialogue) echoes() bool {
	d.t.Helper()
	state, err := unix.IoctlGetTermios(int(d.master.Fd()), unix.TCGETS)
	if err != nil {
		d.t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}
