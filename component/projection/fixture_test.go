package projection_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"batpak/causal"
	"batpak/codec"
	"batpak/component/internal/journaltest"
	"batpak/component/internal/natstest"
	"batpak/component/journal"
	"batpak/component/projection"
	"batpak/component/relay"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	stream   = "BATPAK_MAIN"
	patience = 30 * time.Second
)

// within gives a test's waiting an end.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// ledger is a state that shows whether every event was folded once and in order: Digest chains
// over all of them.
type ledger struct {
	Events uint64
	Digest [32]byte
	Owner  map[string]uint64 // events of each entity
}

func book(l *ledger, e projection.Event) error {
	if l.Owner == nil {
		l.Owner = map[string]uint64{}
	}
	l.Events++
	l.Owner[e.Entity]++
	l.Digest = sha256.Sum256(append(l.Digest[:], e.Hash[:]...))
	return nil
}

// expect returns the ledger after the journal's events up to seq.
func expect(t testing.TB, j *journal.Journal, seq uint64) ledger {
	t.Helper()
	var l ledger
	_, err := j.Replay(context.Background(), 0, func(ev *causal.Event) error {
		if ev.Seq > seq {
			return errDone
		}
		return book(&l, projection.Event{Event: *ev})
	})
	if err != nil && !errors.Is(err, errDone) {
		t.Fatal(err)
	}
	return l
}

var errDone = errors.New("done")

// is fails unless the projection's state is what folding the journal up to seq gives.
func is(t testing.TB, p *projection.Projection[ledger], j *journal.Journal, seq uint64) {
	t.Helper()
	want := expect(t, j, seq)
	p.View(func(l *ledger) {
		if l.Events != want.Events || l.Digest != want.Digest || fmt.Sprint(l.Owner) != fmt.Sprint(want.Owner) {
			t.Errorf("the state has %d events %v, want %d %v", l.Events, l.Owner, want.Events, want.Owner)
		}
	})
	if got := p.Seq(); got != seq {
		t.Errorf("folded %d, want %d", got, seq)
	}
}

// site is a journal whose events go onward to a server.
type site struct {
	t   testing.TB
	srv *natstest.Server
	js  jetstream.JetStream
	dir string
	j   *journal.Journal
	r   *relay.Relay
}

// setUp makes a site with n events in the stream.
func setUp(t testing.TB, n int) *site {
	t.Helper()
	s := &site{t: t, srv: natstest.Run(t), dir: t.TempDir()}
	s.js = s.srv.JetStream(s.srv.Connect())
	s.open()
	s.add(n)
	return s
}

func (s *site) open() {
	s.t.Helper()
	s.j = journaltest.Open(s.t, s.dir, "main")
	s.relay(s.j)
}

// relay publishes j onward.
func (s *site) relay(j *journal.Journal) {
	s.t.Helper()
	r, err := relay.Start(context.Background(), relay.Config{Journal: j, Conn: s.srv.Connect()})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		_ = r.Stop(ended) // at once; what is published by then is the test's business
	})
	s.r = r
}

// unplug stops the relay and deletes the stream.
func (s *site) unplug() {
	s.t.Helper()
	if err := s.r.Stop(within(s.t)); err != nil {
		s.t.Fatal(err)
	}
	if err := s.js.DeleteStream(within(s.t), stream); err != nil {
		s.t.Fatal(err)
	}
}

// add appends n events and waits until they are in the stream.
func (s *site) add(n int) {
	s.t.Helper()
	journaltest.Fill(s.t, s.j, n, 64)
	if err := s.r.Wait(within(s.t), s.j.Visible()); err != nil {
		s.t.Fatal(err)
	}
}

// project makes a projection onto a ledger.
func (s *site) project(tweaks ...func(*projection.Config[ledger])) *projection.Projection[ledger] {
	s.t.Helper()
	return project(s.t, s.js, tweaks...)
}

