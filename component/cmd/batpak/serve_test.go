package main

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"batpak/component/internal/natstest"

	"github.com/nats-io/nats-server/v2/server"
)

func TestServeSaysReadyOnceAndDrainsOnEitherSignal(t *testing.T) {
	t.Parallel()
	dir := journalDir(t)
	for i, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		s := serve(t, dir)
		if !strings.HasPrefix(s.url, "nats://127.0.0.1:") {
			t.Fatalf("ready at %s", s.url)
		}
		s.run("", "append", "shop/ada", "--kind", "0x1001", `{"n":1}`)
		r := s.end(signal)
		if r.code != exitDone || r.out != "" {
			t.Fatalf("%v: exit code %d, and %q after the line\n%s", signal, r.code, r.out, r.err)
		}
		wantIn(t, r.err, "level=INFO", "node drains")
		if i == 1 {
			s = serve(t, dir)
			if got := strings.Count(s.run("", "read"), "\n"); got != 2 {
				t.Errorf("%d events after two runs with one each", got)
			}
			s.drain()
		}
	}
}

func TestServeTakesAppendsRightAfterTheReadyLine(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t), "--journal", "orders", "--log-format", "json")
	c := s.client("orders")
	if st, err := c.Status(t.Context()); err != nil || st.Journal != "orders" || st.State != "serving" {
		t.Fatalf("%+v, %v", st, err)
	}
	r := s.end(syscall.SIGTERM)
	wantIn(t, r.err, `"level":"INFO"`)
}

func TestServeOnANATSServerThatIsThere(t *testing.T) {
	t.Parallel()
	server := natstest.Run(t)
	for _, flag := range []string{"--url", "--server"} {
		dir := journalDir(t)
		s := serve(t, dir, flag, server.URL(), "--onward", "none", "--journal", "there")
		if s.url != server.URL() {
			t.Errorf("ready at %s, not %s", s.url, server.URL())
		}
		s.run("", "append", "a/b", "--kind", "0x1001", "1", "--journal", "there")
		if _, err := os.Stat(filepath.Join(dir, "nats")); err == nil {
			t.Error("there is a folder for a NATS server")
		}
		// Another node for the same name is refused.
		r := batpak(t, "", "serve", "--dir", journalDir(t), flag, server.URL(), "--onward", "none", "--journal", "there")
		if r.code != exitFailed {
			t.Errorf("exit code %d", r.code)
		}
		wantIn(t, r.err, "another node answers", "there", "--prefix")
		s.drain()
	}
}

// stuck is a serve that cannot finish its drain: it is to publish onward, and there is no JetStream.
func stuck(t *testing.T, args ...string) (s *served, log *bufio.Reader) {
	t.Helper()
	server := natstest.Run(t, func(o *server.Options) { o.JetStream = false })
	dir := journalDir(t)
	cmd := command(t, append([]string{"serve", "--dir", dir, "--url", server.URL()}, args...)...)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = in
	s = ready(t, dir, begin(t, cmd))
	in.Close()
	t.Cleanup(func() { out.Close() })
	s.run("", "append", "a/b", "--kind", "0x1001", "1")
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	log = bufio.NewReader(out)
	for line := ""; !strings.Contains(line, "node drains"); {
		if line, err = log.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	return s, log
}

func TestASecondSignalEndsServeAtOnce(t *testing.T) {
	t.Parallel()
	s, _ := stuck(t)
	if r := s.end(syscall.SIGTERM); r.code != -1 { // by the signal
		t.Errorf("exit code %d", r.code)
	}
	if got := fields(must(t, "", "verify", "--dir", s.dir)); got[0] != "valid" || got[1] != "1" {
		t.Errorf("%q", got)
	}
}

func TestADrainThatTakesTooLongIsGivenUp(t *testing.T) {
	t.Parallel()
	s, log := stuck(t, "--drain-timeout", "50ms")
	said, err := io.ReadAll(log)
	if err != nil {
		t.Fatal(err)
	}
	wantIn(t, string(said), "batpak: the drain took longer than 50ms", "is on disk")
	if r := s.wait(); r.code != exitFailed {
		t.Errorf("exit code %d", r.code)
	}
}

func TestServeOnwardNonePublishesNothing(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t), "--onward", "none")
	s.run("", "append", "a/b", "--kind", "0x1001", "1")
	wantIn(t, s.run("", "status"), "durable\t1\n", "published\t0\n")
	s.drain()
}

