package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"batpak/codec"
)

// rewrite puts other text of the same length into an event of a directory's log, and makes the frame's and the group's
// checksums right again, as the format says in package journal.
func rewrite(t *testing.T, dir, old, text string) {
	t.Helper()
	name := filepath.Join(dir, "segments", "0000000000000001.seg")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, []byte(old))
	if at < 0 || len(old) != len(text) {
		t.Fatalf("%q is not there", old)
	}
	copy(b[at:], text)
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := func(frame []byte) {
		n := binary.LittleEndian.Uint32(frame)
		crc := crc32.Update(crc32.Checksum(b[48:56], table), table, frame[:4])
		binary.LittleEndian.PutUint32(frame[4:], crc32.Update(crc, table, frame[8:16+n]))
	}
	group := 4096
	for off := group; b[off+13] != 0; {
		n := int(binary.LittleEndian.Uint32(b[off:]))
		next := off + (16+n+7)&^7
		switch b[off+13] {
		case 1:
			sum(b[off:])
		case 2:
			binary.LittleEndian.PutUint32(b[off+16+12:], crc32.Checksum(b[group:off], table))
			sum(b[off:])
			group = next
		case 3:
			group = next
		}
		off = next
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Somebody who makes all checksums right again is found by the chain, and where the chain ends by a signature or a head that
// was kept. What is found is told in the same way whether opening the journal finds it or reading it.
func TestVerifyNamesTheFirstEventThatWasRewritten(t *testing.T) {
	t.Parallel()
	seed := filepath.Join(t.TempDir(), "main.nk")
	public := strings.TrimSpace(must(t, "", "signer", "--new", seed))
	for _, signs := range []bool{false, true} {
		dir := journalDir(t)
		var args []string
		if signs {
			args = []string{"--signer", seed}
		}
		s := serve(t, dir, args...)
		for i := range 6 {
			s.run("", "append", "shop/"+[]string{"ada", "bob"}[i%2], "--kind", "0x1001", fmt.Sprintf(`"text %d"`, i+1))
		}
		head := filepath.Join(t.TempDir(), "head")
		s.run("", "head", "--save", head)
		s.drain()

		var reply codec.VerifyReply
		look := func(what string, code int, args ...string) codec.VerifyReply {
			t.Helper()
			r := batpak(t, "", append(args, "--json")...)
			reply = codec.VerifyReply{}
			if err := json.Unmarshal([]byte(r.out), &reply); err != nil || r.code != code || reply.Valid != (code == exitDone) {
				t.Fatalf("%s: exit code %d, %s%s", what, r.code, r.out, r.err)
			}
			return reply
		}
		look("untouched", exitDone, "verify", "--dir", dir)
		if reply.Checked != 6 || reply.Bytes == 0 || (reply.Signed == 6 && len(reply.Signers) == 1 && reply.Signers[0] == public) != signs {
			t.Errorf("untouched: %+v", reply)
		}

		for _, args := range [][]string{{"--to", "7"}, {"--from", "8"}, {"--from", "3", "--to", "99"}} {
			look("behind the last", exitDamaged, append([]string{"verify", "--dir", dir}, args...)...)
			if !strings.Contains(reply.Reason, "the journal ends with event 6, before event ") {
				t.Errorf("%v: %+v", args, reply)
			}
		}
		look("what may come", exitDone, "verify", "--dir", dir, "--from", "7")

		// The third event; the fifth is the next of its stream.
		rewrite(t, dir, "text 3", "text X")
		look("read", exitDamaged, "verify", "--dir", dir)
		if want := "event 3"; !strings.Contains(reply.Reason, want) || strings.Contains(reply.Reason, "signature") != signs {
			t.Errorf("read: %q, want %s", reply.Reason, want)
		}
		if r := batpak(t, "", "verify", "--dir", dir); r.code != exitDamaged || !strings.HasPrefix(r.out, "not valid\t") || !strings.Contains(r.out, "event 3") {
			t.Errorf("read: exit code %d, %q", r.code, r.out)
		}
		checkpoint, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, "checkpoint")); err != nil {
			t.Fatal(err)
		}
		look("opened", exitDamaged, "verify", "--dir", dir)
		if !strings.Contains(reply.Reason, "event 5") || !strings.Contains(reply.Reason, "event 3") {
			t.Errorf("opened: %q", reply.Reason)
		}
		if r := batpak(t, "", "verify", "--dir", dir); r.code != exitDamaged || !strings.HasPrefix(r.out, "not valid\t0\t0\t\t") || r.err != "" {
			t.Errorf("opened: exit code %d, %q, %q", r.code, r.out, r.err)
		}
		rewrite(t, dir, "text X", "text 3")
		if err := os.WriteFile(filepath.Join(dir, "checkpoint"), checkpoint, 0o600); err != nil {
			t.Fatal(err)
		}
		look("put right", exitDone, "verify", "--dir", dir)

		// The fifth event is the last of its stream.
		rewrite(t, dir, "text 5", "text X")
		code := exitDone
		if signs {
			code = exitDamaged
		}
		look("a last one", code, "verify", "--dir", dir)
		if signs != strings.HasPrefix(reply.Reason, "event 5: the signature") {
			t.Errorf("a last one: %q", reply.Reason)
		}
		s = serve(t, dir, args...)
		look("a last one, served", code, "verify", "--server", s.url)
		if signs != strings.Contains(reply.Reason, "event 5: the signature") || !signs && (reply.Checked != 6 || reply.Bytes == 0) {
			t.Errorf("a last one, served: %+v", reply)
		}
		look("a last one, by the kept head", exitDamaged, "verify", "--since", head, "--server", s.url)
		if !strings.Contains(reply.Reason, "event 5 is not the one") {
			t.Errorf("a last one, by the kept head: %q", reply.Reason)
		}
	}
}