func project(t testing.TB, js jetstream.JetStream, tweaks ...func(*projection.Config[ledger])) *projection.Projection[ledger] {
	t.Helper()
	c := projection.Config[ledger]{JetStream: js, Stream: stream, Fold: book, Idle: 10 * time.Millisecond}
	for _, tweak := range tweaks {
		tweak(&c)
	}
	p, err := projection.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// start runs a projection until stop is called, or to the end of the test. stop returns what Run
// did.
func start[S any](t testing.TB, p *projection.Projection[S]) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	var err error
	done := false
	stop = func() error {
		if !done {
			done = true
			cancel()
			err = <-ended
		}
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

// reach waits until seq was folded.
func reach(t testing.TB, p *projection.Projection[ledger], seq uint64) {
	t.Helper()
	if err := p.Wait(within(t), seq); err != nil {
		t.Fatal(err)
	}
}

// fails runs a projection until it ends by itself with an error that matches want.
func fails(t testing.TB, p *projection.Projection[ledger], want error) error {
	t.Helper()
	err := p.Run(within(t))
	if !errors.Is(err, want) {
		t.Fatalf("ended with %v, want %v", err, want)
	}
	return err
}

// memory is a store that a test can look into and break.
type memory struct {
	saves [][]byte
	fail  func(n int) error // of the n-th Save from 1; nil: none fails
	tries int
}

func (m *memory) Load(context.Context) ([]byte, error) {
	if len(m.saves) == 0 {
		return nil, nil
	}
	return m.saves[len(m.saves)-1], nil
}

func (m *memory) Save(_ context.Context, b []byte) error {
	m.tries++
	if m.fail != nil {
		if err := m.fail(m.tries); err != nil {
			return err
		}
	}
	m.saves = append(m.saves, append([]byte(nil), b...))
	return nil
}

// chain makes envelopes by hand, for streams that no journal would write.
type chain struct {
	lineage causal.Lineage
	ids     causal.IDs
	seq     uint64
	heads   map[causal.Stream]causal.Head
}

func newChain() *chain {
	return &chain{lineage: causal.NewLineage(), heads: map[causal.Stream]causal.Head{}}
}

// next returns the next event's header for an entity; change may change it before it counts.
func (c *chain) next(entity string, change func(*causal.Header)) (subject string, envelope []byte) {
	return c.event(causal.Coordinate{Scope: "s", Entity: entity}, []byte{0xa2, 'h', 'i'}, change)
}

// event is next for any coordinate and payload.
func (c *chain) event(at causal.Coordinate, data []byte, change func(*causal.Header)) (subject string, envelope []byte) {
	c.seq++
	h := causal.Header{Lineage: c.lineage, ID: c.ids.Next(1_700_000_000_000), Seq: c.seq, Kind: 0x1002,
		Coordinate: at, Time: causal.HLC{Millis: 1_700_000_000_000}}
	head := c.heads[h.Stream()]
	h.Version, h.Prev = head.Version+1, head.Hash
	if change != nil {
		change(&h)
	}
	if h.Enc != nil && len(data) < 32 {
		data = make([]byte, 32)
	}
	envelope = codec.AppendEnvelope(nil, &h, data)
	c.heads[h.Stream()] = head.Next(&h, causal.HashEnvelope(envelope))
	return fmt.Sprintf("batpak.main.events.%s.%s.%04x", codec.EscapeToken(at.Scope), codec.EscapeToken(at.Entity), uint16(h.Kind)), envelope
}

// byHand gives a test a stream that it writes itself.
func byHand(t testing.TB) (jetstream.JetStream, func(subject string, data []byte)) {
	t.Helper()
	srv := natstest.Run(t)
	js := srv.JetStream(srv.Connect())
	if _, err := js.CreateStream(within(t), jetstream.StreamConfig{Name: stream, Subjects: []string{"batpak.main.events.>"}}); err != nil {
		t.Fatal(err)
	}
	return js, func(subject string, data []byte) {
		t.Helper()
		if _, err := js.Publish(within(t), subject, data); err != nil {
			t.Fatal(err)
		}
	}
}
