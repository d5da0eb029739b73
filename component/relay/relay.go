package relay

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"batpak/causal"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Source is the journal as the relay needs it; *journal.Journal is one.
type Source interface {
	// Name is the journal's name: A-Z a-z 0-9 _ and -, 1 to 64 of them.
	Name() string
	// Lineage is the journal's identity.
	Lineage() causal.Lineage
	// Visible is the sequence of the last committed event, 0 when there is none. It never
	// goes back.
	Visible() uint64
	// Wait returns nil when Visible is at least seq.
	Wait(ctx context.Context, seq uint64) error
	// Scan calls visit for the committed events behind the sequence after, in order and
	// without gaps, until about maxBytes were visited, at least one when there is one. The
	// envelope is valid during the call only. It returns the last sequence visited, and the
	// error of visit, which ends it.
	Scan(ctx context.Context, after uint64, maxBytes int, visit func(seq uint64, envelope []byte) error) (last uint64, err error)
}

// Defaults of Config.
const (
	DefaultPrefix          = "batpak"
	DefaultMaxPending      = 8192
	DefaultMaxPendingBytes = 16 << 20
	DefaultAckWait         = 5 * time.Second
)

// Config says what to publish where. Journal and Conn are required.
type Config struct {
	Journal Source
	Conn    *nats.Conn // the caller's: the relay does not close it

	Prefix   string // first part of the subjects; DefaultPrefix when empty
	Stream   string // BATPAK_ and the journal's name in upper case when empty
	Replicas int    // of a stream that is created; 1 when 0

	MaxPending      int           // messages on their way at most; DefaultMaxPending when 0
	MaxPendingBytes int           // bytes of envelopes on their way at most, but always one message; DefaultMaxPendingBytes when 0
	AckWait         time.Duration // how long acknowledgements may stay away; DefaultAckWait when 0

	Logger *slog.Logger // nothing is logged when nil
}

// Relay publishes one journal's events. It is safe for concurrent use.
type Relay struct {
	source Source
	conn   *nats.Conn
	js     jetstream.JetStream
	config Config
	log    *slog.Logger

	inbox  string // replies go to inbox.EPOCH
	sub    *nats.Subscription
	status chan nats.Status

	cancel context.CancelFunc // ends run
	done   chan struct{}      // closed when run and tell have ended
	grown  chan struct{}      // has a token when published may have changed; tell takes it

	mu        sync.Mutex
	state     State
	known     bool          // state.Published is what the stream said, not just zero
	flight    *flight       // the present epoch's; nil between epochs
	changed   chan struct{} // made by who waits; closed by tell when published has changed, and at the end
	listeners []func(uint64)

	acks ackReader // the subscription's goroutine alone uses it

	// The goroutine in run alone uses these.
	epoch   uint64
	created time.Time // of the stream when it was last looked at
	subject subjects
}

// Start checks the configuration and starts a relay, which goes on until Stop is called, ctx
// ends, or the stream disagrees with the journal. It does not wait for the server: what
// becomes of the stream is told by Wait and State. Its errors match ErrConfig, or are those of
// subscribing.
func Start(ctx context.Context, c Config) (*Relay, error) {
	if err := c.fill(); err != nil {
		return nil, err
	}
	js, err := jetstream.New(c.Conn)
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	r := &Relay{
		source: c.Journal, conn: c.Conn, js: js, config: c, log: c.Logger,
		inbox:   c.Conn.NewInbox(),
		done:    make(chan struct{}),
		grown:   make(chan struct{}, 1),
		acks:    ackReader{stream: c.Stream},
		subject: newSubjects(c.Prefix, c.Journal.Name()),
	}
	if r.sub, err = c.Conn.Subscribe(r.inbox+".*", r.acknowledged); err != nil {
		return nil, fmt.Errorf("relay: subscribe for acknowledgements: %w", err)
	}
	r.status = c.Conn.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.CLOSED)
	ctx, r.cancel = context.WithCancel(ctx)
	go r.live(ctx)
	return r, nil
}

func (c *Config) fill() error {
	switch {
	case c.Journal == nil:
		return fmt.Errorf("%w: no journal", ErrConfig)
	case c.Conn == nil:
		return fmt.Errorf("%w: no connection", ErrConfig)
	case c.MaxPending < 0 || c.MaxPendingBytes < 0 || c.AckWait < 0 || c.Replicas < 0:
		return fmt.Errorf("%w: a limit is negative", ErrConfig)
	}
	if name := c.Journal.Name(); !token(name) {
		return fmt.Errorf("%w: journal name %q", ErrConfig, name)
	}
	if c.Prefix == "" {
		c.Prefix = DefaultPrefix
	}
	for part := range strings.SplitSeq(c.Prefix, ".") {
		if !token(part) {
			return fmt.Errorf("%w: prefix %q", ErrConfig, c.Prefix)
		}
	}
	if c.Stream == "" {
		c.Stream = StreamName(c.Journal.Name())
	}
	if !token(c.Stream) {
		return fmt.Errorf("%w: stream name %q", ErrConfig, c.Stream)
	}
	c.Replicas = orDefault(c.Replicas, 1)
	c.MaxPending = orDefault(c.MaxPending, DefaultMaxPending)
	c.MaxPendingBytes = orDefault(c.MaxPendingBytes, DefaultMaxPendingBytes)
	c.AckWait = orDefault(c.AckWait, DefaultAckWait)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

func orDefault[T int | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

// token says whether s can stand in a subject and in a stream's name as it is.
func token(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return s != ""
}

// live is the relay's goroutine: it runs epochs until there is a reason to stop, and then
// takes everything down. The goroutine that tells about the watermark ends before it does.
func (r *Relay) live(ctx context.Context) {
	defer close(r.done)
	telling := make(chan struct{})
	told := make(chan struct{})
	go func() {
		defer close(told)
		r.tell(telling)
	}()

	err := r.run(ctx)
	r.cancel()
	_ = r.sub.Unsubscribe() // of a closed connection; nothing is left to do then
	r.conn.RemoveStatusListener(r.status)
	r.mu.Lock()
	r.flight = nil
	r.state.Phase, r.state.Err = Stopped, err
	r.mu.Unlock()
	close(telling)
	<-told
	if err != nil && ctx.Err() == nil {
		r.log.Error("relay stopped", "stream", r.config.Stream, "error", err)
	}
}

// Stop publishes what is committed at the time of the call, unless ctx ends before that is
// done or the relay has stopped by itself, and takes the relay down. It returns nil when
// everything was published. After it returns the relay uses neither the journal nor the
// connection; call it before closing either.
func (r *Relay) Stop(ctx context.Context) error {
	err := r.Wait(ctx, r.source.Visible())
	r.cancel()
	<-r.done
	return err
}

// Done is closed when the relay has stopped, for whatever reason; State has the reason.
func (r *Relay) Done() <-chan struct{} { return r.done }
