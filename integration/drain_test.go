package integration

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
)

// requestsEach is how many requests each connection has on its way when SIGTERM comes.
const requestsEach = 3000

// TestTerminateAnswersWhatWasSentAndLeavesNothingToRecover sends SIGTERM while thousands of requests
// wait to be worked on.
func TestTerminateAnswersWhatWasSentAndLeavesNothingToRecover(t *testing.T) {
	dir := newDir(t)
	p := serve(t, "--dir", dir, "--listen", "127.0.0.1:0")
	closed := make(chan struct{}, connections)
	var replies []chan *nats.Msg
	for i := range connections {
		nc := p.connect(nats.ClosedHandler(func(*nats.Conn) { closed <- struct{}{} }))
		replies = append(replies, sendMany(t, nc, i))
	}
	p.stop()
	for range replies { // with the server in the program, its end is the end of each connection
		select {
		case <-closed:
		case <-within(t).Done():
			t.Fatal("a connection outlives its server")
		}
	}
	acknowledged := allAnswered(t, replies)

	// Opening again writes nothing into the log: there was nothing to recover.
	before := segmentSums(t, dir)
	p = serve(t, "--dir", dir, "--listen", "127.0.0.1:0")
	for name, sum := range segmentSums(t, dir) {
		if before[name] != sum {
			t.Errorf("%s was changed by opening it", name)
		}
	}
	c := client{p.connect()}
	events := readAll(t, c)
	if len(events) != len(acknowledged) {
		t.Fatalf("%d events, %d acknowledged", len(events), len(acknowledged))
	}
	for _, r := range acknowledged {
		if events[r.seq-1].hash != r.hash {
			t.Fatalf("event %d has another hash than its receipt", r.seq)
		}
	}
	if err := c.onwardEqualsJournal(within(t), events); err != nil {
		t.Fatal(err)
	}
	p.stop()
}

// TestTerminateAnswersWhatTheNodeHasNotReadYet stops the node's process while requests reach its
// server, so that none of them is read, let alone worked on, when it is told to end.
func TestTerminateAnswersWhatTheNodeHasNotReadYet(t *testing.T) {
	srv := runServer(t)
	p := serve(t, "--dir", newDir(t), "--url", srv.url)
	p.signal(syscall.SIGSTOP)
	var conns []*nats.Conn
	var replies []chan *nats.Msg
	for i := range connections {
		conns = append(conns, p.connect())
		replies = append(replies, sendMany(t, conns[i], i))
	}
	p.signal(syscall.SIGTERM) // waits for the next signal
	p.signal(syscall.SIGCONT)
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	for _, nc := range conns { // what the node has sent is here after this
		if err := nc.FlushWithContext(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	allAnswered(t, replies)
}

// sendMany sends requestsEach appends, and returns when the server has them. The replies come on the
// channel, which has room for all: everything that came in before the connection ended is in it.
func sendMany(t testing.TB, nc *nats.Conn, connection int) chan *nats.Msg {
	t.Helper()
	replies := make(chan *nats.Msg, 2*requestsEach)
	inbox := nats.NewInbox()
	if _, err := nc.ChanSubscribe(inbox+".*", replies); err != nil {
		t.Fatal(err)
	}
	for n := range requestsEach {
		op := &operation{id: fmt.Sprintf("c%d-%d", connection, n), stream: n%10 == 0, entries: []entry{{"shop", fmt.Sprintf("e%d", n%7), 0, 0x1001}}}
		subject, body := op.request()
		if err := nc.PublishRequest(base+subject, fmt.Sprintf("%s.%d", inbox, n), pack(body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.FlushWithContext(within(t)); err != nil {
		t.Fatal(err)
	}
	return replies
}

// allAnswered fails the test unless each request has one answer, a receipt or unavailable. It
// returns the receipts, and takes the channels.
func allAnswered(t testing.TB, replies []chan *nats.Msg) (acknowledged []receipt) {
	t.Helper()
	refused := 0
	for i, c := range replies {
		answered := map[string]bool{}
		for range len(c) {
			msg := <-c
			if answered[msg.Subject] {
				t.Errorf("connection %d: two answers on %s", i, msg.Subject)
			}
			answered[msg.Subject] = true
			err := refusalIn(msg)
			if refusedWith(err, "unavailable") {
				refused++
				continue
			}
			var f fields
			var r receipt
			if err == nil {
				f, err = unpackFields(msg.Data)
			}
			if err == nil {
				r, err = receiptOf(f)
			}
			if err != nil {
				t.Fatal(err)
			}
			acknowledged = append(acknowledged, r)
		}
		if len(answered) != requestsEach {
			t.Errorf("connection %d: %d answers to %d requests", i, len(answered), requestsEach)
		}
	}
	t.Logf("%d acknowledged, %d refused as unavailable", len(acknowledged), refused)
	return acknowledged
}

// readAll returns the events of a journal, whose chain was checked.
func readAll(t testing.TB, c client) []event {
	t.Helper()
	events, err := c.all(within(t))
	if err == nil {
		err = checkChain(events)
	}
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// checkChain returns an error unless the events are a whole journal.
func checkChain(events []event) error {
	var c chain
	for i := range events {
		if err := c.next(&events[i]); err != nil {
			return err
		}
	}
	return nil
}

// segmentSums are the checksums of a journal's segments.
func segmentSums(t testing.TB, dir string) map[string][32]byte {
	t.Helper()
	sums := map[string][32]byte{}
	for _, name := range segmentFiles(t, dir) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sums[name] = sha256.Sum256(b)
	}
	return sums
}

// segmentFiles are the paths of a journal's segments, in order.
func segmentFiles(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "segments", "*.seg"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no segments in %s: %v", dir, err)
	}
	return names
}
