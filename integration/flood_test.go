//go:build linux

package integration

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// TestFloodIsAnsweredWithBusyInFlatMemory sends many times what the queue holds, in waves, and
// wants every request answered, and the later waves to take no more memory than the first ones.
func TestFloodIsAnsweredWithBusyInFlatMemory(t *testing.T) {
	const (
		queue   = 2000 // events
		events  = 1000 // of a batch
		batches = 80   // of a wave: forty queues full
		waves   = 8
		settle  = 3 // waves after which all buffers have been in use

		// By how much the later waves may raise the peak of the memory that is resident. Together
		// they send half a million events in 50 MB, which take several times that in the process
		// when they are kept; what is seen is up to 50 MiB, from a collector that runs late on purpose.
		room = 112 << 20
	)
	p := serve(t, "--dir", newDir(t), "--listen", "127.0.0.1:0", "--onward", "none", "--queue-events", strconv.Itoa(queue),
		"--segment-size", "1MiB") // each batch is committed alone, into a new segment every few: slower than the flood
	c := client{p.connect()}
	list := make([]any, events)
	for i := range list {
		list[i] = fields{{"scope", "shop"}, {"entity", "e" + strconv.Itoa(i%5)}, {"kind", 0x1001}, {"data", "some sixty bytes of payload, as an event might have them, or so"}}
	}
	body := pack(fields{{"events", list}})
	replies := make(chan *nats.Msg, batches)
	inbox := nats.NewInbox()
	if _, err := c.nc.ChanSubscribe(inbox, replies); err != nil {
		t.Fatal(err)
	}
	var early int64 // bytes
	busy, taken, heldUp := 0, 0, time.Duration(0)
	for wave := range waves {
		for range batches {
			if err := c.nc.PublishRequest(base+"batch", inbox, body); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		// While the flood is on, others are answered.
		if _, err := c.fields(within(t), "head.shop.e0", fields{}); err != nil {
			t.Fatalf("head during the flood: %v", err)
		}
		heldUp = max(heldUp, time.Since(began))
		for answered := range batches {
			select {
			case msg := <-replies:
				switch err := refusalIn(msg); {
				case err == nil:
					taken++
				case refusedWith(err, "busy"):
					busy++
				default:
					t.Fatal(err)
				}
			case <-within(t).Done():
				t.Fatalf("wave %d: %d of %d requests were answered", wave, answered, batches)
			}
		}
		if wave == settle-1 {
			early = peak(t, p)
		}
	}
	late := peak(t, p)
	t.Logf("%d batches of %d events taken, %d busy; at most %d MiB resident, later %d MiB; another request took up to %v",
		taken, events, busy, early>>20, late>>20, heldUp.Round(time.Millisecond))
	if busy < waves*batches/32 || taken < waves*(queue/events) {
		t.Errorf("%d batches were taken, %d were busy: that was no flood", taken, busy)
	}
	if late > early+room {
		t.Errorf("the peak of resident memory went from %d MiB to %d MiB", early>>20, late>>20)
	}
	r, err := c.append(within(t), "shop", "e0", fields{{"kind", 0x1001}, {"data", nil}})
	if want := uint64(taken*events + 1); err != nil || r.seq != want {
		t.Fatalf("after the flood: %v, sequence %d, want %d", err, r.seq, want)
	}
	p.stop()
}

// peak is the most memory of a program that was resident at a time, in bytes.
func peak(t testing.TB, p *program) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatalf("no VmHWM in %s", text)
	return 0
}
