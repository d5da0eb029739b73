//go:build linux

package integration

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A disk that is full is played by a limit on the size of the files that the program may write
// (RLIMIT_FSIZE), which it gets while it runs: a write past the limit fails, on every kind of file
// system and without privileges. What it writes below the limit still succeeds.

// limitFiles sets the limit, in bytes. The hard limit stays, so that it can be taken back.
func (p *program) limitFiles(size uint64) {
	p.t.Helper()
	var old unix.Rlimit
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, nil, &old); err != nil {
		p.t.Fatal(err)
	}
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: min(size, old.Max), Max: old.Max}, nil); err != nil {
		p.t.Fatal(err)
	}
}

const unlimited = unix.RLIM_INFINITY

// TestNoRoomForAnotherSegmentIsStorageAndPasses takes the room away that the next segment would
// need: appends are refused until there is room again, and nothing else happens.
func TestNoRoomForAnotherSegmentIsStorageAndPasses(t *testing.T) {
	dir := newDir(t)
	p := serve(t, "--dir", dir, "--listen", "127.0.0.1:0", "--onward", "none", "--segment-size", "64KiB")
	c, ctx := client{p.connect()}, within(t)
	body := fields{{"kind", 0x1001}, {"data", strings.Repeat("x", 1000)}}
	var acknowledged []receipt
	appendOne := func() error {
		r, err := c.append(ctx, "shop", "a", body)
		if err == nil {
			acknowledged = append(acknowledged, r)
		}
		return err
	}
	for range 10 {
		if err := appendOne(); err != nil {
			t.Fatal(err)
		}
	}
	p.limitFiles(64<<10 - 1)
	// The open segment has room, and another one may have been prepared.
	var err error
	for range 200 {
		if err = appendOne(); err != nil {
			break
		}
	}
	full, _ := err.(*refusal)
	if full == nil || full.code != "storage" || !full.retry {
		t.Fatalf("without room: %v, want storage with retry", err)
	}
	for range 5 {
		if err := appendOne(); !refusedWith(err, "storage") {
			t.Fatalf("still without room: %v", err)
		}
	}
	status := c.status(t)
	if status.str("state") != "serving" || status.num("head") != uint64(len(acknowledged)) {
		t.Fatalf("status %v, %d acknowledged", status, len(acknowledged))
	}
	same := func(c client) {
		t.Helper()
		events := readAll(t, c)
		if len(events) != len(acknowledged) {
			t.Fatalf("%d events, %d acknowledged", len(events), len(acknowledged))
		}
		for i, r := range acknowledged {
			if events[i].hash != r.hash {
				t.Fatalf("event %d has another hash than its receipt", i+1)
			}
		}
	}
	same(c)
	p.limitFiles(unlimited)
	if err := appendOne(); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	same(c)
	p.stop()
	p = serve(t, again(dir)[1:]...)
	same(client{p.connect()})
	p.stop()
}

// TestFailedWritePoisonsAndRestartHeals makes the write of a commit fail: from then on every append
// is refused and reads go on, until a restart finds everything that was acknowledged.
func TestFailedWritePoisonsAndRestartHeals(t *testing.T) {
	dir := newDir(t)
	p := serve(t, "--dir", dir, "--listen", "127.0.0.1:0", "--onward", "none")
	c, ctx := client{p.connect()}, within(t)
	body := fields{{"kind", 0x1001}, {"data", 1}}
	var acknowledged []receipt
	for range 20 {
		r, err := c.append(ctx, "shop", "a", body)
		if err != nil {
			t.Fatal(err)
		}
		acknowledged = append(acknowledged, r)
	}
	p.limitFiles(4096)
	_, err := c.append(ctx, "shop", "a", append(body, field{"key", "k"}))
	if !refusedWith(err, "storage") {
		t.Fatalf("a write that fails: %v", err)
	}
	p.limitFiles(unlimited)
	_, err = c.append(ctx, "shop", "a", body)
	if poisoned, _ := err.(*refusal); poisoned == nil || poisoned.code != "storage" || poisoned.retry {
		t.Fatalf("after a write that failed: %v, want storage without retry", err)
	}
	if status := c.status(t); status.str("state") != "poisoned" || status.num("head") != 20 {
		t.Fatalf("status %v", status)
	}
	if events := readAll(t, c); len(events) != 20 || events[19].hash != acknowledged[19].hash {
		t.Fatalf("%d events can be read", len(events))
	}
	p.signal(unix.SIGTERM)
	p.wait()

	p = serve(t, again(dir)[1:]...)
	c = client{p.connect()}
	events := readAll(t, c)
	for i, r := range acknowledged {
		if events[i].hash != r.hash {
			t.Fatalf("event %d has another hash than its receipt", i+1)
		}
	}
	if status := c.status(t); status.str("state") != "serving" {
		t.Fatalf("status %v", status)
	}
	// What was refused may be there or not; with its key it is there once.
	r, err := c.append(ctx, "shop", "a", append(body, field{"key", "k"}))
	if err != nil || r.seq != 21 || r.duplicate != (len(events) == 21) {
		t.Fatalf("retry: %v %+v, with %d events", err, r, len(events))
	}
	p.stop()
}

// TestFailedKeyFlushIsStorageAndPasses makes the keyset's write fail, which comes before anything of
// the log is written: the batch that needs more new keys than are in reserve is refused, and may be repeated.
func TestFailedKeyFlushIsStorageAndPasses(t *testing.T) {
	dir := newDir(t)
	p := serve(t, "--dir", dir, "--listen", "127.0.0.1:0", "--onward", "none", "--seal", "entity")
	c, ctx := client{p.connect()}, within(t)
	body := fields{{"kind", 0x1001}, {"data", "secret"}}
	if _, err := c.append(ctx, "shop", "first", body); err != nil {
		t.Fatal(err)
	}
	var events []any
	for i := range 80 {
		events = append(events, append(fields{{"scope", "shop"}, {"entity", fmt.Sprint("new", i)}}, body...))
	}
	batch := fields{{"events", events}}
	p.limitFiles(16)
	for range 3 {
		_, err := c.fields(ctx, "batch", batch)
		if refused, _ := err.(*refusal); refused == nil || refused.code != "storage" || !refused.retry {
			t.Fatalf("a key that cannot be kept: %v, want storage with retry", err)
		}
	}
	if status := c.status(t); status.str("state") != "serving" || status.num("head") != 1 {
		t.Fatalf("status %v", status)
	}
	p.limitFiles(unlimited)
	if _, err := c.fields(ctx, "batch", batch); err != nil {
		t.Fatal(err)
	}
	if _, err := c.append(ctx, "shop", "first", body); err != nil {
		t.Fatal(err)
	}
	p.kill()

	p = serve(t, again(dir)[1:]...)
	opened, err := client{p.connect()}.fields(ctx, "open", fields{})
	if err != nil {
		t.Fatal(err)
	}
	list, _ := opened.get("data").([]any)
	if len(list) != 82 {
		t.Fatalf("opened %d events", len(list))
	}
	for i, x := range list {
		if f, _ := x.(fields); f.str("state") != "opened" || f.str("data") != "secret" {
			t.Errorf("event %d: %v", i+1, fmt.Sprint(x))
		}
	}
	p.stop()
}
