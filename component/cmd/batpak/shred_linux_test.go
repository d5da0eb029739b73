package main

import (
	"os"
	"strings"
	"testing"

	"batpak/component/internal/natstest"

	"github.com/nats-io/nats-server/v2/server"
)

func TestShredShowsWhatItCoversAndAsks(t *testing.T) {
	t.Parallel()
	s := people(t)
	const prompt = "Type p to erase: "
	shred := func() *dialogue {
		return talk(t, "shred", "--server", s.url, "--subject", "p", "--reason", "request 88", "--actor", "dpo")
	}

	d := shred()
	shown := d.answer(prompt, "P")
	wantIn(t, shown, "main", "every payload that is sealed for subject p", "2 that are not erased yet", "request 88", "dpo", "cannot be undone")
	if r := d.end(); r.code != exitFailed {
		t.Errorf("another answer: exit code %d", r.code)
	} else {
		wantIn(t, r.out, "nothing was erased")
	}

	d = shred()
	d.until(prompt)
	d.write("\x04") // the end of the input
	if r := d.end(); r.code != exitFailed {
		t.Errorf("no answer: exit code %d", r.code)
	} else {
		wantIn(t, r.out, "nothing was erased")
	}

	d = shred()
	d.until(prompt)
	if err := d.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if r := d.end(); r.code != exitInterrupted {
		t.Errorf("interrupted: exit code %d, %s", r.code, r.out)
	}
	if got := s.run("", "erased"); got != "" {
		t.Fatalf("erased: %q", got)
	}

	d = shred()
	d.answer(prompt, "p")
	r := d.end()
	if r.code != exitDone {
		t.Errorf("exit code %d", r.code)
	}
	wantIn(t, r.out, "erased    2 events", "sequence  4", "destroyed")

	d = shred()
	wantIn(t, d.answer(prompt, "p"), "none that is sealed and not erased yet")
	wantIn(t, d.end().out, "erased before")

	shown, _ = onTerminal(t, "NO_COLOR=1", "erased", "--server", s.url)
	wantIn(t, shown, "subject p", "dpo", "request 88")
}

func TestShredForesees(t *testing.T) {
	t.Parallel()
	s := people(t)
	s.run("", "shred", "--subject", "p", "--reason", "r", "--yes")
	s.run("", "append", "shop/ada", "--kind", "0x1001", "1", "--subject", "p", "--renew")
	for _, c := range []struct{ selector, which, says string }{
		{"subject", "p", "1 that are not erased yet"}, // under the new key
		{"subject", "nobody", "none that is sealed"},
		{"event", "019a8c1e-0b5e-7c3a-9d51-3f6d2a9be001", "there is no such event"},
		{"category", "1", "2 that are"},
		{"category", "2", "none that is"},
		{"kind", "0x1001", "2 that are"},
		{"entity", "shop/ada", "2 that are"},
	} {
		d := talk(t, "shred", "--server", s.url, "--"+c.selector, c.which, "--reason", "r")
		wantIn(t, d.answer("Type "+c.which+" to erase: ", "no"), c.says)
		d.end()
	}
	d := talk(t, "shred", "--server", s.url, "--subject", "p", "--reason", "r", "--journal", "other")
	if r := d.end(); r.code != exitFailed || strings.Contains(r.out, "Type") {
		t.Errorf("without a node: exit code %d, %s", r.code, r.out)
	}
}

// Who may erase need not be allowed to read.
func TestShredWithoutThePermissionToRead(t *testing.T) {
	t.Parallel()
	nats := natstest.Run(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "node", Password: "pw"}, {Username: "dpo", Password: "pw", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{"batpak.main.shred"}},
		}}}
	})
	s := serve(t, journalDir(t), "--url", nats.URL(), "--user", "node", "--password", "pw", "--seal", "subject", "--onward", "none")
	s.run("", "append", "shop/ada", "--kind", "0x1001", "1", "--subject", "p", "--user", "node", "--password", "pw")
	d := talk(t, "shred", "--server", s.url, "--user", "dpo", "--password", "pw", "--subject", "p", "--reason", "r")
	wantIn(t, d.answer("Type p to erase: ", "p"), "not known")
	if r := d.end(); r.code != exitDone {
		t.Errorf("exit code %d: %s", r.code, r.out)
	}
}
