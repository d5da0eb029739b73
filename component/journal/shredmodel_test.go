package journal_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"batpak/causal"
	"batpak/component/journal"
	"batpak/keystore"
)

var erasingFor = flag.Duration("erasing", 2*time.Second, "how long TestErasuresAmongManyWriters runs")

// entityModel is what is known of an entity's payloads while others work on it.
type entityModel struct {
	mu      sync.Mutex // guards what follows
	written map[uint64][]byte
	asked   int    // erasures that were asked for
	erased  uint64 // sequence of the last erasure that was answered
}

// Many append, open and erase at random, while the journal is closed and opened now and then. What was
// answered as erased never opens; what nobody asked to erase does, to what was written; and at the end the
// log is one that a single writer could have written.
func TestErasuresAmongManyWriters(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	d := newDisk(t)
	o := journal.Options{Name: "many", Seal: keystore.Entity, SegmentBytes: small, Gates: chain(t, deny)}
	j, err := journal.Open(t.Context(), d, o)
	if err != nil {
		t.Fatal(err)
	}
	var opening sync.RWMutex // held for writing while j is closed and opened
	models := make([]entityModel, 12)
	for i := range models {
		models[i].written = map[uint64][]byte{}
	}
	deadline := time.Now().Add(*erasingFor)
	var workers sync.WaitGroup
	var counts [5]int
	for w := range uint64(8) {
		workers.Go(func() {
			r := rand.New(rand.NewPCG(seed, w))
			var own [5]int
			for n := uint64(0); time.Now().Before(deadline) && !t.Failed(); n++ {
				i := r.IntN(len(models))
				opening.RLock()
				what, err := workOn(j, &models[i], fmt.Sprint("e", i), r, (w+1)<<32|n)
				opening.RUnlock()
				own[what]++
				if err != nil {
					t.Errorf("worker %d, step %d: %v", w, n, err)
				}
			}
			opening.Lock()
			defer opening.Unlock()
			for i, n := range own {
				counts[i] += n
			}
		})
	}
	reopen := func() {
		opening.Lock()
		defer opening.Unlock()
		if err := j.Close(); err != nil {
			t.Error(err)
		}
		for name := range d.killed().files {
			if isCache(name) && rand.IntN(2) == 0 {
				if err := d.Remove(name); err != nil {
					t.Error(err)
				}
			}
		}
		if j, err = journal.Open(context.Background(), d, o); err != nil {
			t.Fatal(err)
		}
	}
	for time.Now().Before(deadline) && !t.Failed() {
		time.Sleep(*erasingFor / 8)
		reopen()
	}
	workers.Wait()
	defer j.Close()
	for range 2 {
		events, err := audit(j)
		if err == nil {
			err = asTheLogSays(j, events)
		}
		for i := range models {
			for seq, data := range models[i].written {
				if err == nil {
					err = models[i].holds(j, seq, data)
				}
			}
		}
		if err != nil {
			t.Error(err)
		}
		reopen()
	}
	t.Logf("%d events; appended %d, refused %d, opened %d, erased %d, nothing to erase %d",
		j.Visible(), counts[0], counts[1], counts[2], counts[3], counts[4])
}

// workOn does one random thing to an entity, and says what it was.
func workOn(j *journal.Journal, m *entityModel, entity string, r *rand.Rand, n uint64) (what int, err error) {
	ctx := context.Background()
	switch k := r.IntN(20); {
	case k < 12:
		a := event(entity, n)
		a.Renew = r.IntN(3) == 0
		b := one(a)
		if r.IntN(8) == 0 {
			b.Events = append(b.Events, event(entity, 666)) // which is denied
		}
		got, err := j.Append(ctx, b)
		if err == nil {
			m.mu.Lock()
			m.written[got[0].Seq] = a.Data
			m.mu.Unlock()
			return 0, nil
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		denied := (*denial)(nil)
		if len(b.Events) == 2 && errors.As(err, &denied) || errors.Is(err, journal.ErrErased) && !a.Renew && m.asked > 0 {
			return 1, nil
		}
		return 1, err
	case k < 19:
		m.mu.Lock()
		var seq uint64
		var data []byte
		for seq, data = range m.written {
			break
		}
		m.mu.Unlock()
		if seq == 0 {
			return 2, nil
		}
		return 2, m.holds(j, seq, data)
	default:
		m.mu.Lock()
		m.asked++
		m.mu.Unlock()
		s, err := j.Shred(ctx, erasureOf(entity))
		if errors.Is(err, journal.ErrNotFound) {
			m.mu.Lock()
			defer m.mu.Unlock()
			if len(m.written) > 0 && m.erased > 0 {
				return 4, err
			}
			return 4, nil
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.erased = max(m.erased, s.Receipt.Seq)
		return 3, err
	}
}

// holds opens a payload, and compares it with what is known before and after.
func (m *entityModel) holds(j *journal.Journal, seq uint64, data []byte) error {
	m.mu.Lock()
	before := m.erased
	m.mu.Unlock()
	ev, err := j.GetSeq(seq)
	if err != nil {
		return err
	}
	got, state, err := j.Payload(&ev)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case state == causal.Opened && before > seq:
		return fmt.Errorf("event %d opens after erasure %d was answered", seq, before)
	case state == causal.Opened && !bytes.Equal(got, data):
		return fmt.Errorf("event %d opens to %x, not %x", seq, got, data)
	case state == causal.Shredded && m.asked == 0:
		return fmt.Errorf("event %d is shredded, and nobody asked for that", seq)
	case state != causal.Opened && state != causal.Shredded:
		return fmt.Errorf("event %d is %s", seq, state)
	}
	return nil
}
