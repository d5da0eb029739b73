package component

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"batpak/causal"
	"batpak/component/journal"
	"batpak/faultfs"
	"batpak/gates"
	"batpak/keystore"

	"github.com/nats-io/nats.go"
)

// Version is the version of the service that a node shows when its Config has none.
const Version = "0.1.0"

// Defaults of a Config.
const (
	DefaultPrefix           = "batpak"
	DefaultMaxPayload       = 1 << 20 // bytes
	DefaultMaxReads         = 64
	DefaultMaxStreamAcks    = 16384
	DefaultAckStreamTimeout = 4 * time.Second
	DefaultClaimWait        = 250 * time.Millisecond
	DefaultHeads            = 10 * time.Second
)

// NoHeads is a Config.Heads that publishes none.
const NoHeads time.Duration = -1

// Onward says where committed events go.
type Onward uint8

const (
	OnwardJetStream Onward = iota // a relay publishes them into a JetStream stream
	OnwardNone                    // nowhere: they are read from the node
)

// Config says what a node is. Conn and one of Dir and FS are required; the other zero values
// are good.
type Config struct {
	// Conn is the connection that requests come from and events are published on. It stays the
	// caller's: a node does not close it. The node ends when it is closed. Handlers of the
	// connection (ErrorHandler, ClosedHandler) must be set before Open. The server's payload
	// limit as it is at Open bounds the payloads that the node accepts.
	Conn *nats.Conn

	// Dir is the journal's directory. It is created, open to its owner alone, when it is missing.
	Dir string
	// FS is the journal's directory when Dir is empty.
	FS faultfs.FS

	// Name is the journal's name: 1 to 64 of A-Z a-z 0-9 - and _. A new journal needs one; for
	// an existing journal, "" takes the name that it has, and another name is refused.
	Name string

	// Prefix is in front of every subject: tokens like Name, separated by dots. Default "batpak".
	Prefix string

	// Seal says which events share a payload key. It is fixed when the journal is created.
	// keystore.Unspecified takes what the journal has; a new one is not sealed then.
	Seal keystore.Granularity

	// Keys says how the payload keys are protected at rest, and how many are made ahead of need. A
	// keyset that exists goes on as it is: journal.Rekey changes how it is wrapped. The Wrapper is not
	// used after Open.
	Keys keystore.Options

	// RequireSubject refuses appends that name no data subject, in a journal that seals by subject:
	// an erasure would not reach their payloads. With another Seal the node does not open.
	RequireSubject bool

	// Signer signs what is committed, so that receipts carry a proof that holds without the node:
	// journal.NewSigner makes one of a seed. It signs the heads too. It is asked for one signature at a time, one for
	// each commit batch, and all appends wait for a slow one. Nil signs nothing.
	Signer journal.Signer

	// Gates judge every append. Nil permits everything.
	Gates *gates.Chain

	// KeepDenials is how many refusals by Gates are kept as events of the journal itself, in a minute
	// at most. 0 keeps none. They have gate, code, coordinate and kind of what was refused, and
	// nothing of its payload; see package journal.
	KeepDenials int

	// Onward says where committed events go, by default into JetStream.
	Onward Onward
	// Stream is the name of the onward stream. Default "BATPAK_" and Name in upper case.
	Stream string
	// Replicas of the onward stream, when it is created. Default 1.
	Replicas int
	// RelayPending is how many events the relay may have published without an acknowledgement.
	// Default: the relay's own.
	RelayPending int

	// MaxPayload is the largest payload in bytes that is accepted. Default 1 MiB. What the
	// connection allows comes first: an event must fit one message, and, when the journal seals,
	// fit it together with its payload in clear.
	MaxPayload int

	// QueueEvents and QueueBytes bound what waits to be committed. What comes on top is answered
	// with ErrBusy. Default: the journal's own, 16384 events and 64 MiB.
	QueueEvents int
	QueueBytes  int64

	// SegmentBytes, IdempotencyKeys and IdempotencyAge are the journal's; see package journal.
	SegmentBytes    int64
	IdempotencyKeys int
	IdempotencyAge  time.Duration
	// Clock times the events, and takes in the clocks that requests come with (header Batpak-HLC). Default: a
	// new one on the wall clock.
	Clock *causal.Clock

	// Heads is how often the node publishes its head, signed when it signs, on P.J.heads: once it serves, then when
	// there are new events, or six times as seldom without, and at the end of a drain. See Witness. What it
	// commits to goes on from a cache in the directory; without one the log is read first, in the background. Default
	// 10 s; NoHeads publishes none.
	Heads time.Duration

	// MaxReads is how many requests that read from disk are worked on at a time. What comes on
	// top is answered with ErrBusy. Default 64. Each takes memory in the order of one message.
	MaxReads int

	// MaxStreamAcks is how many appends with ack "stream" may be on their way at a time. What
	// comes on top is answered with ErrBusy. Default 16384.
	MaxStreamAcks int

	// AckStreamTimeout is how long the reply of a committed append waits for the onward stream.
	// Then it says that the disk has it. Default 4 s.
	AckStreamTimeout time.Duration

	// ClaimWait is how long Open waits for another node to say that it serves this journal's
	// name. Default 250 ms.
	ClaimWait time.Duration

	// Version of the service, in the form of semver.org. Default Version.
	Version string

	// Logger gets what an operator should know. Default: slog.Default.
	Logger *slog.Logger
}

