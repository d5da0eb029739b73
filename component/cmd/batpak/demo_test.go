package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"batpak/codec"
)

func TestDemoTellsItsStoryAndLeavesNothing(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	cmd := command(t, "demo")
	cmd.Env = append(cmd.Env, "TMPDIR="+home, "NATS_URL=nats://127.0.0.1:1") // which is none of its business
	r := finish(t, cmd, "")
	if r.code != exitDone {
		t.Fatalf("exit code %d\n%s%s", r.code, r.out, r.err)
	}
	wantIn(t, r.out,
		"denied by gate balance-never-below-zero", "insufficient_funds",
		"SIGKILL", "lost: 0", "none is there twice",
		"ada ", "mo ", "Ada Lovelace", "every chain whole", "exit code 0")
	if left, err := os.ReadDir(home); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// The demo shows nothing that the journal it leaves does not have.
func TestDemoKeepsAJournalThatIsValid(t *testing.T) {
	t.Parallel()
	home := filepath.Join(t.TempDir(), "demo")
	out := must(t, "", "demo", "--dir", home, "--json")
	for line := range strings.Lines(out) {
		var o struct{ Step int }
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	wantIn(t, must(t, "", "verify", "--dir", filepath.Join(home, "journal")), "valid\t")
	r := batpak(t, "", "demo", "--dir", home)
	if r.code != exitUsage {
		t.Errorf("exit code %d", r.code)
	}
	wantIn(t, r.err, "not empty")
}

// The node of the demo ends with the demo, even when that is killed.
func TestTheNodeOfADemoEndsWithItsStandardInput(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t), "--demo")
	wantIn(t, s.run("", "status"), "gates\t"+balanceGate)
	if err := s.in.Close(); err != nil {
		t.Fatal(err)
	}
	if r := s.wait(); r.code != exitDone {
		t.Errorf("exit code %d: %s", r.code, r.err)
	}
}

// The demo does not find what is not there.
func TestDemoSeesALostEvent(t *testing.T) {
	t.Parallel()
	s := serve(t, journalDir(t))
	s.run("", "append", "a/b", "--kind", "0x1001", "1")
	d := &demo{app: &app{streams: streams{out: io.Discard}}, client: s.client("main")}
	d.screen = d.newScreen()
	ev, err := d.client.GetSeq(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	good := codec.Receipt{ID: ev.ID, Seq: 1, Hash: ev.Hash}
	d.acked.add(good)
	if err := d.compare(t.Context()); err != nil {
		t.Error(err)
	}
	lost, other := good, good
	lost.ID[15]++
	other.Hash[0]++
	for _, r := range []codec.Receipt{lost, other} {
		d.acked = receipts{}
		d.acked.add(r)
		if d.compare(t.Context()) == nil {
			t.Errorf("found %+v", r)
		}
	}
}
