package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal makes a terminal of 80 columns: what is typed and shown, and what a program has of it.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// onTerminal runs a command whose standard output and error are a terminal of 80 columns, and
// returns what it shows.
func onTerminal(t *testing.T, env string, args ...string) (shown string, code int) {
	t.Helper()
	master, slave := openTerminal(t)
	cmd := command(t, args...)
	cmd.Env = append(cmd.Env, strings.Fields(env)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input(300, 3)), slave, slave
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	// Reading ends with an error when the last one has closed the terminal.
	text, _ := io.ReadAll(master)
	_ = cmd.Wait() // the exit code says it
	return strings.ReplaceAll(string(text), "\r\n", "\n"), cmd.ProcessState.ExitCode()
}

func TestATerminalGetsTablesAndColour(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t))
	fill(s)
	const escape = "\x1b["
	shown, _ := onTerminal(t, "", "read", "--server", s.url)
	lines := strings.Split(strings.TrimSpace(shown), "\n")
	if len(lines) != 5 {
		t.Fatalf("%q", shown)
	}
	wantIn(t, lines[0], escape, "seq", "stream", "kind", "data")
	wantIn(t, lines[2], "shop/ada#1", "0x1002", `{"n":2}`)

	for _, plain := range []struct{ env, flag string }{{"NO_COLOR=1", "--json=false"}, {"", "--no-color"}, {"TERM=dumb", "--json=false"}} {
		shown, _ := onTerminal(t, plain.env, "read", plain.flag, "--server", s.url)
		if strings.Contains(shown, escape) || !strings.Contains(shown, "seq  time") {
			t.Errorf("%+v: %q", plain, shown)
		}
		// Each column is as wide as its widest cell.
		at := -1
		for line := range strings.Lines(shown) {
			i := strings.Index(line, "shop/")
			if i < 0 {
				continue
			}
			if at >= 0 && i != at {
				t.Errorf("not aligned: %q", shown)
			}
			at = i
		}
	}
	if shown, _ := onTerminal(t, "", "read", "--json", "--server", s.url); strings.Contains(shown, escape) || !strings.HasPrefix(shown, "{") {
		t.Errorf("%q", shown)
	}
	shown, _ = onTerminal(t, "NO_COLOR=1", "status", "--server", s.url)
	wantIn(t, shown, "state      serving\n")
	shown, code := onTerminal(t, "NO_COLOR=1", "get", "99", "--server", s.url)
	wantIn(t, shown, "batpak: not_found")
	if code != exitRefused {
		t.Errorf("exit code %d", code)
	}
}

func TestATerminalGetsAGraphInColour(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t))
	threads(s)
	shown, code := onTerminal(t, "", "graph", "1", "--server", s.url)
	if code != exitDone {
		t.Errorf("exit code %d", code)
	}
	wantIn(t, shown, "\x1b[", "◉", "├─╮\n")
	if shown, _ := onTerminal(t, "NO_COLOR=1", "graph", "1", "--server", s.url); strings.Contains(shown, "\x1b[") || !strings.Contains(shown, "◉  1") && !strings.Contains(shown, "◉    1") {
		t.Errorf("%q", shown)
	}
	s.run("", "append", "s/"+strings.Repeat("long", 60), "--kind", "0x1001", "1")
	shown, _ = onTerminal(t, "NO_COLOR=1", "graph", "5", "--server", s.url)
	if n := len([]rune(strings.TrimSpace(shown))); n > 80 {
		t.Errorf("%d characters: %q", n, shown)
	}
}

func TestATerminalShowsProgressAndASumButNoReceipts(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t))
	shown, code := onTerminal(t, "", "append", "--ndjson", "--server", s.url)
	if code != exitDone {
		t.Errorf("exit code %d", code)
	}
	wantIn(t, shown, "append", "events", "300 appended in ")
	if strings.Contains(shown, "\tdisk\t") {
		t.Errorf("%q", shown)
	}
}

func TestLongDataIsCutAtTheEdge(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t))
	s.run("", "append", "a/b", "--kind", "0x1001", `"`+strings.Repeat("ö", 300)+`"`)
	s.run("", "append", "a/b", "--kind", "0x1001", `"\u009b31m"`) // a terminal's command, in one character
	shown, _ := onTerminal(t, "NO_COLOR=1", "read", "--server", s.url)
	for line := range strings.Lines(shown) {
		if n := len([]rune(strings.TrimSpace(line))); n > 110 {
			t.Errorf("%d characters: %q", n, line)
		}
		if strings.ContainsRune(line, 0x9b) {
			t.Errorf("a control character: %q", line)
		}
	}
	wantIn(t, shown, "…")
}

func TestVerifyTellsPeopleHowMuchAndHowFast(t *testing.T) {
	t.Parallel()
	seed := filepath.Join(t.TempDir(), "main.nk")
	public := strings.TrimSpace(must(t, "", "signer", "--new", seed))
	s := serve(t, journalDir(t), "--signer", seed)
	fill(s)
	shown, code := onTerminal(t, "NO_COLOR=1", "verify", "--server", s.url)
	wantIn(t, shown, "events/s", "MB/s", "signed", "of 4 by "+public)
	s.drain()
	offline, code2 := onTerminal(t, "NO_COLOR=1", "verify", "--dir", s.dir)
	wantIn(t, offline, "events/s", "MB/s", "signed", "4 of 4 by "+public)
	if code != exitDone || code2 != exitDone {
		t.Errorf("exit codes %d, %d: %s%s", code, code2, shown, offline)
	}
}