// Errors of Open, besides those of package journal and package relay.
var (
	// ErrConfig: the Config is not complete, or contradicts itself.
	ErrConfig = errors.New("bad config")

	// ErrJournalTaken: another node answers for the journal's name.
	ErrJournalTaken = errors.New("another node answers for this journal")
)

// complete returns the config with its defaults in place.
func (c Config) complete() (Config, error) {
	bad := func(format string, args ...any) (Config, error) {
		return c, fmt.Errorf("component: %w: %s", ErrConfig, fmt.Sprintf(format, args...))
	}
	if c.Conn == nil {
		return bad("Conn is nil")
	}
	if (c.Dir == "") == (c.FS == nil) {
		return bad("one of Dir and FS is needed")
	}
	if c.Prefix == "" {
		c.Prefix = DefaultPrefix
	}
	if !validPrefix(c.Prefix) {
		return bad("prefix %q", c.Prefix)
	}
	if c.Name != "" && !validToken(c.Name) {
		return bad("name %q is not 1 to 64 of A-Z a-z 0-9 - _", c.Name)
	}
	if c.Onward > OnwardNone {
		return bad("onward %d", c.Onward)
	}
	for what, n := range map[string]int64{
		"MaxPayload": int64(c.MaxPayload), "QueueEvents": int64(c.QueueEvents), "QueueBytes": c.QueueBytes,
		"MaxReads": int64(c.MaxReads), "MaxStreamAcks": int64(c.MaxStreamAcks), "Replicas": int64(c.Replicas),
		"AckStreamTimeout": int64(c.AckStreamTimeout), "ClaimWait": int64(c.ClaimWait),
		"RelayPending": int64(c.RelayPending), "KeepDenials": int64(c.KeepDenials),
	} {
		if n < 0 {
			return bad("%s is negative", what)
		}
	}
	if c.Heads < 0 && c.Heads != NoHeads {
		return bad("Heads is negative")
	}
	setDefault(&c.Heads, DefaultHeads)
	setDefault(&c.MaxPayload, DefaultMaxPayload)
	setDefault(&c.MaxReads, DefaultMaxReads)
	setDefault(&c.MaxStreamAcks, DefaultMaxStreamAcks)
	setDefault(&c.AckStreamTimeout, DefaultAckStreamTimeout)
	setDefault(&c.ClaimWait, DefaultClaimWait)
	setDefault(&c.Version, Version)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Clock == nil {
		c.Clock = causal.NewClock(causal.ClockOptions{})
	}
	return c, nil
}

func setDefault[T comparable](p *T, value T) {
	if *p == *new(T) {
		*p = value
	}
}

// validToken says whether s is a journal's name.
func validToken(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// validPrefix says whether s is one or more names with dots between them.
func validPrefix(s string) bool {
	for token := range strings.SplitSeq(s, ".") {
		if !validToken(token) {
			return false
		}
	}
	return true
}
