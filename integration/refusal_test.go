package integration

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// refuses fails the test unless the program ends by itself with the exit code, without having
// been ready, and says each of the words.
func (p *program) refuses(code int, words ...string) {
	p.t.Helper()
	got := p.wait()
	select {
	case <-p.ready:
		p.t.Fatal("it said that it is ready")
	default:
	}
	text := p.stderr.String()
	if got != code {
		p.t.Errorf("exit code %d, want %d: %s", got, code, text)
	}
	for _, word := range words {
		if !strings.Contains(text, word) {
			p.t.Errorf("it does not say %q: %s", word, text)
		}
	}
	if strings.Contains(text, "goroutine ") {
		p.t.Errorf("it panicked: %s", text)
	}
}

// filled makes a journal with events in several segments, and returns the events.
func filled(t testing.TB, dir string, flags ...string) []event {
	t.Helper()
	p := serve(t, append([]string{"--dir", dir, "--listen", "127.0.0.1:0", "--onward", "none", "--segment-size", "64KiB"}, flags...)...)
	c := client{p.connect()}
	for i := range 150 {
		body := fields{{"kind", 0x1001}, {"data", strings.Repeat("x", 1000)}}
		if _, err := c.append(within(t), "shop", fmt.Sprintf("e%d", i%3), body); err != nil {
			t.Fatal(err)
		}
	}
	events := readAll(t, c)
	p.stop()
	return events
}

func again(dir string, flags ...string) []string {
	return append([]string{"serve", "--dir", dir, "--listen", "127.0.0.1:0", "--onward", "none"}, flags...)
}

func TestLockedDirectoryIsRefused(t *testing.T) {
	dir := newDir(t)
	p := serve(t, again(dir)[1:]...)
	launch(t, again(dir)).refuses(1, dir, "locked")
	// With a server elsewhere it is the journal's own lock that refuses.
	srv := runServer(t)
	launch(t, []string{"serve", "--dir", dir, "--url", srv.url, "--onward", "none"}).refuses(1, dir, "locked")
	if _, err := (client{p.connect()}).append(within(t), "shop", "a", fields{{"kind", 0x1001}, {"data", 1}}); err != nil {
		t.Fatalf("the one that has the lock: %v", err)
	}
}

func TestSecondNodeForAJournalIsRefused(t *testing.T) {
	srv := runServer(t)
	first := serve(t, "--dir", newDir(t), "--url", srv.url, "--onward", "none")
	dir := newDir(t)
	launch(t, []string{"serve", "--dir", dir, "--url", srv.url, "--onward", "none"}).refuses(1, "main", "another node answers")
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s was made all the same", dir)
	}
	serve(t, "--dir", newDir(t), "--url", srv.url, "--onward", "none", "--journal", "other")
	if _, err := (client{first.connect()}).append(within(t), "shop", "a", fields{{"kind", 0x1001}, {"data", 1}}); err != nil {
		t.Fatal(err)
	}
}

func TestDirectoryOfAnotherJournalIsRefused(t *testing.T) {
	dir := newDir(t)
	filled(t, dir)
	launch(t, again(dir, "--journal", "other")).refuses(1, dir, "belongs to another journal", "main")
	launch(t, again(dir, "--seal", "entity")).refuses(1, dir, "another granularity")

	// A segment of another journal of the same name.
	strange := newDir(t)
	filled(t, strange)
	names, others := segmentFiles(t, dir), segmentFiles(t, strange)
	b, err := os.ReadFile(others[len(others)-1])
	if err != nil {
		t.Fatal(err)
	}
	last := names[len(names)-1]
	if filepath.Base(others[len(others)-1]) != filepath.Base(last) {
		t.Fatalf("%s and %s should have the same name", others, names)
	}
	if err := os.WriteFile(last, b, 0o600); err != nil {
		t.Fatal(err)
	}
	launch(t, again(dir)).refuses(4, dir, filepath.Base(last), "lineage")
}

func TestDirectoryThatIsAFileIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	launch(t, again(file)).refuses(1, file, "not a directory")
}

// TestReadOnlyDirectoryIsRefused opens a journal that may be read and not written. The superuser
// may write everything, so then the program runs as somebody else.
func TestReadOnlyDirectoryIsRefused(t *testing.T) {
	top, err := os.MkdirTemp("", "batpak-read-only-")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(top, "journal")
	t.Cleanup(func() {
		modes(t, top, 0o700, 0o600)
		os.RemoveAll(top)
	})
	filled(t, dir)
	modes(t, top, 0o555, 0o444)
	before := segmentSums(t, dir)
	launch(t, again(dir), asSomebodyElse).refuses(1, dir, "cannot be written", "permission denied")
	for name, sum := range segmentSums(t, dir) {
		if before[name] != sum {
			t.Errorf("%s was changed", name)
		}
	}
}

// modes gives everything below a directory, and itself, these modes.
func modes(t testing.TB, top string, dirs, files fs.FileMode) {
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Chmod(path, dirs)
		}
		return os.Chmod(path, files)
	})
	if err != nil {
		t.Error(err)
	}
}

