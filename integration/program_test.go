package integration

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// patience is how long anything may take before a test fails instead of waiting on.
const patience = 30 * time.Second

var (
	kills       = flag.Int("kills", 0, "how often the kill tests kill a process in each of their ordeals; 0 is a few times")
	seed        = flag.Uint64("seed", 0, "seed of the kill tests' random choices; 0 takes one from the clock")
	built       = flag.String("program", "", "path of a program to test instead of building one")
	raceProgram = flag.Bool("race-program", false, "build the program under test with the race detector")
)

// programPath is the path of the program under test.
var programPath string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	if *built != "" {
		programPath = *built
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "batpak-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// A test runs the program as another user, who must get at it.
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	programPath = filepath.Join(dir, "batpak")
	args := []string{"build", "-o", programPath}
	if *raceProgram {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "batpak/component/cmd/batpak")...)
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the program under test:", err)
		return 1
	}
	return m.Run()
}

// program is a run of the program. It is killed when its test ends, and dies with the test process.
type program struct {
	t    testing.TB
	cmd  *exec.Cmd
	args []string

	ready chan struct{} // closed when it said so; then url and journal are set
	url   string
	name  string // of the journal

	exited chan struct{} // closed when it is gone and its output is complete
	err    error         // how it ended; set before exited is closed
	stderr tailBuffer
}

// launch starts the program and does not wait for it. Each tweak may change the command first.
func launch(t testing.TB, args []string, tweaks ...func(*exec.Cmd)) *program {
	t.Helper()
	p := &program{t: t, args: args, ready: make(chan struct{}), exited: make(chan struct{})}
	p.cmd = exec.Command(programPath, args...)
	p.cmd.Stderr = &p.stderr
	p.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "NATS_") // would say where to connect
	})
	for _, tweak := range tweaks {
		tweak(p.cmd)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan error)
	// This goroutine starts the process and ends when that has; see startTied.
	go func() {
		release, err := startTied(p.cmd)
		started <- err
		if err != nil {
			return
		}
		defer release()
		p.readStdout(bufio.NewScanner(stdout))
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %s %s: %v", programPath, strings.Join(args, " "), err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("batpak %s: %v; its log ends with\n%s", strings.Join(args, " "), p.err, p.stderr.String())
		}
	})
	return p
}

func (p *program) readStdout(lines *bufio.Scanner) {
	said := false
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if !said && len(words) == 3 && words[0] == "ready" {
			said, p.url, p.name = true, words[1], words[2]
			close(p.ready)
		}
	}
}

// serve starts `batpak serve` and returns when it answers.
func serve(t testing.TB, args ...string) *program {
	t.Helper()
	p := launch(t, append([]string{"serve"}, args...))
	p.waitReady()
	return p
}

func (p *program) waitReady() {
	p.t.Helper()
	select {
	case <-p.ready:
	case <-p.exited:
		p.t.Fatalf("ended before it was ready: %v\n%s", p.err, p.stderr.String())
	case <-time.After(patience):
		p.t.Fatalf("not ready after %v", patience)
	}
}

// signal sends a signal to the process, which may have ended already.
func (p *program) signal(s os.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("signal %v: %v", s, err)
	}
}

// kill sends SIGKILL and returns when the process is gone.
func (p *program) kill() {
	p.signal(os.Kill)
	<-p.exited
}

// stop sends SIGTERM, and fails the test unless the program ends by itself, with exit code 0.
func (p *program) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		p.t.Fatalf("exit code %d after SIGTERM", code)
	}
}

// wait returns the exit code, once the program has ended by itself.
func (p *program) wait() int {
	p.t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("still runs after %v", patience)
		return -1
	}
}

// connect returns a connection to the program's server, without reconnects: when the program dies,
// so does the connection.
func (p *program) connect(opts ...nats.Option) *nats.Conn {
	p.t.Helper()
	nc, err := nats.Connect(p.url, append([]nats.Option{nats.NoReconnect()}, opts...)...)
	if err != nil {
		p.t.Fatalf("connect to %s: %v", p.url, err)
	}
	p.t.Cleanup(nc.Close)
	return nc
}

// within gives a test's waiting an end.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// tailBuffer keeps the end of what is written to it.
type tailBuffer struct {
	mu  sync.Mutex
	buf []byte // guarded by mu
}

const keptTail = 16 << 10 // bytes

func (b *tailBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf = append(b.buf, p...)
	if over := len(b.buf) - keptTail; over > keptTail {
		b.buf = bytes.Clone(b.buf[over:])
	}
	return len(p), nil
}

func (b *tailBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.buf[max(0, len(b.buf)-keptTail):])
}
