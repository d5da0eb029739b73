package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"batpak/component"

	"github.com/nats-io/nats.go"
)

// asProgram makes the test's own binary be batpak: the tests run the real program, in processes of
// their own, with the race detector when they have it.
const asProgram = "BATPAK_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	// No context of whoever runs the tests is used.
	if err := os.Setenv("XDG_CONFIG_HOME", filepath.Join(os.TempDir(), "batpak-no-config")); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// patience is how long a process may take before a test fails.
const patience = time.Minute

// command is a batpak that has not been started: without the NATS settings of whoever runs the
// tests.
func command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(withoutNATS(os.Environ()), asProgram+"=1",
		"GORACE=atexit_sleep_ms=0", // else each process with the race detector waits a second at its end
		"NO_COLOR=", "TERM=xterm")
	return cmd
}

// result is what a batpak did.
type result struct {
	out, err string
	code     int
}

// batpak runs the program to its end.
func batpak(t testing.TB, stdin string, args ...string) result {
	t.Helper()
	return finish(t, command(t, args...), stdin)
}

func finish(t testing.TB, cmd *exec.Cmd, stdin string) result {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// must is batpak for what has to succeed; it returns standard output.
func must(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	r := batpak(t, stdin, args...)
	if r.code != exitDone {
		t.Fatalf("batpak %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.err)
	}
	return r.out
}

// running is a batpak that runs.
type running struct {
	*exec.Cmd
	t     testing.TB
	lines *bufio.Reader // standard output
	in    io.WriteCloser
	errs  *bytes.Buffer // standard error; read it after the end
	ended bool
}

// start starts a batpak and does not wait for its end. It is killed when the test ends.
func start(t testing.TB, args ...string) *running {
	t.Helper()
	return begin(t, command(t, args...))
}

func begin(t testing.TB, cmd *exec.Cmd) *running {
	t.Helper()
	r := &running{Cmd: cmd, t: t, errs: new(bytes.Buffer)}
	if r.Stderr == nil {
		r.Stderr = r.errs
	}
	out, err := r.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.lines = bufio.NewReader(out)
	if r.in, err = r.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !r.ended {
			r.Process.Kill()
			r.Wait()
		}
	})
	return r
}

// line reads one line of standard output.
func (r *running) line() string {
	r.t.Helper()
	line, err := r.lines.ReadString('\n')
	if err != nil {
		r.Process.Kill()
		r.Wait()
		r.ended = true
		r.t.Fatalf("no more lines: %v\n%s", err, r.errs)
	}
	return strings.TrimSuffix(line, "\n")
}

// end sends a signal and returns what the process does then.
func (r *running) end(s os.Signal) result {
	r.t.Helper()
	if err := r.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
	return r.wait()
}

// wait waits for the end.
func (r *running) wait() result {
	r.t.Helper()
	rest, err := io.ReadAll(r.lines)
	if err != nil {
		r.t.Fatal(err)
	}
	_ = r.Wait() // the exit code says it
	r.ended = true
	return result{string(rest), r.errs.String(), r.ProcessState.ExitCode()}
}

// served is a running serve.
type served struct {
	*running
	dir, url string
}

// serve starts serve in a directory, and returns when it is ready.
func serve(t testing.TB, dir string, args ...string) *served {
	t.Helper()
	args = append([]string{"serve", "--dir", dir, "--segment-size", "1MiB"}, args...)
	elsewhere := func(arg string) bool {
		return arg == "--listen" || arg == "--url" || arg == "--server" || arg == "--context"
	}
	if !slices.ContainsFunc(args, elsewhere) {
		args = append(args, "--listen", "127.0.0.1:0")
	}
	return ready(t, dir, begin(t, command(t, args...)))
}

// ready waits until a serve is.
func ready(t testing.TB, dir string, r *running) *served {
	t.Helper()
	s := &served{running: r, dir: dir}
	said := strings.Fields(s.line())
	if len(said) != 3 || said[0] != "ready" {
		t.Fatalf("it said %q", said)
	}
	s.url = said[1]
	return s
}

// run runs a command against the node.
func (s *served) run(stdin string, args ...string) string {
	s.t.Helper()
	return must(s.t, stdin, append(args, "--server", s.url)...)
}

// try is run for what may fail.
func (s *served) try(stdin string, args ...string) result {
	s.t.Helper()
	return batpak(s.t, stdin, append(args, "--server", s.url)...)
}

// drain ends the node as an operator does.
func (s *served) drain() {
	s.t.Helper()
	if r := s.end(syscall.SIGTERM); r.code != exitDone || r.out != "" {
		s.t.Fatalf("drained with code %d, %q on standard output\n%s", r.code, r.out, r.err)
	}
}

// client talks to the node.
func (s *served) client(journal string) *component.Client {
	s.t.Helper()
	nc, err := nats.Connect(s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	c, err := component.NewClient(nc, component.ClientOptions{Journal: journal})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// journalDir is where a test's journal is.
func journalDir(t testing.TB) string { return filepath.Join(t.TempDir(), "journal") }

// wantIn checks that a text has parts.
func wantIn(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in: %s", part, text)
		}
	}
}

// fields are those of a line for a pipe.
func fields(line string) []string { return strings.Split(strings.TrimSuffix(line, "\n"), "\t") }