func TestMissingOrDamagedKeysetIsRefused(t *testing.T) {
	for _, tc := range []struct {
		name string
		harm func(t *testing.T, keys string) error
		code int
	}{
		{"folder removed", func(_ *testing.T, keys string) error { return os.RemoveAll(keys) }, 4},
		{"files removed", func(_ *testing.T, keys string) error {
			if err := os.RemoveAll(keys); err != nil {
				return err
			}
			return os.Mkdir(keys, 0o700)
		}, 4},
		{"byte flipped", func(t *testing.T, keys string) error {
			return filepath.WalkDir(keys, func(path string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					flip(t, path, -40, 1)
				}
				return err
			})
		}, 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := newDir(t)
			filled(t, dir, "--seal", "entity")
			if err := tc.harm(t, filepath.Join(dir, "keys")); err != nil {
				t.Fatal(err)
			}
			launch(t, again(dir)).refuses(tc.code, dir, "keys")
		})
	}
}

// TestFlippedByteInTheOpenSegmentIsRefused flips a bit of what was synced, at several places.
func TestFlippedByteInTheOpenSegmentIsRefused(t *testing.T) {
	dir := newDir(t)
	events := filled(t, dir)
	names := segmentFiles(t, dir)
	last := names[len(names)-1]
	b, err := os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	lastEvent := events[len(events)-1].envelope
	end := int64(bytes.LastIndex(b, lastEvent) + len(lastEvent))
	offsets := []int64{0, 20, 4096, end - 1}
	for range 4 {
		offsets = append(offsets, 4096+rand.Int64N(end-4096))
	}
	for _, off := range offsets {
		if b[off] == 0 && off >= 4096 {
			off = int64(bytes.LastIndexByte(b[:off], 'x')) // of a payload, not of what pads a frame
		}
		flip(t, last, off, 0x20)
		harmed := segmentSums(t, dir)
		launch(t, again(dir)).refuses(4, dir, filepath.Base(last), "damaged", "offset")
		for name, sum := range segmentSums(t, dir) {
			if harmed[name] != sum {
				t.Fatalf("%s was changed", name)
			}
		}
		flip(t, last, off, 0x20) // back
	}
	p := serve(t, again(dir)[1:]...)
	if got := readAll(t, client{p.connect()}); len(got) != len(events) {
		t.Fatalf("%d of %d events after everything was put back", len(got), len(events))
	}
	p.stop()
}

// TestFlippedByteInASealedSegmentIsNeverServed flips a byte where opening does not look any more:
// the event is refused when it is asked for, the others are served.
func TestFlippedByteInASealedSegmentIsNeverServed(t *testing.T) {
	dir := newDir(t)
	events := filled(t, dir)
	first := segmentFiles(t, dir)[0]
	b, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	const harmed = 5
	flip(t, first, int64(bytes.Index(b, events[harmed-1].envelope)+len(events[harmed-1].envelope)/2), 1)

	p := launch(t, again(dir))
	p.waitReady()
	c, ctx := client{p.connect()}, within(t)
	if _, err := c.get(ctx, harmed); !refusedWith(err, "storage") {
		t.Errorf("get: %v", err)
	}
	if _, err := c.fields(ctx, "read", fields{{"limit", 10}}); err != nil && !refusedWith(err, "storage") {
		t.Errorf("read: %v", err)
	}
	found, err := c.fields(ctx, "verify", nil)
	if valid, _ := found.get("valid").(bool); err != nil || valid || found.str("reason") == "" {
		t.Errorf("verify: %v %v", err, found)
	}
	for i := range events {
		if e, err := c.get(ctx, uint64(i+1)); i != harmed-1 && (err != nil || e.hash != events[i].hash) {
			t.Fatalf("event %d: %v", i+1, err)
		}
	}
	if r, err := c.append(ctx, "shop", "e0", fields{{"kind", 0x1001}, {"data", nil}}); err != nil || r.seq != uint64(len(events)+1) {
		t.Errorf("append: %v %+v", err, r)
	}
	p.stop()
}

// TestDamagedCachesAreMadeAgain flips bytes of what is rebuilt from the segments.
func TestDamagedCachesAreMadeAgain(t *testing.T) {
	dir := newDir(t)
	events := filled(t, dir)
	indexes, err := filepath.Glob(filepath.Join(dir, "segments", "*.idx"))
	if err != nil || len(indexes) == 0 {
		t.Fatalf("no indexes: %v", err)
	}
	flip(t, indexes[0], 70, 1)
	if err := os.Remove(indexes[len(indexes)-1]); err != nil {
		t.Fatal(err)
	}
	flip(t, filepath.Join(dir, "checkpoint"), 60, 1)
	p := serve(t, again(dir)[1:]...)
	c := client{p.connect()}
	got := readAll(t, c)
	for i := range events {
		if e, err := c.get(within(t), uint64(i+1)); err != nil || got[i].hash != events[i].hash || e.hash != events[i].hash {
			t.Fatalf("event %d: %v", i+1, err)
		}
	}
	p.stop()
}

func TestFlippedByteInTheMetaFileIsRefused(t *testing.T) {
	dir := newDir(t)
	filled(t, dir)
	flip(t, filepath.Join(dir, "journal.meta"), 14, 1)
	launch(t, again(dir)).refuses(4, dir, "journal.meta", "damaged")
}

// flip changes bits of one byte of a file. An offset below 0 is from the end.
func flip(t testing.TB, name string, off int64, mask byte) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, err := f.Stat(); off < 0 && err == nil {
		off += info.Size()
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		t.Fatalf("%s at %d: %v", name, off, err)
	}
	b[0] ^= mask
	if _, err := f.WriteAt(b[:], off); err != nil {
		t.Fatal(err)
	}
}