func TestServeKeepsTheGranularityOfAJournal(t *testing.T) {
	t.Parallel()
	dir := journalDir(t)
	s := serve(t, dir, "--seal", "entity")
	s.run("", "append", "a/b", "--kind", "0x1001", `"secret"`)
	s.drain()
	s = serve(t, dir) // as created
	wantIn(t, s.run("", "read"), "\tsealed:")
	wantIn(t, s.run("", "read", "--open"), "\t\"secret\"")
	s.drain()
	r := batpak(t, "", "serve", "--dir", dir, "--listen", "127.0.0.1:0", "--seal", "none")
	if r.code != exitFailed {
		t.Errorf("exit code %d", r.code)
	}
	wantIn(t, r.err, dir, "another granularity", `"entity"`, "leave --seal out")
}

// flip changes one bit of the journal's first segment.
func flip(t *testing.T, dir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "segments", "*.seg"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	f, err := os.OpenFile(names[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const at = 30 // in its lineage
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

func TestServeSaysInALineWhyADirectoryCannotBeServed(t *testing.T) {
	t.Parallel()
	held := serve(t, journalDir(t))
	foreign := journalDir(t)
	serve(t, foreign).drain()
	damaged := journalDir(t)
	s := serve(t, damaged)
	s.run("", "append", "a/b", "--kind", "0x1001", `"some data that is long enough"`)
	s.drain()
	flip(t, damaged)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"locked", []string{"--dir", held.dir, "--listen", "127.0.0.1:0"}, exitFailed, []string{held.dir, "is in use", "one writer"}},
		{"foreign", []string{"--dir", foreign, "--listen", "127.0.0.1:0", "--journal", "other"}, exitFailed, []string{foreign, `"main"`, `"other"`, "--journal"}},
		{"damaged", []string{"--dir", damaged, "--listen", "127.0.0.1:0"}, exitDamaged, []string{damaged, ".seg", "nothing was changed"}},
		{"not a directory", []string{"--dir", file, "--listen", "127.0.0.1:0"}, exitFailed, []string{file, "is not a directory"}},
		{"address in use", []string{"--dir", journalDir(t), "--listen", strings.TrimPrefix(held.url, "nats://")}, exitFailed, []string{"cannot listen on 127.0.0.1", "--url"}},
		{"no server", []string{"--dir", journalDir(t), "--url", "nats://127.0.0.1:1"}, exitFailed, []string{"cannot connect to nats://127.0.0.1:1"}},
	} {
		r := batpak(t, "", append([]string{"serve"}, c.args...)...)
		if r.code != c.code || r.out != "" {
			t.Errorf("%s: exit code %d, not %d; %q", c.name, r.code, c.code, r.out)
		}
		last := strings.Split(strings.TrimSpace(r.err), "\n")
		wantIn(t, last[len(last)-1], append(c.says, "batpak: ")...)
	}
	held.run("", "append", "a/b", "--kind", "0x1001", "1") // it has noticed nothing
	held.drain()
}

// Permissions do not stop the superuser, so the errors of the system are made here.
func TestADirectoryThatCannotBeWrittenIsNamed(t *testing.T) {
	t.Parallel()
	for _, err := range []error{syscall.EROFS, syscall.EACCES, syscall.EPERM} {
		code, text := explain(inDir("/data/journal", &os.PathError{Op: "open", Path: "LOCK", Err: err}))
		if code != exitFailed {
			t.Errorf("exit code %d", code)
		}
		wantIn(t, text, "/data/journal cannot be written", err.Error(), "make it writable")
	}
	_, text := explain(inDir("/data/journal", &os.PathError{Op: "write", Path: "segments/next.tmp", Err: syscall.ENOSPC}))
	wantIn(t, text, "/data/journal has no room left", "segments/next.tmp")
}

func TestACommandLineThatIsWrongIsSaidSo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"serve"}, "--dir"},
		{[]string{"serve", "--dir", "x", "--seal", "all"}, `--seal "all"`},
		{[]string{"serve", "--dir", "x", "--onward", "kafka"}, `--onward "kafka"`},
		{[]string{"serve", "--dir", "x", "--listen", "here"}, `--listen "here"`},
		{[]string{"serve", "--dir", "x", "--listen", "127.0.0.1:0", "--url", "nats://127.0.0.1:1"}, "--listen is for"},
		{[]string{"serve", "--dir", "x", "--creds", "file"}, "--creds is for"},
		{[]string{"serve", "--dir", "x", "--max-payload", "much"}, "max-payload"},
		{[]string{"serve", "--dir", "x", "--segment-size", "15KiB"}, "--segment-size 15KiB is not between 16KiB and 4GiB"},
		{[]string{"serve", "--dir", "x", "--segment-size", "5GiB"}, "--segment-size 5GiB is not between"},
		{[]string{"serve", "--dir", "x", "--log-format", "xml"}, "--log-format"},
		{[]string{"bogus"}, "bogus"},
		{[]string{"read", "--bogus"}, "--bogus"},
		{[]string{"read", "a", "b"}, "arg"},
		{[]string{"append"}, "SCOPE/ENTITY"},
		{[]string{"append", "a/b", "1"}, "--kind"},
		{[]string{"append", "a/b", "--kind", "0x10000", "1"}, "--kind"},
		{[]string{"append", "a/b", "--kind", "1x", "1"}, "--kind"},
		{[]string{"append", "a", "--kind", "0x1001", "1"}, "SCOPE/ENTITY"},
		{[]string{"append", "a/b", "--kind", "0x1001", "{"}, "not JSON"},
		{[]string{"append", "a/b", "--kind", "0x1001", "1", "--ack", "soon"}, "--ack"},
		{[]string{"append", "a/b", "--kind", "0x1001", "1", "--meta", "x"}, "--meta"},
		{[]string{"append", "a/b", "--kind", "0x1001", "1", "--cause", "x"}, "--cause"},
		{[]string{"append", "a/b", "--kind", "0x1001", "1", "--quiet"}, "--quiet"},
		{[]string{"append", "--ndjson", "--kind", "0x1001"}, "kind"},
		{[]string{"append", "--ndjson", "--inflight", "0"}, "--inflight"},
		{[]string{"verify", "--from", "9", "--to", "2"}, "--from"},
		{[]string{"verify", "--dir", "x", "--receipts", "y"}, "--receipts"},
		{[]string{"shred", "--reason", "r", "--yes"}, "entity kind category event subject"},
		{[]string{"shred", "--reason", "r", "--yes", "--kind", "1", "--subject", "p"}, "[kind subject]"},
		{[]string{"shred", "--yes", "--subject", "p"}, "--reason"},
		{[]string{"shred", "--yes", "--subject", "p", "--reason", " "}, "--reason"},
		{[]string{"shred", "--yes", "--reason", "r", "--subject", ""}, "--subject"},
		{[]string{"shred", "--yes", "--reason", "r", "--entity", "a"}, "SCOPE/ENTITY"},
		{[]string{"shred", "--yes", "--reason", "r", "--kind", "x"}, "--kind"},
		{[]string{"shred", "--yes", "--reason", "r", "--category", "16"}, "--category"},
		{[]string{"shred", "--yes", "--reason", "r", "--event", "x"}, "--event"},
		{[]string{"keys"}, "--dir"},
		{[]string{"rekey", "--to", "clear"}, "--dir"},
		{[]string{"rekey", "--dir", "x"}, "--to"},
		{[]string{"bench", "--inflight", "0"}, "--inflight"},
		{[]string{"status", "--timeout", "0s"}, "--timeout"},
		{[]string{"status", "--tlscert", "x"}, "--tlskey"},
	} {
		r := batpak(t, "", c.args...)
		if r.code != exitUsage || r.out != "" {
			t.Errorf("%q: exit code %d, %q", c.args, r.code, r.out)
		}
		wantIn(t, r.err, c.says, "batpak: ", "--help")
	}
}

func TestShellsGetCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		wantIn(t, must(t, "", "completion", shell), "batpak")
	}
	wantIn(t, must(t, "", "__complete", "serve", "--seal", "e"), "entity", "event")
	wantIn(t, must(t, "", "version"), "version\t")
}
