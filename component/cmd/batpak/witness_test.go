package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"batpak/codec"
)

func TestWitnessFollowsAndTells(t *testing.T) {
	t.Parallel()
	dir, seed := journalDir(t), filepath.Join(t.TempDir(), "seed")
	public := strings.TrimSpace(must(t, "", "signer", "--new", seed))
	s := serve(t, dir, "--heads", "20ms", "--signer", seed, "--onward", "none")
	one := func(s *served, entity string) { s.run("", "append", "shop/"+entity, "--kind", "0x1001", "1") }
	file := filepath.Join(t.TempDir(), "head")
	// until reads what a witness prints up to a sequence, and interrupts it.
	until := func(s *served, seq string, args ...string) (line string) {
		t.Helper()
		w := start(t, append([]string{"witness", "--file", file, "--url", s.url}, args...)...)
		for line = w.line(); !strings.HasPrefix(line, seq); {
			line = w.line()
		}
		if r := w.end(syscall.SIGINT); r.code != exitDone {
			t.Errorf("interrupted: exit code %d, %s", r.code, r.err)
		}
		return line
	}
	one(s, "a")
	one(s, "b")
	line := fields(until(s, "2\t", "--signer", public))
	if len(line) != 4 || line[3] != public {
		t.Fatalf("printed %q", line)
	}
	// What is saved, verified and published is one thing.
	wantIn(t, s.run("", "verify", "--since", file), "valid\t2\t2\t"+line[2])
	if out := s.run("", "head", "--save", file); out != "2\t"+line[2]+"\n" {
		t.Errorf("saved %q, published %q", out, line)
	}
	// Killed, its cache is behind, or not there; the heads go on.
	if err := s.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.wait()
	old := filepath.Join(t.TempDir(), "old")
	if err := os.CopyFS(old, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	s = serve(t, dir, "--heads", "20ms", "--signer", seed, "--onward", "none")
	one(s, "c")
	var head codec.PublishedHead
	text := until(s, `{"lineage"`, "--json", "--signer", public)
	if err := codec.Unmarshal([]byte(text), codec.JSON, &head); err != nil || head.Verify(public) != nil {
		t.Errorf("%v: %s", err, text)
	}
	until(s, "3\t", "--signer", public)
	s.drain()

	s = serve(t, old, "--heads", "20ms", "--signer", seed, "--onward", "none")
	one(s, "z")
	one(s, "z")
	for _, args := range [][]string{{"witness", "--file", file}, {"verify", "--since", file}, {"head", "--save", file}} {
		r := s.try("", args...)
		if r.code != exitDamaged || !strings.Contains(r.out+r.err, "history was rewritten: event 3 is not the one") {
			t.Errorf("%v: exit code %d, %s%s", args, r.code, r.out, r.err)
		}
	}
	r := s.try("", "witness", "--file", file, "--json")
	var told struct{ Message string }
	if err := json.Unmarshal([]byte(r.err), &told); err != nil || r.code != exitDamaged || !strings.Contains(told.Message, "event 3") {
		t.Errorf("exit code %d, %v: %s", r.code, err, r.err)
	}
	other := strings.TrimSpace(must(t, "", "signer", "--new", filepath.Join(t.TempDir(), "seed")))
	r = s.try("", "witness", "--signer", other)
	if r.code != exitDamaged || !strings.Contains(r.err, "not by \""+other) {
		t.Errorf("by another signer: exit code %d, %s", r.code, r.err)
	}
	for _, args := range [][]string{{"witness", "--signer", "me"}, {"witness", "x"}, {"witness", "--file", seed}, {"witness", "--file", file, "--journal", "other"}} {
		if r := s.try("", args...); r.code != exitUsage {
			t.Errorf("%v: exit code %d, %s", args, r.code, r.err)
		}
	}
	if r := batpak(t, "", "serve", "--dir", dir, "--heads", "-1s"); r.code != exitUsage {
		t.Errorf("heads more often than always: exit code %d, %s", r.code, r.err)
	}
}

func TestWitnessNeedsAFolderForItsFile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for name, want := range map[string]string{
		filepath.Join(folder, "none", "head"):   "no such file or directory",
		filepath.Join(write(t, "text"), "head"): "not a directory",
	} {
		r := batpak(t, "", "witness", "--file", name, "--url", "nats://127.0.0.1:1")
		if r.code != exitUsage || !strings.Contains(r.err, want) {
			t.Errorf("%s: exit code %d, %s", name, r.code, r.err)
		}
	}
	if err := isForFiles(folder); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	if os.Getuid() == 0 {
		return // may write anywhere
	}
	if err := os.Chmod(folder, 0o500); err != nil {
		t.Fatal(err)
	}
	if err := isForFiles(folder); err == nil {
		t.Error("a folder that is read only")
	}
}

func TestWitnessTellsOnceThatNoNodeAnswers(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t), "--onward", "none")
	for _, file := range []string{"", filepath.Join(t.TempDir(), "head")} {
		cmd := command(t, "witness", "--url", s.url, "--journal", "other", "--file", file)
		said, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(said)
		line, err := lines.ReadString('\n')
		if err != nil || !strings.Contains(line, "no node answers") || !strings.Contains(line, "waited for") {
			t.Errorf("said %q, %v", line, err)
		}
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(lines)
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		if err != nil || len(rest) > 0 {
			t.Errorf("and then %q, %v", rest, err)
		}
	}
}
